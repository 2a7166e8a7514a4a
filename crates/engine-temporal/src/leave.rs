//! Leaving a history that has grown long: the run goes on in a new execution of the same id.
//!
//! Temporal ends an execution whose history outgrows its limits, and suggests long before that to go on in a new one. What
//! a replay needs goes along: the run's events, less what no replay reads, and what has reached the run and was not applied
//! yet. Attempts and children belong to the execution that asked for them, so none may be under way. A run that always has
//! attempts under way starts none for a while once its history is [`Crowding::Full`].

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use midwatch_journal::replay::{Replayed, replay};
use midwatch_journal::{Fold, Open};
use midwatch_workflow::{
    Advanced, Ended, Event, EventKind, Op, OpId, OpKind, Payload, Registry, RunStarted, WorkflowDefinition,
};
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload as Raw;

use crate::translate::{Command, Input, Standing, Translation};

/// What may come of a payload that was packed by us.
const UNPACKED_MAX: u64 = 256 << 20;

/// How a packed payload is marked.
const ENCODING: &[u8] = b"binary/zlib";

/// How long a run's history has grown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Crowding {
    /// There is room.
    #[default]
    Room,
    /// The run leaves when nothing is under way.
    Crowded,
    /// The run starts nothing more until it has left.
    Full,
}

/// What a run takes along.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// All its events, without inputs.
    events: Vec<Event>,
    /// What reached it and was not applied yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    backlog: Vec<Input>,
}

