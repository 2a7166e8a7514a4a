//! One call: opened, sent, answered and booked; and made again where that is allowed to help.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use midwatch_providers::{StreamMeter, headroom};
use midwatch_recorder::Use;
use midwatch_workflow::{Charge, Class, Decision, Failure, Money, Name, RetryPolicy, Timestamp, Tried};
use tokio::time::{Instant, timeout_at};

use crate::answer::{self, Answer, Flow, add};
use crate::asked::Asked;
use crate::bill::{Bill, Cost, Settled, cost};
use crate::book::{Book, Cut};
use crate::config::Mode;
use crate::heard::Heard;
use crate::open::{bound, open};
use crate::refusal::{Refusal, SHOULD_RETRY};
use crate::tap::{Tap, Terms};
use crate::upstream::{Http, Upstream};
use crate::whole::whole;
use crate::wire::Wire;

/// A call, ready to be made.
pub(crate) struct Call {
    /// The client of the runtime that carries it.
    pub(crate) http: Arc<Http>,
    pub(crate) method: Method,
    /// What follows `/v1`.
    pub(crate) rest: String,
    pub(crate) step: Name,
    /// What the upstream's limits belong to, and so the gate.
    pub(crate) target: Name,
    /// The client's own span.
    pub(crate) span: Option<String>,
    pub(crate) run_usd: Option<Money>,
    /// Whether what a stream cost may be said after it.
    pub(crate) takes_trailers: bool,
    /// As they go upstream.
    pub(crate) headers: HeaderMap,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) tenant: Option<String>,
    pub(crate) asked: Asked,
    pub(crate) book: Book,
}

/// What one attempt came to.
pub(crate) enum Outcome {
    /// The client gets this.
    Answered(Answer),
    /// It failed; the client gets this if there is no other attempt.
    Failed { failure: Failure, settled: Settled, response: Response<Bytes> },
}

/// What the attempts at a call came to so far.
pub(crate) struct Tally {
    since: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) charges: Vec<Charge>,
    pub(crate) last: Option<Use>,
}

/// Makes a call, and makes it again where the mode, the failure and the budgets allow it.
///
/// # Errors
/// It was not sent at all.
pub(crate) async fn carry_out(wire: Arc<Wire>, call: Call) -> Result<Answer, Refusal> {
    let bound = bound(&wire, &call);
    let mut tally = Tally { since: wire.clock.now(), attempts: 0, charges: Vec::new(), last: None };
    loop {
        let bill = match open(&wire, &call, &bound, &tally).await {
            Ok(bill) => bill,
            // An earlier attempt's answer would hide what is in the way now.
            Err(refusal) => return Ok(refused(&call, &tally, &refusal)),
        };
        tally.attempts += 1;
        match attempt(&wire, &call, bill, &mut tally).await {
            Outcome::Answered(answer) => return Ok(answer),
            Outcome::Failed { failure, settled, response } => {
                tally.charges.extend(settled.charges);
                tally.last = settled.use_of;
                if !again(&wire, &call, &tally, &failure).await {
                    return Ok(failed(&wire, &call, &tally, response));
                }
            }
        }
    }
}

