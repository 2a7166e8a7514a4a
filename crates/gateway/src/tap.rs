//! A stream on its way to the client: passed on chunk by chunk, with its usage read on the side.
//!
//! Whatever becomes of it is booked: its end, its break, its silence, and a client that goes away.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use midwatch_providers::{SseParser, StreamMeter, failed_event};
use midwatch_workflow::{Charge, Class, Failure, Payload};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answer::{BoxError, trailers};
use crate::bill::{Bill, Cost, Settled};
use crate::config::Dialect;
use crate::events::Events;

/// How often a stream says that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// A stream.
pub(crate) struct Tap {
    upstream: Incoming,
    dialect: Dialect,
    bill: Bill,
    meter: Arc<Mutex<StreamMeter>>,
    parser: SseParser,
    /// Where usage that the client did not ask for is taken out.
    events: Option<Events>,
    ready: VecDeque<Bytes>,
    state: State,
    stall: Duration,
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
    beat: Instant,
    is_begun: bool,
    /// The provider has said that this was all.
    is_complete: bool,
    failure: Option<Failure>,
    /// What the provider calls the answer.
    response_id: Option<String>,
    /// What earlier attempts cost, and in the end this one, if the client is to be told after the stream.
    spent: Option<Vec<Charge>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Flows,
    /// What is ready is still to be sent, then it ends.
    Ends,
    /// What is ready is still to be sent, then it breaks.
    Breaks,
    Over,
}

/// What a stream needs to know beside itself.
pub(crate) struct Limits {
    pub(crate) stall: Duration,
    pub(crate) deadline: Instant,
}

impl Tap {
    pub(crate) fn new(
        upstream: Incoming,
        dialect: Dialect,
        bill: Bill,
        meter: StreamMeter,
        hides_usage: bool,
        limits: &Limits,
    ) -> Self {
        let now = Instant::now();
        let meter = Arc::new(Mutex::new(meter));
        bill.follow(&meter);
        Self {
            upstream,
            dialect,
            bill,
            meter,
            parser: SseParser::default(),
            events: hides_usage.then(Events::default),
            ready: VecDeque::new(),
            state: State::Flows,
            stall: limits.stall,
            timer: Box::pin(sleep_until((now + limits.stall).min(limits.deadline))),
            deadline: limits.deadline,
            beat: now,
            is_begun: false,
            is_complete: false,
            failure: None,
            response_id: None,
            spent: None,
        }
    }

    /// Tells the client after the stream what it cost, these charges of earlier attempts among it.
    pub(crate) fn add_trailers(&mut self, earlier: Vec<Charge>) {
        self.spent = Some(earlier);
    }