impl Carried {
    /// As one payload; `None` if it has no JSON form.
    pub(crate) fn pack(&self) -> Option<Raw> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&serde_json::to_vec(self).ok()?).ok()?;
        let metadata = [("encoding".to_owned(), ENCODING.to_vec())].into();
        Some(Raw { metadata, data: encoder.finish().ok()?, ..Raw::default() })
    }

    /// Reads what [`pack`](Self::pack) made.
    pub(crate) fn unpack(raw: &Raw) -> Option<Self> {
        let mut json = Vec::new();
        ZlibDecoder::new(raw.data.as_slice()).take(UNPACKED_MAX).read_to_end(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

impl Translation {
    /// Takes a run up that left another execution.
    pub(crate) fn resume(
        registry: Arc<Registry>,
        workflow: &WorkflowDefinition,
        start: RunStarted,
        carried: Carried,
        is_patched: fn(&str) -> bool,
    ) -> Self {
        let Carried { mut events, backlog } = carried;
        let at = events.first().map_or_else(Default::default, |event| event.at);
        let first = Event { at, kind: EventKind::RunStarted(Box::new(start.clone())) };
        match events.first_mut() {
            Some(begun) => *begun = first,
            None => events.push(first),
        }
        let fold = Fold::of(&events).unwrap_or_else(|| Fold::begin(&start, at));
        let replayed = replay(workflow, &events, &fold);
        let mut translation = Self::empty(registry, start, fold);
        translation.kept = events.iter().map(light).collect();
        translation.events = events;
        translation.backlog = backlog.into();
        match replayed {
            Ok(mut replayed) => {
                replayed.execution.decide_patches(is_patched);
                translation.take_up(replayed);
            }
            Err(unreplayable) => {
                if let Some((reason, message)) = unreplayable.obstacle() {
                    translation.standing = Standing::Halted(reason, message);
                }
            }
        }
        translation
    }

    fn take_up(&mut self, replayed: Replayed) {
        let Replayed { execution, open, fresh, progress } = replayed;
        self.execution = Some(execution);
        for op in open {
            match (self.fold.open.get(&op.id), op.kind) {
                (Some(Open::Timer { until, .. }), _) => self.commands.push(Command::Timer(op.id, *until)),
                (Some(Open::Attempt { started: None, .. }), OpKind::Attempt(attempt)) => {
                    self.held.insert(op.id, *attempt);
                }
                // Its end is among what is not applied yet.
                (Some(Open::Attempt { .. }), _) => drop(self.running.insert(op.id)),
                _ => {}
            }
        }
        self.ask(Advanced { ops: fresh, progress });
        self.go_on();
    }

    /// Says how long the history has grown.
    pub(crate) fn crowd(&mut self, crowding: Crowding) {
        if !self.stays {
            self.crowding = crowding;
        }
    }

    /// The run does not leave: what it would take along is too large.
    pub(crate) fn stay(&mut self) {
        self.stays = true;
        self.crowding = Crowding::Room;
        self.go_on();
    }

    /// Whether the run can leave now.
    pub(crate) fn may_leave(&self) -> bool {
        let ended = |op: &OpId| {
            self.stopping.get(op).is_some_and(Option::is_some)
                || self.backlog.iter().any(|input| matches!(input, Input::Ended(id, _) if id == op))
        };
        self.crowding != Crowding::Room
            && self.standing == Standing::Waiting
            && !self.has_child()
            && self.asked.front().is_none_or(|op| self.is_for_next(op))
            && self.running.iter().all(ended)
    }

    /// Whether the run waits for a moment at which it can leave.
    pub(crate) fn is_leaving(&self) -> bool {
        self.asked.front().is_some_and(|op| self.is_for_next(op))
    }

    /// Whether an operation is left to the next execution.
    pub(crate) fn is_for_next(&self, op: &Op) -> bool {
        let is_begun = |command: &Command| matches!(command, Command::Attempt(..) | Command::Child(..));
        matches!(op.kind, OpKind::Attempt(_) | OpKind::Child(_))
            && match self.crowding {
                Crowding::Room => false,
                Crowding::Crowded => self.running.is_empty(),
                Crowding::Full => true,
            }
            && !self.has_child()
            && !self.commands.iter().any(is_begun)
    }

    fn has_child(&self) -> bool {
        self.fold.open.values().any(|open| matches!(open, Open::Child { .. }))
    }

    /// Takes out what does not wait for the next execution: whoever sends a message, or says that time is over, is heard
    /// at once.
    pub(crate) fn pop_urgent(&mut self) -> Option<Input> {
        let is_urgent = |input: &Input| matches!(input, Input::Deadline | Input::Message(..));
        let place = self.backlog.iter().position(is_urgent)?;
        self.backlog.remove(place)
    }

    /// What the run takes along.
    pub(crate) fn carried(&self) -> Carried {
        let done: BTreeSet<OpId> = self.kept.iter().filter_map(|event| done(&event.kind)).collect();
        let mut events = self.kept.clone();
        for event in &mut events {
            // Progress is for the next attempt, and a step that is done has none.
            if let EventKind::Heartbeat { op, progress, .. } = &mut event.kind
                && done.contains(op)
            {
                *progress = Payload::null();
            }
        }
        let stopped =
            self.stopping.iter().filter_map(|(op, report)| Some(Input::Ended(*op, report.clone()?)));
        Carried { events, backlog: self.backlog.iter().cloned().chain(stopped).collect() }
    }
}

fn done(kind: &EventKind) -> Option<OpId> {
    match kind {
        EventKind::AttemptEnded { op, result: Ended::Ok(_), .. } => Some(*op),
        _ => None,
    }
}

/// An event without what no replay reads: the code asks for inputs anew, and those of what is done are not compared.
pub(crate) fn light(event: &Event) -> Event {
    let kind = match &event.kind {
        EventKind::RunStarted(start) => {
            EventKind::RunStarted(Box::new(RunStarted { input: Payload::null(), ..(**start).clone() }))
        }
        EventKind::AttemptScheduled(attempt) => {
            let mut attempt = attempt.clone();
            attempt.input = None;
            EventKind::AttemptScheduled(attempt)
        }
        EventKind::ChildStarted { op, workflow, workflow_id, run, .. } => EventKind::ChildStarted {
            op: *op,
            workflow: workflow.clone(),
            workflow_id: workflow_id.clone(),
            run: *run,
            input: Payload::null(),
        },
        kind => kind.clone(),
    };
    Event { at: event.at, kind }
}

#[cfg(test)]
mod tests;