/// Sends an attempt and takes its answer.
async fn attempt(wire: &Arc<Wire>, call: &Call, mut bill: Bill, tally: &mut Tally) -> Outcome {
    if let Some(cut) = call.book.is_cut() {
        return cut_off(&mut bill, *cut, Cost::Nothing);
    }
    let deadline = Instant::now() + wire.config.timeouts.attempt;
    let Some(request) = request(call, &bill) else {
        let failure = Failure::new(Class::InvalidRequest, "the path makes no URL");
        return broken(&mut bill, failure, Cost::Nothing, StatusCode::BAD_REQUEST);
    };
    let first_byte = deadline.min(Instant::now() + wire.config.timeouts.first_byte);
    let (parts, body) = match within(&call.book, first_byte, call.http.request(request)).await {
        Ok(Ok(response)) => response.into_parts(),
        Ok(Err(error)) if error.is_connect() => {
            let what = format!("upstream {} cannot be reached", call.upstream.name);
            let failure = Failure::new(Class::Connection, what).source(error);
            return broken(&mut bill, failure, Cost::Nothing, StatusCode::BAD_GATEWAY);
        }
        Ok(Err(error)) => {
            let what = format!("upstream {} broke the connection", call.upstream.name);
            let failure = Failure::new(Class::Connection, what).source(error).ambiguous();
            return broken(&mut bill, failure, Cost::Unknown, StatusCode::BAD_GATEWAY);
        }
        Err(Late::Cut(cut)) => return cut_off(&mut bill, *cut, Cost::Unknown),
        Err(Late::OutOfTime) => {
            let what = format!(
                "no answer of upstream {} within {:?}",
                call.upstream.name, wire.config.timeouts.first_byte
            );
            let failure = Failure::new(Class::Timeout, what).ambiguous();
            return broken(&mut bill, failure, Cost::Unknown, StatusCode::GATEWAY_TIMEOUT);
        }
    };
    if let Some(told) = headroom(&parts.headers, wire.clock.now()) {
        match &call.book {
            Book::Attempt(seat) => seat.cx().headroom(told),
            Book::Run(_) => {
                let gate = wire.gates.of(Some(&call.target));
                gate.into_iter().for_each(|gate| gate.headroom(told));
            }
        }
    }
    if parts.status.is_success() && is_stream(&parts.headers) {
        return stream(wire, call, bill, (parts, body), deadline, tally).await;
    }
    whole(wire, call, bill, (parts, body), deadline, tally).await
}

