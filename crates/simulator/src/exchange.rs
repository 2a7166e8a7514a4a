//! One request from its arrival to its answer.
//!
//! The work is done in a task of its own: when a client goes away the server drops its handler, and an effect must not
//! be half done or a bill half written because of that. The books are closed before the answer leaves, so whoever has
//! an answer finds it in the ledger.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream;
use tokio::sync::oneshot;

use crate::answer::{Answer, limit_headers};
use crate::connection::Line;
use crate::draw::hash;
use crate::endpoint::Provider;
use crate::fault::{Fault, RetryAfter};
use crate::ledger::{Ticket, Tokens};
use crate::limit::Verdict;
use crate::outage::Outage;
use crate::request::Arrived;
use crate::stream::{Play, wait};
use crate::trouble::Trouble;
use crate::world::World;
use crate::{effects, models};

/// What the client gets.
pub(crate) enum Outcome {
    /// An answer in one piece.
    Answer(Answer),
    /// The head of a stream, and the stream, which books itself.
    Stream(Answer, Box<Play>),
    /// Half an answer, then the connection closes.
    Cut(Answer),
    /// Nothing for so long, then a reset.
    Hang(Duration),
    /// A reset.
    Tear,
}

/// A request that is worked on.
pub(crate) struct Exchange {
    pub(crate) world: Arc<World>,
    pub(crate) request: Arrived,
    pub(crate) ticket: Ticket,
    pub(crate) fault: Option<Fault>,
    /// A number that belongs to this occurrence of this request.
    pub(crate) own: u64,
    pub(crate) request_id: String,
}

impl Exchange {
    pub(crate) fn trouble(&self, trouble: &Trouble) -> Answer {
        trouble.answer(self.request.provider(), &self.request_id, self.world.wall())
    }

    /// Notes in the ledger that the fault came into play.
    pub(crate) fn struck(&mut self, name: &str) {
        self.ticket.entry.fault = Some(name.to_owned());
    }

    /// What a fault makes of the request before it is carried out, if anything.
    pub(crate) fn turned_away(&mut self, input: u64) -> Option<Outcome> {
        let fault = self.fault?;
        let outcome = match fault {
            Fault::Hang { ms } => Outcome::Hang(Duration::from_millis(ms)),
            Fault::Reset => Outcome::Tear,
            Fault::ErrorEvent { .. } if !self.request.streams() => {
                Outcome::Answer(self.trouble(&Trouble::Overloaded))
            }
            _ => {
                let window = self.world.config.answers.context_window;
                Outcome::Answer(self.trouble(&Trouble::of(&fault, input, window)?))
            }
        };
        self.struck(fault.name());
        Some(outcome)
    }
}

/// Answers one request.
pub(crate) async fn exchange(world: Arc<World>, line: Line, request: Arrived) -> Response<Body> {
    let provider = request.provider();
    let ticket = world.ledger.open(request.entry());
    let mut stop = world.stop.subscribe();
    let (answer, answered) = oneshot::channel();
    tokio::spawn(work(world, request, ticket, answer));
    match answered.await {
        Ok((outcome, headers)) => deliver(outcome, headers, &line, &mut stop).await,
        // The work panicked: a defect of the simulator's, which a client meets as a 500.
        Err(_) => {
            Trouble::Server.answer(provider, "req_unknown", std::time::SystemTime::now()).into_response(None)
        }
    }
}

