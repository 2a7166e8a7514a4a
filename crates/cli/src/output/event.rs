//! One event in human words, in the terminal's colours and zone.

use anstyle::Style;
pub(crate) use midwatch_observe::tell::event::{
    Names, because_of, colon, failed, gave_up, held, parked, resolved, short, spent,
};
use midwatch_workflow::{Event, RunResult};

use super::{look, time};

/// Says what happened, and how it should look.
pub(crate) fn words(event: &Event, names: &Names) -> (String, Style) {
    let (text, tone) = midwatch_observe::tell::event::words(event, names, time::clock);
    (text, look::tone(tone))
}

/// How a run ended.
pub(crate) fn run_ended(result: &RunResult) -> (String, Style) {
    let (text, tone) = midwatch_observe::tell::event::run_ended(result);
    (text, look::tone(tone))
}