fn request(call: &Call, bill: &Bill) -> Option<Request<Full<Bytes>>> {
    const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
    const KEY: HeaderName = HeaderName::from_static("idempotency-key");
    let mut request = Request::new(Full::new(call.asked.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.upstream.uri(&call.rest)?;
    *request.headers_mut() = call.headers.clone();
    if let Some(traceparent) = bill.traceparent() {
        request.headers_mut().insert(TRACEPARENT, HeaderValue::try_from(traceparent).ok()?);
    }
    if let Book::Attempt(seat) = &call.book
        && !call.headers.contains_key(KEY)
        && let Ok(value) = HeaderValue::try_from(seat.key(call.asked.same))
    {
        request.headers_mut().insert(KEY, value);
    }
    Some(request)
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The head of an answer, and its body to be read.
pub(crate) type Arrived = (http::response::Parts, Incoming);

/// Why something of the upstream's did not come.
pub(crate) enum Late {
    OutOfTime,
    Cut(Box<Cut>),
}

/// Waits for something of the upstream's while the call is wanted. Dropped unfinished, it drops the connection.
pub(crate) async fn within<T>(
    book: &Book,
    deadline: Instant,
    arrival: impl Future<Output = T>,
) -> Result<T, Late> {
    tokio::select! {
        // What has come needs no look at orders.
        biased;
        arrived = timeout_at(deadline, arrival) => arrived.map_err(|_| Late::OutOfTime),
        cut = book.cut() => Err(Late::Cut(cut)),
    }
}

async fn stream(
    wire: &Arc<Wire>,
    call: &Call,
    bill: Bill,
    (parts, body): Arrived,
    deadline: Instant,
    tally: &mut Tally,
) -> Outcome {
    let meter = StreamMeter::new(call.upstream.provider(), call.asked.input_estimate);
    let book = call.book.clone();
    let terms = Terms {
        dialect: call.upstream.dialect,
        hides_usage: call.asked.hides_usage,
        stall: wire.config.timeouts.stall,
        deadline,
        cut: Box::pin(async move { book.cut().await }),
        heard: Heard::of(&wire.config.bodies),
    };
    let mut tap = Tap::new(body, bill, meter, terms);
    if wire.config.mode == Mode::Protect
        && let Some((failure, settled)) = tap.begin().await
    {
        let refusal = match call.book.is_cut() {
            Some(cut) => cut.refusal,
            None => upstream_failed(&failure, StatusCode::BAD_GATEWAY),
        };
        let response = refusal.response(call.upstream.dialect);
        return Outcome::Failed { failure, settled, response };
    }
    let mut head = answer::head(parts.status, &parts.headers);
    add(head.headers_mut(), call.book.run(), tally.attempts, None);
    if call.takes_trailers {
        answer::announce_trailers(head.headers_mut());
        tap.add_trailers(std::mem::take(&mut tally.charges));
    }
    Outcome::Answered(head.map(|()| Flow::Stream(Box::new(tap))))
}

/// An attempt that nobody wants any more.
pub(crate) fn cut_off(bill: &mut Bill, cut: Cut, cost: Cost) -> Outcome {
    let Cut { failure, refusal } = cut;
    let failure = Failure { ambiguous: !matches!(cost, Cost::Nothing), ..failure };
    let settled = bill.fail(failure.clone(), cost);
    Outcome::Failed { failure, settled, response: refusal.response(bill.dialect()) }
}

/// An attempt without an answer of the upstream's.
pub(crate) fn broken(bill: &mut Bill, failure: Failure, cost: Cost, status: StatusCode) -> Outcome {
    let dialect = bill.dialect();
    let settled = bill.fail(failure.clone(), cost);
    let response = upstream_failed(&failure, status).response(dialect);
    Outcome::Failed { failure, settled, response }
}

fn upstream_failed(failure: &Failure, status: StatusCode) -> Refusal {
    Refusal::new(status, "upstream_failed", failure.message.clone()).unsaid()
}

/// Whether the call is made again: waits for it then.
async fn again(wire: &Wire, call: &Call, tally: &Tally, failure: &Failure) -> bool {
    let retry = &wire.config.retry;
    let (Mode::Protect, Some(last), Book::Run(run)) = (wire.config.mode, &tally.last, &call.book) else {
        return false;
    };
    if failure.class == Class::Cancelled {
        return false;
    }
    let policy = RetryPolicy::default().attempts(retry.attempts).elapsed_max(retry.elapsed);
    let tried = Tried {
        attempts: tally.attempts,
        lost: 0,
        since: tally.since,
        cost: cost(&tally.charges).unwrap_or_default(),
        deadline: None,
    };
    let seed = call.asked.same ^ u64::from_be_bytes(run.id().as_bytes()[8..].try_into().unwrap_or_default());
    let now = wire.clock.now();
    match policy.decide(&tried, failure, now, seed) {
        Decision::Retry { delay, because } => {
            let wait = run.wait(last, now + delay, retry.attempts, because, now);
            tokio::select! {
                biased;
                () = tokio::time::sleep(delay) => wait.fired(wire.clock.now()),
                // What opens the next attempt tells the client.
                _ = run.stopped() => drop(wait),
            }
            true
        }
        Decision::GiveUp(because) => {
            run.gave_up(last, because, now);
            false
        }
    }
}

/// What the client gets when all attempts have failed.
fn failed(wire: &Wire, call: &Call, tally: &Tally, mut response: Response<Bytes>) -> Answer {
    add(response.headers_mut(), call.book.run(), tally.attempts, Some(&tally.charges));
    if wire.config.mode == Mode::Protect || matches!(call.book, Book::Attempt(_)) {
        // One place retries, this one or the step: what it cannot cure a client cannot either.
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    answer::whole(response)
}

fn refused(call: &Call, tally: &Tally, refusal: &Refusal) -> Answer {
    let mut response = refusal.response(call.upstream.dialect);
    add(response.headers_mut(), call.book.run(), tally.attempts, Some(&tally.charges));
    answer::whole(response)
}