type Delivery = (Outcome, Vec<(&'static str, String)>);

async fn work(world: Arc<World>, request: Arrived, ticket: Ticket, answer: oneshot::Sender<Delivery>) {
    let request_id = format!("req_{:016x}", hash(world.config.seed, &[&ticket.entry.number.to_le_bytes()]));
    let mut headers = headers(&request, &request_id);
    let limited = match front(&world, &request) {
        Front::Open(verdict) => verdict,
        Front::Shut(outcome, fault, verdict) => {
            let mut ticket = ticket;
            ticket.entry.fault = Some(fault.to_owned());
            headers.extend(verdict.iter().flat_map(|v| limit_headers(request.provider(), v, world.wall())));
            return hand_over(outcome, Some(ticket), headers, answer);
        }
    };
    headers.extend(limited.iter().flat_map(|v| limit_headers(request.provider(), v, world.wall())));
    let (fault, own) = world.fault(&request);
    let exchange = Exchange { world, request, ticket, fault, own, request_id };
    let (outcome, ticket) = match exchange.request.provider() {
        Provider::Payments => effects::carry_out(exchange).await,
        _ => models::carry_out(exchange).await,
    };
    hand_over(outcome, ticket, headers, answer);
}

/// Books the answer and gives it to the handler, if the client is still there.
fn hand_over(
    outcome: Outcome,
    ticket: Option<Ticket>,
    headers: Vec<(&'static str, String)>,
    answer: oneshot::Sender<Delivery>,
) {
    if let Some(mut ticket) = ticket {
        ticket.entry.status = match &outcome {
            Outcome::Answer(answer) | Outcome::Cut(answer) => Some(answer.status),
            _ => None,
        };
        if answer.is_closed() && ticket.entry.status.is_some() {
            ticket.entry.status = None;
            ticket.client_gone(Tokens::default());
        }
        ticket.close();
    }
    // If the client left just now, a stream books itself when it is dropped here.
    let _ = answer.send((outcome, headers));
}

enum Front {
    Open(Option<Verdict>),
    Shut(Outcome, &'static str, Option<Verdict>),
}

/// What stands before every API: outages and the rate limit.
fn front(world: &World, request: &Arrived) -> Front {
    let provider = request.provider();
    let shut = |trouble: Trouble| Outcome::Answer(trouble.answer(provider, "req_front", world.wall()));
    match world.outages.at(world.now()) {
        Some(Outage::Refused) => return Front::Shut(Outcome::Tear, "outage", None),
        Some(Outage::Unavailable) => {
            return Front::Shut(shut(Trouble::Unavailable(RetryAfter::Untold)), "outage", None);
        }
        None => {}
    }
    let verdict = world.ask_limit(provider);
    match verdict.and_then(|v| v.wait) {
        None => Front::Open(verdict),
        Some(wait) => {
            let ms = wait.as_micros().div_ceil(1000) as u64;
            let told = match provider {
                Provider::Openai => RetryAfter::Millis(ms),
                // Whole seconds are all that these two tell.
                _ => RetryAfter::Seconds(ms.div_ceil(1000).max(1) as f64),
            };
            Front::Shut(shut(Trouble::RateLimited(told)), "rate_limit", verdict)
        }
    }
}

/// The headers of every answer.
fn headers(request: &Arrived, request_id: &str) -> Vec<(&'static str, String)> {
    match request.provider() {
        Provider::Openai => {
            vec![("x-request-id", request_id.to_owned()), ("openai-version", "2020-10-01".into())]
        }
        Provider::Anthropic => vec![("request-id", request_id.to_owned())],
        Provider::Payments => {
            let key = request.key.clone().filter(|_| !request.read_only);
            let key = key.map(|key| ("idempotency-key", key));
            [("request-id", request_id.to_owned())].into_iter().chain(key).collect()
        }
    }
}

async fn deliver(
    outcome: Outcome,
    headers: Vec<(&'static str, String)>,
    line: &Line,
    stop: &mut tokio::sync::watch::Receiver<bool>,
) -> Response<Body> {
    match outcome {
        Outcome::Answer(answer) => answer.headers(headers).into_response(None),
        Outcome::Stream(head, play) => {
            head.headers(headers).into_response(Some(Body::from_stream(play.events())))
        }
        Outcome::Cut(answer) => {
            let half = answer.body.slice(..answer.body.len() / 2);
            answer.headers(headers).into_response(Some(broken(half)))
        }
        Outcome::Hang(time) => {
            wait(time, stop).await;
            line.tear();
            Response::new(Body::empty())
        }
        Outcome::Tear => {
            line.tear();
            Response::new(Body::empty())
        }
    }
}

/// A body that breaks off.
fn broken(half: Bytes) -> Body {
    let pieces = stream::unfold(Some(half), |half| async move {
        match half {
            Some(half) if !half.is_empty() => Some((Ok(half), Some(Bytes::new()))),
            Some(_) => {
                // What was written so far must leave before the connection does.
                tokio::task::yield_now().await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None))
            }
            None => None,
        }
    });
    Body::from_stream(pieces)
}
