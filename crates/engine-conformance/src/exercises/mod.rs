//! All exercises, one promise in each file. Beside each lies the story of the journal that must come of it.

mod child;
mod child_cancelled;
mod child_cancelled_at_once;
mod compensation_order;
mod join_order;
mod prelude;
mod retry;
mod retry_after;
mod retry_given_up;
mod retry_now;
mod signal_after;
mod signal_before;
mod signal_timeout;
mod timer;

use crate::Exercise;

/// All exercises.
pub const ALL: &[Exercise] = &[
    retry::EXERCISE,
    retry_given_up::EXERCISE,
    retry_after::EXERCISE,
    retry_now::EXERCISE,
    timer::EXERCISE,
    signal_before::EXERCISE,
    signal_after::EXERCISE,
    signal_timeout::EXERCISE,
    child::EXERCISE,
    child_cancelled::EXERCISE,
    child_cancelled_at_once::EXERCISE,
    join_order::EXERCISE,
    compensation_order::EXERCISE,
];
