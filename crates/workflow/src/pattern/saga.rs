//! Compensation: undoing the steps of a run that failed, latest first.

use crate::call::{StepSpec, Tries, park};
use crate::context::Context;
use crate::event::Note;
use crate::{Failure, OpId, ParkReason, Payload, Resolution, RunResult, Step};

/// A registered compensation.
#[derive(Clone, Debug)]
pub(crate) struct Undo {
    /// The first operation of the step that it undoes; the order of undoing goes by it.
    pub(crate) step: OpId,
    /// Whether it is that step's own, or was registered by hand after it.
    pub(crate) of: UndoOf,
    pub(crate) spec: StepSpec,
    pub(crate) input: Payload,
}

/// Whose effect a compensation undoes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UndoOf {
    Step,
    Workflow,
}

/// Registers a compensation for an effect of the workflow's own.
pub(crate) fn register<S: Step>(cx: &Context, undo: &S, input: &S::Input) -> Result<(), Failure> {
    let input = Payload::of(input)?;
    let mut state = cx.shared().lock();
    let step = state.last_op();
    state.undos.push(Undo { step, of: UndoOf::Workflow, spec: StepSpec::of(undo), input });
    Ok(())
}

/// Takes back the compensation of a step that certainly had no effect.
pub(crate) fn forget(cx: &Context, step: OpId) {
    cx.shared().lock().undos.retain(|undo| undo.step != step || undo.of == UndoOf::Workflow);
}

/// Runs all registered compensations in reverse order of the start of their steps. One that fails for good parks the run
/// until a person has it retried, says that it is done, or gives it up; the ones before it follow.
pub(crate) async fn unwind(cx: &Context, cause: Failure) -> RunResult {
    let mut undos = std::mem::take(&mut cx.shared().lock().undos);
    // Of those that stand at the same place the last one goes first.
    undos.reverse();
    undos.sort_by_key(|undo| std::cmp::Reverse(undo.step));
    let (mut compensated, mut resolved) = (0, 0);
    if !undos.is_empty() {
        let steps = undos.iter().map(|undo| undo.spec.name.to_string()).collect();
        cx.shared().lock().note(Note::Compensating { cause: cause.clone(), steps });
    }
    for undo in undos {
        match compensate(cx, undo).await {
            By::Step => compensated += 1,
            By::Person => {
                compensated += 1;
                resolved += 1;
            }
            By::Nobody => {}
        }
    }
    RunResult::Failed { failure: cause, compensated, resolved }
}

/// Who undid a step.
enum By {
    Step,
    Person,
    Nobody,
}

async fn compensate(cx: &Context, undo: Undo) -> By {
    let spec = StepSpec { undoes: Some(undo.step), ..undo.spec };
    let mut tries = Tries::begin(cx, &spec, undo.input);
    loop {
        let Err(failure) = tries.run(None).await else { return By::Step };
        let message = format!("compensation {} failed: {failure}", spec.name);
        match park(cx, &spec.name, ParkReason::CompensationFailed, message).await {
            Ok(Resolution::Retry) => tries.forgive(),
            Ok(Resolution::Done(_)) => return By::Person,
            Ok(Resolution::Fail) | Err(_) => return By::Nobody,
        }
    }
}
