//! What an attempt at a step knows about itself, and what it can say to its engine.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Certainty, Charge, Failure, Headroom, Name, Payload, RunId, SpanId, SpanOf, Spent, Traceparent,
    WorkflowId,
};

/// Given to every attempt. Cheap to clone.
#[derive(Clone)]
pub struct StepContext {
    attempt: Arc<AttemptInfo>,
    lent: Option<Arc<dyn Any + Send + Sync>>,
}

/// What an engine says about an attempt.
pub struct AttemptInfo {
    /// The run.
    pub run: Arc<RunInfo>,
    /// The step's name.
    pub step: Name,
    /// The how-manieth use of that name in the run, from 1.
    pub nth: u32,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The idempotency key.
    pub key: Arc<str>,
    /// The outside party of the step.
    pub target: Option<Name>,
    /// What the last heartbeat of an earlier attempt said.
    pub progress: Option<Payload>,
    /// Where heartbeats and charges go.
    pub reporter: Arc<dyn Reporter>,
}

/// What all attempts of a run share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunInfo {
    /// The run.
    pub run: RunId,
    /// The user's id for the run.
    pub workflow_id: WorkflowId,
    /// The workflow's name.
    pub workflow: Name,
    /// The trace that the run belongs to; the run's own id unless its start brought a `traceparent`.
    pub trace: [u8; 16],
    /// Whether that trace is recorded, as who began it says.
    pub is_sampled: bool,
    /// For whom the run works.
    pub tenant: Option<String>,
    /// How often the run was rewound before: attempts are numbered anew after that.
    pub rewinds: u32,
}

/// The engine's end of an attempt.
pub trait Reporter: Send + Sync {
    /// Takes a sign of progress; an engine may keep only the newest of several within a second.
    fn heartbeat(&self, progress: Payload);

    /// Takes a sign of life that says nothing about progress: what was said before stays. An engine without this hears
    /// progress of `null`.
    fn alive(&self) {
        self.heartbeat(Payload::null());
    }

    /// Takes what the target said of its limits, for its gate; an engine without gates needs none of it.
    fn headroom(&self, headroom: Headroom) {
        let _ = headroom;
    }

    /// Books what the attempt spent; it counts whether the attempt succeeds or not.
    fn charge(&self, charge: Charge);

    /// What the attempt has spent so far.
    fn spent(&self) -> Spent;

    /// Books an upper bound of what is about to be spent and gives its place once that is durable, or refuses if it would
    /// cross a budget; see [`StepContext::reserve`]. An engine without this books nothing beforehand and refuses nothing.
    fn reserve(&self, bound: Charge) -> BoxFuture<'_, Result<usize, Failure>> {
        drop(bound);
        Box::pin(std::future::ready(Ok(usize::MAX)))
    }

    /// Learns how to find out what the call behind a bound has used so far; see [`Reservation::follow`]. An engine without
    /// this books the bound.
    fn follow(&self, place: usize, used: Used) {
        let _ = place;
        drop(used);
    }

    /// Replaces a bound by what was really spent; `None` if that was nothing.
    fn settle(&self, place: usize, charge: Option<Charge>) {
        let _ = place;
        if let Some(charge) = charge {
            self.charge(charge);
        }
    }
}

/// A booked upper bound of what a call may cost; made by [`StepContext::reserve`].
///
/// Dropped without being settled, the bound stays in the books, with [`Certainty::Bound`].
#[must_use = "a reservation that is not settled stays in the books"]
pub struct Reservation {
    reporter: Arc<dyn Reporter>,
    place: usize,
}

/// Tells what a call has used so far.
pub type Used = Box<dyn FnOnce() -> Charge + Send>;

impl Reservation {
    /// The answer has begun, and `used` tells how much the call has used so far. If the attempt is dropped half way, that is
    /// booked and not the bound; if its process dies, the bound. `used` must not wait.
    pub fn follow(&self, used: impl FnOnce() -> Charge + Send + 'static) {
        self.reporter.follow(self.place, Box::new(used));
    }

    /// Replaces the bound by what the call did cost.
    pub fn settle(self, charge: Charge) {
        self.reporter.settle(self.place, Some(charge));
    }

    /// Takes the bound out of the books: the call certainly cost nothing.
    pub fn release(self) {
        self.reporter.settle(self.place, None);
    }
}

impl StepContext {
    /// Makes the context of an attempt; called by engines.
    pub fn new(info: AttemptInfo) -> Self {
        Self { attempt: Arc::new(info), lent: None }
    }

    /// The same attempt, with something that its process lends it; called around steps, by
    /// [`StepDefinition::around`](crate::StepDefinition::around).
    #[must_use]
    pub fn lending(&self, lent: Arc<dyn Any + Send + Sync>) -> Self {
        Self { attempt: Arc::clone(&self.attempt), lent: Some(lent) }
    }

