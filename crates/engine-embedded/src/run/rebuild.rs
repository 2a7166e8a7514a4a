//! Taking a run up from its journal: replay, and what was open.

use std::sync::Arc;

use midwatch_journal::replay::replay;
use midwatch_journal::{Fold, Open};
use midwatch_workflow::{Advanced, Class, Ended, Event, EventKind, Failure, Op, OpKind, ParkReason, RunInfo};

use super::{Driver, Stop};

impl Driver {
    /// Replays the journal and takes up what was open.
    pub(super) fn rebuild(&mut self, events: &[Event]) {
        if self.fold.summary.ended_at.is_some() {
            return;
        }
        let worker = self.engine.options.worker.clone();
        if self.fold.summary.worker != worker {
            self.record(EventKind::Recovered { worker });
        }
        self.await_deadline();
        let name = &self.start.workflow;
        let Some(workflow) = self.engine.registry.workflow(name) else {
            let message = format!("no workflow `{name}` is registered: start a process that has it");
            return self.halt(ParkReason::NoCode, message);
        };
        match replay(workflow, events, &self.fold) {
            Ok(replayed) => {
                if self.fold.halted.is_some() {
                    self.record(EventKind::Unparked { by: "replay".to_owned() });
                }
                self.execution = Some(replayed.execution);
                self.take_up(replayed.open);
                self.ask(Advanced { ops: replayed.fresh, progress: replayed.progress });
                self.advance();
            }
            Err(unreplayable) => match unreplayable.obstacle() {
                Some((reason, message)) => self.halt(reason, message),
                None => tracing::error!(run = %self.run, "journal of a run has no start"),
            },
        }
    }

    /// Takes up operations that the journal records as open.
    pub(super) fn take_up(&mut self, open: Vec<Op>) {
        for op in open {
            match self.fold.open.get(&op.id) {
                // After a reload the attempt may still be under way here.
                Some(Open::Attempt { .. }) if self.running.contains_key(&op.id) => {}
                Some(Open::Attempt { started: Some(_), charges, .. }) => {
                    let message = "the process died during the attempt";
                    let failure = Failure::new(Class::Lost, message).ambiguous();
                    let (op, charges) = (op.id, charges.clone());
                    self.record(EventKind::AttemptEnded { op, result: Ended::Failed(failure), charges });
                }
                Some(Open::Attempt { .. }) => {
                    if let OpKind::Attempt(attempt) = op.kind {
                        self.held.insert(op.id, *attempt);
                    }
                }
                Some(Open::Child { .. }) => {
                    if let OpKind::Child(child) = op.kind {
                        self.engine.look_up(child.run, op.id, self.sender.clone());
                        self.looked_up.insert(op.id, *child);
                    }
                }
                _ => self.ops.push((op, None)),
            }
        }
        self.release_held();
    }

    /// Attempts after a rewind are numbered anew: by this their spans are told apart.
    pub(super) fn count_rewinds(&mut self, events: &[Event]) {
        let rewinds = events.iter().filter(|event| matches!(event.kind, EventKind::Rewound { .. })).count();
        let rewinds = u32::try_from(rewinds).unwrap_or(u32::MAX);
        if self.info.rewinds != rewinds {
            self.info = Arc::new(RunInfo::of(&self.start, rewinds));
        }
    }

    pub(super) async fn reload_now(&mut self) -> Result<(), Stop> {
        let events = self.engine.load(self.run).await.map_err(Stop::Failed)?;
        let Some(fold) = Fold::of(&events) else { return Ok(()) };
        self.fold = fold;
        self.count_rewinds(&events);
        self.execution = None;
        self.ops.clear();
        self.dues.clear();
        self.held.clear();
        self.places.clear();
        self.looked_up.clear();
        self.rebuild(&events);
        Ok(())
    }
}
