//! Builds events, appends and runs for the tests.

use std::sync::mpsc::channel;

use midwatch_journal::{Append, Appended, Error, Fold, Journal};
use midwatch_workflow::event::{AttemptScheduled, Ended, ForkedFrom, Parent, RunStarted};
use midwatch_workflow::{Event, EventKind, OpId, Payload, RunId, RunResult, Timestamp, WorkflowId};

pub(crate) fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + micros)
}

/// A run id; a greater number is a later run.
pub(crate) fn run(number: u8) -> RunId {
    RunId::new(at(u64::from(number) * 1_000), [number; 10])
}

pub(crate) fn event(micros: u64, kind: EventKind) -> Event {
    Event { at: at(micros), kind }
}

pub(crate) fn started(run: RunId, workflow_id: &str) -> RunStarted {
    RunStarted {
        workflow_id: WorkflowId::new(workflow_id).unwrap(),
        input: Payload::of(&"order").unwrap(),
        worker: "worker-1".to_owned(),
        ..RunStarted::bare(run, "checkout")
    }
}

pub(crate) fn child(run: RunId, workflow_id: &str, parent: RunId) -> RunStarted {
    RunStarted { parent: Some(Parent { run: parent, op: OpId(1) }), ..started(run, workflow_id) }
}

pub(crate) fn fork(run: RunId, workflow_id: &str, parent: RunId) -> RunStarted {
    let forked_from = Some(ForkedFrom { run: parent, event: 1, origin: parent, origin_at: at(0) });
    RunStarted { forked_from, ..started(run, workflow_id) }
}

/// An append of events, with the summary that their fold gives if they begin with a start.
pub(crate) fn append(run: RunId, first: u64, events: &[Event]) -> Append {
    let summary = Fold::of(events).map(|fold| Box::new(fold.summary));
    Append::new(run, first, events, summary).unwrap()
}

pub(crate) fn start(start: RunStarted, micros: u64) -> Append {
    append(start.run, 1, &[event(micros, EventKind::RunStarted(Box::new(start)))])
}

pub(crate) fn scheduled(op: u32) -> EventKind {
    EventKind::AttemptScheduled(Box::new(AttemptScheduled {
        op: OpId(op),
        step: "charge".into(),
        nth: op,
        attempt: 1,
        input: Some(Payload::of(&"order").unwrap()),
        timeout: std::time::Duration::from_secs(30),
        heartbeat: None,
        queue: None,
        target: None,
        undo: None,
        undoes: None,
        waits: None,
    }))
}

pub(crate) fn ended(op: u32) -> EventKind {
    EventKind::AttemptEnded {
        op: OpId(op),
        result: Ended::Ok(Payload::of(&"paid").unwrap()),
        charges: Vec::new(),
    }
}

pub(crate) fn completed() -> EventKind {
    EventKind::RunEnded { result: RunResult::Completed(Payload::of(&"receipt").unwrap()) }
}

/// Appends and waits for the answer.
pub(crate) fn write(journal: &dyn Journal, append: Append) -> Result<Appended, Error> {
    let (sender, answer) = channel();
    journal.append(append, Box::new(move |outcome| sender.send(outcome).unwrap()));
    answer.recv().unwrap()
}

/// Appends what must succeed.
pub(crate) fn written(journal: &dyn Journal, append: Append) {
    assert_eq!(write(journal, append).unwrap(), Appended::Written);
}
