//! The execution whose code runs now: what the workflow core asks of it, and its clock.

use std::cell::RefCell;

use midwatch_workflow::Timestamp;
use temporalio_sdk::WorkflowContext;

use crate::host::Host;
use crate::time::timestamp;

thread_local! {
    /// The execution whose workflow is being polled: workflows may move between threads, its context may not.
    static POLLED: RefCell<Option<WorkflowContext<Host>>> = const { RefCell::new(None) };
}

/// Lets the workflow's code run with its context at hand.
pub(crate) fn polled<T>(cx: &WorkflowContext<Host>, act: impl FnOnce() -> T) -> T {
    POLLED.with(|slot| *slot.borrow_mut() = Some(cx.clone()));
    let acted = act();
    POLLED.with(|slot| slot.borrow_mut().take());
    acted
}

/// Whether the history takes the new side of a change: a marker in it says so.
pub(crate) fn is_patched(id: &str) -> bool {
    POLLED.with(|slot| slot.borrow().as_ref().is_none_or(|cx| cx.patched(id)))
}

/// The clock of an execution.
pub(crate) fn now(cx: &WorkflowContext<Host>) -> Timestamp {
    cx.workflow_time().map_or(Timestamp::default(), timestamp)
}
