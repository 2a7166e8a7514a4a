//! An attempt under way, and the wait before one.

use midwatch_workflow::{
    Charge, Class, EventKind, Failure, OpId, Payload, SpanId, SpanOf, Timestamp, Traceparent,
};

use crate::error::Error;
use crate::marks::Ids;
use crate::run::Run;
use crate::state::Use;

/// An attempt under way. Dropped without an end it is recorded as lost, with what it last said that it spent.
#[must_use = "an attempt that is dropped counts as lost"]
pub struct Attempt {
    run: Run,
    op: OpId,
    use_of: Use,
    upto: u64,
    trace: [u8; 16],
    is_sampled: bool,
    /// How often the run was taken up again before.
    rewinds: u32,
    begun: Timestamp,
    is_ended: bool,
}

impl Attempt {
    pub(crate) fn new(run: Run, op: OpId, use_of: Use, upto: u64) -> Self {
        let state = run.cell.lock();
        let (begun, trace, rewinds) = (state.touched, state.trace, state.rewinds);
        let is_sampled = state.is_sampled;
        drop(state);
        Self { run, op, use_of, upto, trace, is_sampled, rewinds, begun, is_ended: false }
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Which use of which step it is, and which attempt at it.
    pub fn use_of(&self) -> &Use {
        &self.use_of
    }

    /// Trace and span that stand for it, for whoever is called.
    pub fn traceparent(&self) -> Traceparent {
        let Use { step, nth, attempt } = &self.use_of;
        let of = SpanOf::Attempt { step, nth: *nth, attempt: *attempt };
        let span = SpanId::of(self.run.id(), self.rewinds, of);
        Traceparent { trace: self.trace, span, is_sampled: self.is_sampled }
    }

    /// Waits until its beginning is synced in the journal: it outlives the machine then.
    ///
    /// # Errors
    /// If the journal fails.
    pub async fn durable(&self) -> Result<(), Error> {
        self.run.durable(self.upto).await
    }

    /// Says that what held it back is over.
    pub fn start(&self, now: Timestamp) {
        self.tell(EventKind::AttemptStarted { op: self.op }, now);
    }

    /// Says that it makes progress, and all that it has spent so far; `null` if there is nothing to say of the progress.
    pub fn beat(&self, progress: Payload, charges: Vec<Charge>, now: Timestamp) {
        self.tell(EventKind::Heartbeat { op: self.op, progress, charges }, now);
    }

    /// Says that something happened within it that others call `marks` (without spaces), and all that it has spent so far. The progress is a
    /// JSON object, or `null`.
    pub fn beat_as(&self, marks: &[String], progress: &Payload, charges: Vec<Charge>, now: Timestamp) {
        let mut state = self.run.cell.lock();
        let told = state.beat(self.op, marks, progress, charges, now);
        self.run.tell(&mut state, &told);
    }

    /// All that it has said that it spent.
    pub fn charges(&self) -> Vec<Charge> {
        self.run.cell.lock().charges(self.op)
    }

    /// Leaves a watched attempt under way; [`Run::under_way`] finds it again.
    pub fn leave(mut self) {
        self.is_ended = true;
    }

    fn tell(&self, kind: EventKind, now: Timestamp) {
        let mut state = self.run.cell.lock();
        let told = state.tell(vec![kind], now);
        self.run.tell(&mut state, &told);
    }

    /// Ends it with all that it spent.
    pub fn end(mut self, result: Result<Payload, Failure>, charges: Vec<Charge>, now: Timestamp) -> Use {
        self.finish(result, Some(charges), now);
        self.use_of.clone()
    }

    fn finish(&mut self, result: Result<Payload, Failure>, charges: Option<Vec<Charge>>, now: Timestamp) {
        self.is_ended = true;
        let call = result.as_ref().ok().and_then(|output| Ids::of(output).call());
        let mut state = self.run.cell.lock();
        if let Some(call) = call {
            self.run.shared.booked().add(call, &state.fold.summary);
        }
        if let Some(told) = state.end_attempt(self.op, &self.use_of, result, charges, now) {
            self.run.tell(&mut state, &told);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_ended {
            let now = self.run.cell.lock().touched.max(self.begun);
            let lost =
                Failure::new(Class::Lost, "whoever made the call gave it up without a word").ambiguous();
            self.finish(Err(lost), None, now);
        }
    }
}

/// A wait before the next attempt. Dropped, it is no longer wanted.
#[must_use = "a wait that is dropped counts as abandoned"]
pub struct Wait {
    run: Run,
    op: OpId,
    is_over: bool,
}

impl Wait {
    pub(crate) fn new(run: Run, op: OpId) -> Self {
        Self { run, op, is_over: false }
    }

    /// Says that it is over.
    pub fn fired(mut self, now: Timestamp) {
        self.is_over = true;
        self.tell(EventKind::TimerFired { op: self.op }, now);
    }

    fn tell(&self, kind: EventKind, now: Timestamp) {
        let mut state = self.run.cell.lock();
        let told = state.tell(vec![kind], now);
        self.run.tell(&mut state, &told);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.is_over {
            let now = self.run.cell.lock().touched;
            self.tell(EventKind::Abandoned { op: self.op }, now);
        }
    }
}
