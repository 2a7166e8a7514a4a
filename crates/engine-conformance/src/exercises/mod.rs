//! All exercises, one promise in each file. Beside each lies the story of the journal that must come of it.

mod abandon;
mod attempt_timeout;
mod budget_fail;
mod budget_park;
mod cancel;
mod cancel_while_compensating;
mod child;
mod child_cancelled;
mod child_cancelled_at_once;
mod compensation_forgotten;
mod compensation_order;
mod compensation_parks_and_resolves;
mod compensation_uncertain;
mod duplicate_start;
mod fork;
mod heartbeat_miss;
mod heartbeat_progress;
mod join_order;
mod mismatch;
mod panic_in_step;
mod panic_in_workflow;
mod patch;
mod pause_resume;
mod payload_too_large;
mod prelude;
mod queue_concurrency;
mod queue_timeout;
mod replayed_failure;
mod retry;
mod retry_after;
mod retry_given_up;
mod retry_now;
mod rewind;
mod run_deadline;
mod run_deadline_while_compensating;
mod signal_after;
mod signal_before;
mod signal_timeout;
mod step_timeout;
mod stray;
mod timer;
mod unknown_step;

use crate::Exercise;

/// All exercises.
pub const ALL: &[Exercise] = &[
    retry::EXERCISE,
    retry_given_up::EXERCISE,
    retry_after::EXERCISE,
    retry_now::EXERCISE,
    replayed_failure::EXERCISE,
    timer::EXERCISE,
    signal_before::EXERCISE,
    signal_after::EXERCISE,
    signal_timeout::EXERCISE,
    child::EXERCISE,
    child_cancelled::EXERCISE,
    child_cancelled_at_once::EXERCISE,
    join_order::EXERCISE,
    abandon::EXERCISE,
    compensation_order::EXERCISE,
    compensation_uncertain::EXERCISE,
    compensation_forgotten::EXERCISE,
    compensation_parks_and_resolves::EXERCISE,
    cancel::EXERCISE,
    cancel_while_compensating::EXERCISE,
    heartbeat_miss::EXERCISE,
    heartbeat_progress::EXERCISE,
    attempt_timeout::EXERCISE,
    step_timeout::EXERCISE,
    run_deadline::EXERCISE,
    run_deadline_while_compensating::EXERCISE,
    queue_concurrency::EXERCISE,
    queue_timeout::EXERCISE,
    pause_resume::EXERCISE,
    budget_park::EXERCISE,
    budget_fail::EXERCISE,
    fork::EXERCISE,
    rewind::EXERCISE,
    patch::EXERCISE,
    mismatch::EXERCISE,
    stray::EXERCISE,
    unknown_step::EXERCISE,
    panic_in_step::EXERCISE,
    panic_in_workflow::EXERCISE,
    payload_too_large::EXERCISE,
    duplicate_start::EXERCISE,
];
