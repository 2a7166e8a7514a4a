//! Rebuilding a run from its events: a pure function, and the check that the code still asks for what the journal records.

use std::collections::BTreeMap;

use midwatch_workflow::{
    Event, EventKind, Execution, Mismatch, Op, OpId, OpKind, ParkReason, Progress, WorkflowDefinition,
};

use crate::{Fold, effective, recorded};

/// A run rebuilt in memory.
pub struct Replayed {
    /// Ready to be settled and advanced further.
    pub execution: Execution,
    /// Operations that the journal records as asked for and not as ended, to be taken up again.
    pub open: Vec<Op>,
    /// Operations that the code asks for beyond the journal, not recorded yet.
    pub fresh: Vec<Op>,
    /// Where the execution stands.
    pub progress: Progress,
}

/// Why a run could not be rebuilt.
#[derive(Debug)]
pub enum Unreplayable {
    /// The code asks for something else than the journal records.
    Mismatch(Mismatch),
    /// The code panicked.
    Panicked(String),
    /// The journal does not begin with a start.
    NoStart,
}

impl Unreplayable {
    /// Why the run cannot go on with this code, and what to do about it; `None` if it is no matter of code.
    pub fn obstacle(self) -> Option<(ParkReason, String)> {
        match self {
            Unreplayable::Mismatch(mismatch) => {
                let what =
                    format!("{mismatch}: put the old code back, or guard the change with cx.patched(\"…\")");
                Some((ParkReason::Mismatch, what))
            }
            Unreplayable::Panicked(message) => Progress::Panicked(message).obstacle(),
            Unreplayable::NoStart => None,
        }
    }
}

/// Replays events through a workflow's code.
///
/// # Errors
/// [`Unreplayable`]; nothing was changed.
pub fn replay(
    workflow: &WorkflowDefinition,
    events: &[Event],
    fold: &Fold,
) -> Result<Replayed, Unreplayable> {
    let events = effective(events);
    let Some((_, Event { at, kind: EventKind::RunStarted(start) })) = events.first() else {
        return Err(Unreplayable::NoStart);
    };
    let mut execution = Execution::new(workflow, (**start).clone(), *at, recorded(&events));
    let mut asked = Asked::default();
    let mut progress = asked.advance(&mut execution)?;
    for (_, event) in &events[1..] {
        if asks(&event.kind) {
            asked.check(&event.kind, &progress)?;
        } else if execution.happened(&event.kind, event.at) {
            progress = asked.advance(&mut execution)?;
        }
    }
    let (open, fresh) = asked.finish(fold);
    Ok(Replayed { execution, open, fresh, progress })
}

/// Whether an event records what the code asked for.
fn asks(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::AttemptScheduled(_)
            | EventKind::TimerStarted { .. }
            | EventKind::SignalAwaited { .. }
            | EventKind::ChildStarted { .. }
            | EventKind::Parked { op: Some(_), .. }
            | EventKind::Noted { .. }
            | EventKind::Abandoned { .. }
    )
}

/// What the code asked for so far, less what the journal was seen to record.
#[derive(Default)]
struct Asked {
    unrecorded: BTreeMap<OpId, Op>,
    abandoned: Vec<Op>,
    recorded: BTreeMap<OpId, Op>,
    cancelled_children: Vec<Op>,
}

impl Asked {
    fn advance(&mut self, execution: &mut Execution) -> Result<Progress, Unreplayable> {
        let advanced = execution.advance();
        for op in advanced.ops {
            match op.kind {
                OpKind::Abandon => self.abandoned.push(op),
                OpKind::CancelChild => self.cancelled_children.push(op),
                _ => {
                    self.unrecorded.insert(op.id, op);
                }
            }
        }
        match advanced.progress {
            Progress::Panicked(message) => Err(Unreplayable::Panicked(message)),
            progress => Ok(progress),
        }
    }

    fn check(&mut self, kind: &EventKind, progress: &Progress) -> Result<(), Unreplayable> {
        let Some(id) = kind.op() else { return Ok(()) };
        if let EventKind::Abandoned { .. } = kind {
            self.abandoned.retain(|op| op.id != id);
            return Ok(());
        }
        let Some(op) = self.unrecorded.remove(&id) else {
            return Err(Unreplayable::Mismatch(self.nothing_asked(kind, progress)));
        };
        op.check(kind).map_err(Unreplayable::Mismatch)?;
        self.recorded.insert(id, op);
        Ok(())
    }

    fn nothing_asked(&self, kind: &EventKind, progress: &Progress) -> Mismatch {
        let code = match (progress, self.unrecorded.values().next()) {
            (Progress::Done(_), _) => "the end of the run".to_owned(),
            (_, Some(op)) => op.to_string(),
            (_, None) => "nothing".to_owned(),
        };
        Mismatch::new(kind, code)
    }

    /// Splits into operations to take up again and operations to record first.
    fn finish(self, fold: &Fold) -> (Vec<Op>, Vec<Op>) {
        let mut open: Vec<Op> =
            self.recorded.into_values().filter(|op| fold.open.contains_key(&op.id)).collect();
        open.extend(self.cancelled_children.into_iter().filter(|op| fold.open.contains_key(&op.id)));
        let mut fresh: Vec<Op> = self.unrecorded.into_values().collect();
        fresh.extend(self.abandoned);
        (open, fresh)
    }
}