    /// What its process lends the attempt, if that is a `T`.
    pub fn lent<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::downcast(self.lent.clone()?).ok()
    }

    /// The idempotency key: the same for every attempt at this step, replay and engine. Give it to whoever has the effect.
    pub fn idempotency_key(&self) -> &str {
        &self.attempt.key
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.attempt.run.run
    }

    /// The user's id for the run.
    pub fn workflow_id(&self) -> &WorkflowId {
        &self.attempt.run.workflow_id
    }

    /// The workflow's name.
    pub fn workflow(&self) -> &str {
        &self.attempt.run.workflow
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.attempt.step
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.attempt
    }

    /// For whom the run works.
    pub fn tenant(&self) -> Option<&str> {
        self.attempt.run.tenant.as_deref()
    }

    /// The outside party that the step names.
    pub fn target(&self) -> Option<&str> {
        self.attempt.target.as_deref()
    }

    /// Says that the attempt makes progress; never waits. `progress` is kept for the next attempt and for people.
    ///
    /// # Errors
    /// Class `invalid_request` if `progress` has no JSON form.
    pub fn heartbeat<T: Serialize + ?Sized>(&self, progress: &T) -> Result<(), Failure> {
        self.attempt.reporter.heartbeat(Payload::of(progress)?);
        Ok(())
    }

    /// Says that the attempt is alive and nothing more; never waits. For whatever waits on behalf of a step (a stream that
    /// comes in) without knowing what progress means there.
    pub fn alive(&self) {
        self.attempt.reporter.alive();
    }

    /// What the last heartbeat of an earlier attempt at this step said, to go on from there.
    ///
    /// # Errors
    /// Class `bug` if it is not a `T`.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.attempt.progress.as_ref().map(Payload::read).transpose()
    }

    /// Passes on what the target says of its limits, so that all runs slow down before it has to refuse any.
    pub fn headroom(&self, headroom: Headroom) {
        self.attempt.reporter.headroom(headroom);
    }

    /// Books what was spent; it counts whether the attempt succeeds or not.
    pub fn charge(&self, charge: Charge) {
        self.attempt.reporter.charge(charge);
    }

    /// Books the most that a call can cost, and waits until the journal has it; then the call may be sent.
    ///
    /// If the process dies during the call, nobody can know what it cost. The bound then stands in the books, marked as
    /// one, so that such spend is never silently zero: what was booked exactly, and that plus all bounds, enclose the
    /// provider's bill. When the call is over, [`Reservation::settle`] puts the real cost in the bound's place.
    ///
    /// A call that would cross a budget of the step, the run, the workflow's day or the tenant is refused before it is
    /// sent. What other calls have reserved counts like what they have spent; if only that stands in the way, this waits
    /// up to a minute for them to be over. A bound without a price is held against limits of tokens alone.
    ///
    /// ```
    /// use midwatch_workflow::{Charge, Failure, Money, StepContext, Usage};
    ///
    /// async fn ask(cx: &StepContext) -> Result<(), Failure> {
    ///     let usage = Usage { calls: 1, input: 900, output: 500, ..Usage::default() };
    ///     let target = "local:llama".to_owned();
    ///     let bound = Charge { target, usage, cost: Some(Money::from_cents(2)), ..Charge::default() };
    ///     let reserved = cx.reserve(bound.clone()).await?;
    ///     // Here the call is made, with whatever client.
    ///     reserved.settle(Charge { cost: Some(Money::from_cents(1)), ..bound });
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Class `budget`, which says what the call may take, of which budget, and what is left of it. Give it back from the
    /// step as it is: the run is then parked until somebody raises the budget, or fails, as the budget says.
    pub async fn reserve(&self, bound: Charge) -> Result<Reservation, Failure> {
        let place = self.attempt.reporter.reserve(Charge { certainty: Certainty::Bound, ..bound }).await?;
        Ok(Reservation { reporter: Arc::clone(&self.attempt.reporter), place })
    }

    /// What the attempt has spent so far.
    pub fn spent(&self) -> Spent {
        self.attempt.reporter.spent()
    }

    /// The W3C `traceparent` for requests of this attempt; sampled unless the run joined a trace that is not.
    pub fn traceparent(&self) -> String {
        let RunInfo { trace, is_sampled, .. } = *self.attempt.run;
        Traceparent { trace, span: self.span_id(), is_sampled }.to_string()
    }

    /// The `tracing` span that an attempt's logs stand in: run, step, attempt, and the ids of its span in the run's
    /// trace, under the target [`LOG_TARGET`](crate::LOG_TARGET).
    pub fn log_span(&self) -> tracing::Span {
        let AttemptInfo { run, step, nth, attempt, .. } = &*self.attempt;
        tracing::info_span!(
            target: crate::LOG_TARGET,
            "attempt",
            run = %run.run,
            workflow = %run.workflow,
            workflow_id = %run.workflow_id,
            step = %step,
            nth,
            attempt,
            trace_id = format_args!("{:032x}", u128::from_be_bytes(run.trace)),
            span_id = %self.span_id(),
        )
    }

    /// The trace that the run belongs to.
    pub fn trace_id(&self) -> [u8; 16] {
        self.attempt.run.trace
    }

    /// The attempt's span in that trace.
    pub fn span_id(&self) -> SpanId {
        let AttemptInfo { run, step, nth, attempt, .. } = &*self.attempt;
        SpanId::of(run.run, run.rewinds, SpanOf::Attempt { step, nth: *nth, attempt: *attempt })
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} at {} of {}", self.attempt.attempt, self.attempt.step, self.attempt.run.run)
    }
}
