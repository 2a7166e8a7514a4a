//! A run that is carried on by random events, and writes the journal that an engine would.

use std::collections::BTreeMap;
use std::time::Duration;

use midwatch_workflow::{
    Advanced, Class, Ended, Event, EventKind, Execution, Failure, Op, OpId, OpKind, Outcome, Payload,
    Progress, Recorded, Resolution, RunId, RunStarted, Timestamp, WorkflowDefinition,
};

/// One thing that happens; what exactly depends on what is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) what: u8,
    pub(crate) which: u16,
    /// Whether the run takes it in together with the next one.
    pub(crate) together: bool,
}

pub(crate) struct Live {
    pub(crate) execution: Execution,
    pub(crate) events: Vec<Event>,
    /// All that was asked for, by its number.
    pub(crate) asked: BTreeMap<OpId, Op>,
    /// What an engine would still have to answer.
    pub(crate) open: BTreeMap<OpId, OpKind>,
    pub(crate) progress: Progress,
    mailbox: BTreeMap<String, u32>,
    is_cancelled: bool,
    now: Timestamp,
}

pub(crate) const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

impl Live {
    pub(crate) fn begin(workflow: &WorkflowDefinition) -> Self {
        let run = RunId::new(START, [7; 10]);
        let start = RunStarted { timeout: Some(Duration::from_secs(3600)), ..RunStarted::bare(run, "main") };
        let execution = Execution::new(workflow, start.clone(), START, Recorded::default());
        let started = Event { at: START, kind: EventKind::RunStarted(Box::new(start)) };
        let mut live = Self {
            execution,
            events: vec![started],
            asked: BTreeMap::new(),
            open: BTreeMap::new(),
            progress: Progress::Waiting,
            mailbox: BTreeMap::new(),
            is_cancelled: false,
            now: START,
        };
        live.advance();
        live
    }

    pub(crate) fn make(&mut self, turn: Move) {
        if self.progress != Progress::Waiting {
            return;
        }
        self.now = self.now + Duration::from_millis(700);
        let Some(kind) = self.choose(turn) else { return };
        feed(&mut self.execution, &kind, self.now);
        self.record(kind);
        if !turn.together {
            self.advance();
        }
    }

    /// Takes in whatever was left for later.
    pub(crate) fn finish(&mut self) {
        if self.progress == Progress::Waiting {
            self.advance();
        }
    }

    fn choose(&mut self, turn: Move) -> Option<EventKind> {
        let answerable: Vec<OpId> = self
            .open
            .iter()
            .filter(|(_, kind)| !matches!(kind, OpKind::Signal { .. }))
            .map(|(op, _)| *op)
            .collect();
        match turn.what % 16 {
            0 | 1 => {
                let name = format!("s{}", turn.which % 2);
                let payload = Payload::of(&u64::from(turn.which)).ok()?;
                let waits =
                    |kind: &OpKind| matches!(kind, OpKind::Signal { name: awaited } if *awaited == name);
                match self.open.iter().find(|(_, kind)| waits(kind)).map(|(op, _)| *op) {
                    Some(op) => drop(self.open.remove(&op)),
                    None => *self.mailbox.entry(name.clone()).or_default() += 1,
                }
                Some(EventKind::SignalReceived { name, payload, id: None })
            }
            2 if turn.which.is_multiple_of(4) && !self.is_cancelled => {
                self.is_cancelled = true;
                let class = if turn.which.is_multiple_of(8) { Class::Cancelled } else { Class::Timeout };
                Some(EventKind::CancelRequested { class, reason: "stop".to_owned(), by: "test".to_owned() })
            }
            _ if answerable.is_empty() => None,
            outcome => {
                let op = answerable[usize::from(turn.which) % answerable.len()];
                let kind = self.open.remove(&op)?;
                Some(answer(op, &kind, outcome))
            }
        }
    }

    fn advance(&mut self) {
        let Advanced { ops, progress } = self.execution.advance();
        for op in ops {
            match &op.kind {
                OpKind::CancelChild => continue,
                OpKind::Abandon => {
                    self.record(EventKind::Abandoned { op: op.id });
                    self.open.remove(&op.id);
                    continue;
                }
                _ => {}
            }
            if let Some(kind) = op.to_event(None) {
                self.record(kind);
            }
            match &op.kind {
                OpKind::Note(_) => {}
                OpKind::Signal { name } if self.mailbox.get(name).is_some_and(|count| *count > 0) => {
                    *self.mailbox.entry(name.clone()).or_default() -= 1;
                }
                kind => drop(self.open.insert(op.id, kind.clone())),
            }
            self.asked.insert(op.id, op);
        }
        if let Progress::Done(result) = &progress {
            self.record(EventKind::RunEnded { result: result.clone() });
        }
        self.progress = progress;
    }

    fn record(&mut self, kind: EventKind) {
        self.events.push(Event { at: self.now, kind });
    }
}

fn answer(op: OpId, kind: &OpKind, outcome: u8) -> EventKind {
    let output = Payload::of(&1u8).unwrap_or_else(|_| Payload::null());
    let failure = |class| Ended::Failed(Failure::new(class, "no"));
    match kind {
        OpKind::Timer { .. } => EventKind::TimerFired { op },
        OpKind::Child(_) if outcome.is_multiple_of(4) => {
            EventKind::ChildEnded { op, result: failure(Class::Server) }
        }
        OpKind::Child(_) => EventKind::ChildEnded { op, result: Ended::Ok(output) },
        OpKind::Park { .. } => {
            let resolution = match outcome % 3 {
                0 => Resolution::Retry,
                1 => Resolution::Done(output),
                _ => Resolution::Fail,
            };
            EventKind::Resolved { op, resolution, by: "test".to_owned() }
        }
        _ => {
            let result = match outcome {
                3 => failure(Class::Server),
                4 => failure(Class::InvalidRequest),
                5 => Ended::Failed(Failure::new(Class::Lost, "gone").ambiguous()),
                6 => failure(Class::ReplayedFailure),
                _ => Ended::Ok(output),
            };
            EventKind::AttemptEnded { op, result, charges: Vec::new() }
        }
    }
}

/// Gives an event to an execution, as an engine does; says whether it was an input.
pub(crate) fn feed(execution: &mut Execution, kind: &EventKind, at: Timestamp) -> bool {
    match kind {
        EventKind::AttemptEnded { op, result, charges } => {
            execution.settle(*op, Outcome::Attempt(result.clone().into(), charges.clone()), at);
        }
        EventKind::TimerFired { op } => execution.settle(*op, Outcome::Fired, at),
        EventKind::ChildEnded { op, result } => {
            execution.settle(*op, Outcome::Child(result.clone().into()), at);
        }
        EventKind::Resolved { op, resolution, .. } => {
            execution.settle(*op, Outcome::Resolved(resolution.clone()), at);
        }
        EventKind::SignalReceived { name, payload, .. } => execution.signal(name, payload.clone(), at),
        EventKind::CancelRequested { class, reason, .. } => execution.cancel(*class, reason, at),
        _ => return false,
    }
    true
}
