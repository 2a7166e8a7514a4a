//! Journals with known runs and times, written through the journal crate.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal};
use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose};
use midwatch_workflow::{
    Budget, Charge, Class, DelayReason, Ended, Event, EventKind, Failure, GiveUp, OpId, ParkReason, Payload,
    RunId, RunResult, RunStarted, Timestamp, Usage, WorkflowId,
};
use tempfile::TempDir;

/// When the journals begin: 2026-11-24T07:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_503_600_000_000);

/// A run that is being written down.
pub(crate) struct Story {
    pub(crate) run: RunId,
    pub(crate) events: Vec<Event>,
    at: Timestamp,
    op: u32,
}

impl Story {
    /// Begins a run; `n` makes its id.
    pub(crate) fn begin(n: u8, workflow: &str, id: &str) -> Self {
        Self::with(n, workflow, id, |_| {})
    }

    /// Begins a run whose start is changed.
    pub(crate) fn with(n: u8, workflow: &str, id: &str, change: impl FnOnce(&mut RunStarted)) -> Self {
        let at = START + Duration::from_secs(u64::from(n));
        let run = RunId::new(at, [n; 10]);
        let mut start = RunStarted {
            workflow_id: WorkflowId::new(id).unwrap(),
            input: json(r#"{"order":42}"#),
            worker: "w1".to_owned(),
            ..RunStarted::bare(run, workflow)
        };
        change(&mut start);
        let mut story = Self { run, events: Vec::new(), at, op: 0 };
        story.push(EventKind::RunStarted(Box::new(start)));
        story
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, kind: EventKind) {
        self.events.push(Event { at: self.at, kind });
    }

    /// Lets time pass.
    pub(crate) fn after(&mut self, millis: u64) -> &mut Self {
        self.at = self.at + Duration::from_millis(millis);
        self
    }

    /// The next operation.
    pub(crate) fn op(&mut self) -> OpId {
        self.op += 1;
        OpId(self.op)
    }

    /// Goes back to an operation, as replay does after a rewind.
    pub(crate) fn back_to(&mut self, op: u32) {
        self.op = op;
    }

    /// Asks for an attempt.
    pub(crate) fn attempt(&mut self, step: &str, attempt: u32) -> OpId {
        self.attempt_with(step, attempt, |_| {})
    }

    /// Asks for an attempt that is changed.
    pub(crate) fn attempt_with(
        &mut self,
        step: &str,
        attempt: u32,
        change: impl FnOnce(&mut AttemptScheduled),
    ) -> OpId {
        let op = self.op();
        let mut scheduled = AttemptScheduled {
            op,
            step: step.to_owned().into(),
            nth: 1,
            attempt,
            input: None,
            timeout: Duration::from_secs(30),
            heartbeat: None,
            queue: None,
            target: None,
            undo: None,
            undoes: None,
            waits: None,
        };
        change(&mut scheduled);
        self.push(EventKind::AttemptScheduled(Box::new(scheduled)));
        op
    }

    /// Ends an attempt well.
    pub(crate) fn ok(&mut self, op: OpId, output: &str) -> &mut Self {
        self.push(EventKind::AttemptEnded { op, result: Ended::Ok(json(output)), charges: vec![] });
        self
    }

    /// Ends an attempt well, having spent tokens.
    pub(crate) fn ok_for(&mut self, op: OpId, output: &str, charge: Charge) -> &mut Self {
        self.push(EventKind::AttemptEnded { op, result: Ended::Ok(json(output)), charges: vec![charge] });
        self
    }

    /// Ends an attempt with a failure.
    pub(crate) fn fails(&mut self, op: OpId, failure: Failure) -> &mut Self {
        let charges = failure.charges.clone();
        self.push(EventKind::AttemptEnded { op, result: Ended::Failed(failure), charges });
        self
    }

    /// Waits before another attempt; the wait is not over yet.
    pub(crate) fn retries(&mut self, step: &str, attempt: u32, millis: u64, because: DelayReason) -> OpId {
        let (op, until) = (self.op(), self.at + Duration::from_millis(millis));
        let purpose = TimerPurpose::Retry { step: step.to_owned(), nth: 1, attempt, of: 5, because };
        self.push(EventKind::TimerStarted { op, until, purpose });
        op
    }

    /// Gives a step up.
    pub(crate) fn gives_up(&mut self, step: &str, attempts: u32, because: GiveUp) {
        let (op, step) = (self.op(), step.to_owned());
        self.push(EventKind::Noted { op, note: Note::GaveUp { step, nth: 1, attempts, because } });
    }

    /// Asks a person.
    pub(crate) fn parks(&mut self, step: &str, reason: ParkReason, message: &str) -> OpId {
        let op = self.op();
        let (step, message) = (Some(step.to_owned()), message.to_owned());
        self.push(EventKind::Parked { op: Some(op), step, reason, message });
        op
    }

    /// Ends the run well.
    pub(crate) fn completes(&mut self, output: &str) {
        self.push(EventKind::RunEnded { result: RunResult::Completed(json(output)) });
    }

    /// Ends the run with a failure.
    pub(crate) fn ends_failed(&mut self, failure: Failure, compensated: u32) {
        self.push(EventKind::RunEnded { result: RunResult::Failed { failure, compensated, resolved: 0 } });
    }
}

/// A payload.
pub(crate) fn json(text: &str) -> Payload {
    Payload::from_json(text).unwrap()
}

/// A charge for tokens.
pub(crate) fn tokens(input: u64, output: u64, usd: &str) -> Charge {
    Charge {
        target: "openai:gpt-4o".to_owned(),
        usage: Usage { calls: 1, input, output, ..Usage::default() },
        cost: (!usd.is_empty()).then(|| usd.parse().unwrap()),
        ..Charge::default()
    }
}

/// Writes runs to `midwatch.db` in a new folder.
pub(crate) fn written(stories: &[Story]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for story in stories {
        write(&journal, story.run, 1, &story.events, &story.events);
    }
    journal.close().unwrap();
    folder
}

/// Opens the journal in a folder as its owner does.
pub(crate) fn open(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(folder.join("midwatch.db"), Options::default()).unwrap()
}

/// Appends events; `all` are the run's events with them.
pub(crate) fn write(journal: &SqliteJournal, run: RunId, first: u64, events: &[Event], all: &[Event]) {
    let summary = Fold::of(all).map(|fold| Box::new(fold.summary));
    let (done, written) = channel();
    journal.append(
        Append::new(run, first, events, summary).unwrap(),
        Box::new(move |result| done.send(result).unwrap()),
    );
    written.recv().unwrap().unwrap();
}

/// A checkout that went well at the second attempt.
pub(crate) fn checkout() -> Story {
    let mut story = Story::begin(1, "checkout", "order-42");
    let charge = story.attempt_with("charge_card", 1, |attempt| {
        attempt.undo = Some("refund".into());
        attempt.target = Some("stripe".into());
    });
    let busy =
        Failure::new(Class::RateLimited, "too many requests").status(429).retry_after(Duration::from_secs(2));
    story.after(340).fails(charge, busy);
    let wait = story.retries("charge_card", 2, 2_000, DelayReason::RetryAfter);
    story.after(2_000).push(EventKind::TimerFired { op: wait });
    let charge = story.attempt_with("charge_card", 2, |attempt| attempt.undo = Some("refund".into()));
    story.after(1_080).ok(charge, r#"{"id":"ch_1"}"#);
    let label = story.attempt("print_label", 1);
    story.after(600).ok(label, r#""label-7""#);
    story.completes(r#"{"receipt":"label-7"}"#);
    story
}

/// A booking that failed and was undone.
pub(crate) fn booking() -> Story {
    let mut story = Story::with(2, "booking", "trip-7", |start| start.tenant = Some("acme".into()));
    let flight = story.attempt_with("book_flight", 1, |attempt| attempt.undo = Some("cancel_flight".into()));
    story.after(800).ok(flight, "1");
    let hotel = story.attempt("book_hotel", 1);
    let full = Failure::new(Class::InvalidRequest, "no room\u{1b}[2J left").status(422);
    story.after(400).fails(hotel, full.clone());
    story.gives_up("book_hotel", 1, GiveUp::Class);
    let op = story.op();
    let note = Note::Compensating { cause: full.clone(), steps: vec!["cancel_flight".to_owned()] };
    story.push(EventKind::Noted { op, note });
    let undo = story.attempt_with("cancel_flight", 1, |attempt| attempt.undoes = Some(flight));
    story.after(300).ok(undo, "null");
    story.ends_failed(full, 1);
    story
}

/// A research agent that is parked for its budget.
pub(crate) fn research() -> Story {
    let mut story = Story::with(3, "research", "paper-9", |start| {
        start.budget = Some(Budget::usd("0.50".parse().unwrap()));
    });
    let op = story.op();
    story.push(EventKind::Noted { op, note: Note::Status("reading 3 of 9 papers".to_owned()) });
    let call = story.attempt("call_llm", 1);
    let cut = Failure::new(Class::Stalled, "no token for 30 s").charge(tokens(9_000, 120, "0.2"));
    story.after(31_000).fails(call, cut);
    let wait = story.retries("call_llm", 2, 1_200, DelayReason::Backoff);
    story.after(1_200).push(EventKind::TimerFired { op: wait });
    let call = story.attempt("call_llm", 2);
    story.after(4_000).ok_for(call, r#""found it""#, tokens(9_000, 800, "0.31"));
    story.parks("call_llm", ParkReason::Budget, "run: $0.51 of $0.50 are spent");
    story
}

/// The messages in the inbox, as JSON.
pub(crate) fn letters(folder: &Path) -> Vec<serde_json::Value> {
    let journal = SqliteJournal::open_reader(folder.join("midwatch.db")).unwrap();
    let letters = journal.letters(&[], 100).unwrap();
    letters.iter().map(|letter| serde_json::to_value(&letter.message).unwrap()).collect()
}

/// A run that waits for a signal.
pub(crate) fn approval(n: u8, id: &str) -> Story {
    let mut story = Story::begin(n, "approval", id);
    let op = story.op();
    story.push(EventKind::SignalAwaited { op, name: "approve".to_owned() });
    story
}

/// A run that failed for good, with nothing to undo.
pub(crate) fn failed(n: u8, id: &str) -> Story {
    let mut story = Story::begin(n, "checkout", id);
    let op = story.attempt("charge_card", 1);
    let failure = Failure::new(Class::Server, "internal error").status(500);
    story.after(200).fails(op, failure.clone());
    story.gives_up("charge_card", 1, GiveUp::Attempts);
    story.ends_failed(failure, 0);
    story
}