    /// Waits until there is something to send, and says what it failed with if it failed before.
    pub(crate) async fn begin(&mut self) -> Option<(Failure, Settled)> {
        poll_fn(|cx| {
            loop {
                if let (Some(failure), true) = (&self.failure, self.bill.is_open()) {
                    let failure = failure.clone();
                    return Poll::Ready(Some((failure.clone(), self.settle_failed(failure))));
                }
                if !self.ready.is_empty() || self.state != State::Flows {
                    return Poll::Ready(None);
                }
                match self.poll_fill(cx) {
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Whether it came to no good end, as far as it has come.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.is_begun = true;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match self.state {
                State::Flows => {}
                State::Ends | State::Over => {
                    let spent = self.spent.take();
                    return Poll::Ready(spent.map(|spent| Ok(Frame::trailers(trailers(&spent)))));
                }
                State::Breaks => {
                    self.state = State::Over;
                    return Poll::Ready(Some(Err("the upstream's stream broke".into())));
                }
            }
            if self.poll_fill(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Takes in what the upstream has, or notices that it has nothing any more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut self.upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(_))) if self.bill.is_cut() => {
                let failure = Failure::new(Class::Cancelled, "the attempt that asked has ended");
                self.end(Some(failure.ambiguous()), State::Breaks);
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.bill.alive();
                if let Ok(bytes) = frame.into_data() {
                    self.take(bytes);
                }
                let next = (Instant::now() + self.stall).min(self.deadline);
                self.timer.as_mut().reset(next);
            }
            Poll::Ready(Some(Err(error))) => {
                let failure = Failure::new(Class::Connection, "the stream broke").ambiguous().source(error);
                self.end(Some(failure), State::Breaks);
            }
            Poll::Ready(None) => self.end_of_upstream(),
            Poll::Pending => match self.timer.as_mut().poll(cx) {
                Poll::Ready(()) => self.out_of_time(),
                Poll::Pending => return Poll::Pending,
            },
        }
        Poll::Ready(())
    }

    fn end_of_upstream(&mut self) {
        let rest = self.events.as_mut().map(Events::rest);
        self.ready.extend(rest.filter(|rest| !rest.is_empty()));
        let is_short = !self.is_complete && self.failure.is_none();
        let short = || Failure::new(Class::Connection, "the stream ended before the answer did").ambiguous();
        self.end(is_short.then(short), State::Ends);
    }

    fn out_of_time(&mut self) {
        let failure = if Instant::now() >= self.deadline {
            Failure::new(Class::Timeout, "the stream took longer than an attempt may")
        } else {
            Failure::new(Class::Stalled, format!("no byte of the stream for {:?}", self.stall))
        };
        if self.is_begun {
            self.ready.push_back(error_event(self.dialect, &failure));
        }
        self.end(Some(failure.ambiguous()), State::Ends);
    }

    fn take(&mut self, bytes: Bytes) {
        let Some(mut events) = self.events.take() else {
            self.read(&bytes);
            self.ready.push_back(bytes);
            return;
        };
        for event in events.push(&bytes) {
            if !self.read(&event) {
                self.ready.push_back(event);
            }
        }
        self.events = Some(events);
    }

    /// Reads along; says whether there was nothing in it but usage.
    fn read(&mut self, bytes: &[u8]) -> bool {
        let mut is_usage_alone = false;
        // An event beyond every limit is passed on, and what it says is not counted.
        for event in self.parser.push(bytes).unwrap_or_default() {
            if event.data == "[DONE]" {
                self.is_complete = true;
                continue;
            }
            let Ok(value) = serde_json::from_str::<Value>(&event.data) else { continue };
            lock(&self.meter).observe_value(&value);
            if self.response_id.is_none() {
                let ids = [&value["id"], &value["response"]["id"], &value["message"]["id"]];
                self.response_id = ids.into_iter().find_map(Value::as_str).map(str::to_owned);
            }
            let kind = value["type"].as_str().unwrap_or_default();
            let ends = ["message_stop", "response.completed", "response.incomplete", "response.failed"];
            self.is_complete |= ends.contains(&kind);
            if self.failure.is_none() {
                self.failure = failed_event(self.bill.provider(), &value);
                self.failure.iter().for_each(|failure| self.bill.expect(failure));
            }
            is_usage_alone |=
                value["usage"].is_object() && value["choices"].as_array().is_some_and(Vec::is_empty);
        }
        if self.beat.elapsed() >= BEAT_EVERY {
            self.beat = Instant::now();
            let (report, _) = lock(&self.meter).report();
            self.bill.beat(
                Payload::of(&json!({"output_tokens": report.usage.output}))
                    .unwrap_or_else(|_| Payload::null()),
            );
        }
        is_usage_alone
    }

    fn end(&mut self, failure: Option<Failure>, state: State) {
        self.state = state;
        self.failure = self.failure.take().or(failure);
        match self.failure.clone() {
            None => {
                let charge = self.charge();
                let output = self.response_id.as_ref().map(|id| Payload::of(&json!({"response_id": id})));
                let output = output.and_then(Result::ok).unwrap_or_else(Payload::null);
                self.bill.succeed(output, vec![charge]);
            }
            Some(failure) if self.is_begun || !self.ready.is_empty() => drop(self.settle_failed(failure)),
            // Nobody has had anything of it: it may be tried again.
            Some(_) => {}
        }
    }

    /// What it has used so far.
    fn charge(&mut self) -> Charge {
        let charge = self.bill.of_stream(&self.meter);
        if let Some(spent) = &mut self.spent {
            spent.push(charge.clone());
        }
        charge
    }

    fn settle_failed(&mut self, failure: Failure) -> Settled {
        let charge = self.charge();
        self.bill.fail(failure, Cost::Known(vec![charge]))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.bill.is_open() {
            let failure = self.failure.take();
            let gone = || {
                Failure::new(Class::Cancelled, "the client went away in the middle of the stream").ambiguous()
            };
            self.settle_failed(failure.unwrap_or_else(gone));
        }
    }
}

/// No foreign code runs under the lock, so a poisoned one still holds a whole meter.
pub(crate) fn lock(meter: &Mutex<StreamMeter>) -> MutexGuard<'_, StreamMeter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event that tells a client, in its provider's form, that the stream is over and why.
fn error_event(dialect: Dialect, failure: &Failure) -> Bytes {
    let message = format!("midwatch: {}", failure.message);
    Bytes::from(match dialect {
        Dialect::OpenAi => {
            let error = json!({"error": {"message": message, "type": "server_error", "code": failure.class.as_str()}});
            format!("data: {error}\n\n")
        }
        Dialect::Anthropic => {
            let error = json!({"type": "error", "error": {"type": "api_error", "message": message}});
            format!("event: error\ndata: {error}\n\n")
        }
    })
}
