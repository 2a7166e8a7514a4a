//! A stream on its way to the client: passed on chunk by chunk, with its usage read on the side.
//!
//! Whatever becomes of it is booked: its end, its break, its silence, an order that cuts it, and a client that goes away.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use midwatch_providers::StreamMeter;
use midwatch_workflow::{Charge, Class, Failure, Payload};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answer::{BoxError, trailers};
use crate::bill::{Bill, Cost, Settled};
use crate::book::Cut;
use crate::config::Dialect;
use crate::events::Events;
use crate::heard::Heard;
use crate::reading::Reading;
use crate::refusal::event;

/// How often a stream says that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// A stream.
pub(crate) struct Tap {
    /// `None` once nothing more of it is wanted: dropped before its end, it takes the connection with it.
    upstream: Option<Incoming>,
    bill: Bill,
    reading: Reading,
    /// Where usage that the client did not ask for is taken out.
    events: Option<Events>,
    ready: VecDeque<Bytes>,
    state: State,
    terms: Terms,
    timer: Pin<Box<Sleep>>,
    beat: Instant,
    /// The client has its head, or more: it cannot be tried again.
    is_begun: bool,
    failure: Option<Failure>,
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
pub(crate) struct Terms {
    pub(crate) dialect: Dialect,
    /// Usage was asked for in the client's stead, and is to be taken out.
    pub(crate) hides_usage: bool,
    pub(crate) stall: Duration,
    pub(crate) deadline: Instant,
    /// Resolves when nobody wants it any more.
    pub(crate) cut: BoxFuture<'static, Box<Cut>>,
    /// Where the answer is put together, if it is to be kept.
    pub(crate) heard: Option<Heard>,
}

impl Tap {
    pub(crate) fn new(upstream: Incoming, bill: Bill, meter: StreamMeter, mut terms: Terms) -> Self {
        let now = Instant::now();
        let reading = Reading::new(bill.provider(), meter, terms.heard.take());
        bill.follow(&reading.meter);
        Self {
            upstream: Some(upstream),
            bill,
            reading,
            events: terms.hides_usage.then(Events::default),
            ready: VecDeque::new(),
            state: State::Flows,
            timer: Box::pin(sleep_until((now + terms.stall).min(terms.deadline))),
            terms,
            beat: now,
            is_begun: false,
            failure: None,
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
        self.is_begun = true;
        loop {
            if let Some(bytes) = self.ready.pop_front() {
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

    /// Takes in what the upstream has, or notices that it has nothing any more, or that nobody wants it.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(cut) = self.terms.cut.as_mut().poll(cx) {
            self.cut_off(*cut);
            return Poll::Ready(());
        }
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(()) };
        match Pin::new(upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.bill.alive();
                if let Ok(bytes) = frame.into_data() {
                    self.take(bytes);
                }
                let next = (Instant::now() + self.terms.stall).min(self.terms.deadline);
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
        let is_short = !self.reading.is_complete && self.failure.is_none();
        let short = || Failure::new(Class::Connection, "the stream ended before the answer did").ambiguous();
        self.end(is_short.then(short), State::Ends);
    }

    fn out_of_time(&mut self) {
        let failure = if Instant::now() >= self.terms.deadline {
            Failure::new(Class::Timeout, "the stream took longer than an attempt may")
        } else {
            Failure::new(Class::Stalled, format!("no byte of the stream for {:?}", self.terms.stall))
        };
        let said = error_event(self.terms.dialect, &failure);
        self.end_saying(said, failure.ambiguous());
    }

    fn cut_off(&mut self, cut: Cut) {
        let said = cut.refusal.event(self.terms.dialect);
        self.end_saying(said, cut.failure);
    }

    /// Ends it with a last event for a client that has begun to read.
    fn end_saying(&mut self, said: Bytes, failure: Failure) {
        if self.is_begun && !self.reading.is_complete {
            self.ready.push_back(said);
        }
        self.end(Some(failure), State::Ends);
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
        let is_usage_alone = self.reading.read(bytes);
        if self.failure.is_none() {
            self.failure = self.reading.failure.take();
            self.failure.iter().for_each(|failure| self.bill.expect(failure));
        }
        if self.beat.elapsed() >= BEAT_EVERY {
            self.beat = Instant::now();
            self.bill.beat(payload(&json!({"output_tokens": self.reading.output_tokens()})));
        }
        is_usage_alone
    }

    fn end(&mut self, failure: Option<Failure>, state: State) {
        self.state = state;
        self.upstream = None;
        // What comes after the answer's end takes nothing of it back.
        let failure = failure.filter(|_| !self.reading.is_complete);
        self.failure = self.failure.take().or(failure);
        match self.failure.clone() {
            None => {
                let charge = self.charge();
                let output = self.output();
                self.bill.succeed(output, vec![charge]);
            }
            Some(failure) if self.is_begun || !self.ready.is_empty() => drop(self.settle_failed(failure)),
            // Nobody has had anything of it: it may be tried again.
            Some(_) => {}
        }
    }

    /// What is kept of a whole one, as of an answer in one piece.
    fn output(&mut self) -> Payload {
        let mut kept = Map::new();
        kept.extend(self.reading.response_id.take().map(|id| ("response_id".to_owned(), id.into())));
        kept.extend(self.reading.answer().map(|answer| ("answer".to_owned(), answer.into())));
        if kept.is_empty() { Payload::null() } else { payload(&kept.into()) }
    }

    /// What it has used so far.
    fn charge(&mut self) -> Charge {
        let charge = self.bill.of_stream(&self.reading.meter);
        if let Some(spent) = &mut self.spent {
            spent.push(charge.clone());
        }
        charge
    }

    fn settle_failed(&mut self, failure: Failure) -> Settled {
        // A failure has no output: what passed before it is its last word of progress.
        if let Some(answer) = self.reading.answer() {
            let tokens = self.reading.output_tokens();
            self.bill.beat(payload(&json!({"output_tokens": tokens, "answer": answer})));
        }
        let charge = self.charge();
        self.bill.fail(failure, Cost::Known(vec![charge]))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if !self.bill.is_open() {
            return;
        }
        match self.failure.take() {
            Some(failure) => drop(self.settle_failed(failure)),
            // Many clients leave once they have read the answer's end.
            None if self.reading.is_complete => self.end(None, State::Over),
            None => {
                let gone = "the client went away in the middle of the stream";
                self.settle_failed(Failure::new(Class::Cancelled, gone).ambiguous());
            }
        }
    }
}

fn payload(value: &Value) -> Payload {
    Payload::of(value).unwrap_or_else(|_| Payload::null())
}

/// An event that tells a client, in its provider's form, that the stream is over and why.
fn error_event(dialect: Dialect, failure: &Failure) -> Bytes {
    let message = format!("midwatch: {}", failure.message);
    let error = match dialect {
        Dialect::OpenAi => {
            json!({"error": {"message": message, "type": "server_error", "code": failure.class.as_str()}})
        }
        Dialect::Anthropic => json!({"type": "error", "error": {"type": "api_error", "message": message}}),
    };
    event(dialect, &error)
}
