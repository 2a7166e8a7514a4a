//! Times in the zone of the system, beside durations as people say them.

use jiff::tz::TimeZone;
pub(crate) use midwatch_observe::tell::time::{coarse, relative, span};
use midwatch_workflow::Timestamp;

/// The time of day: `07:00:03.120`.
pub(crate) fn clock(at: Timestamp) -> String {
    format(at, "%H:%M:%S%.3f")
}

/// The date and time: `2026-11-24 07:00:03 UTC`.
pub(crate) fn date(at: Timestamp) -> String {
    format(at, "%Y-%m-%d %H:%M:%S %Z")
}

/// The time of day, with the date if that is another day than `now`'s.
pub(crate) fn near(at: Timestamp, now: Timestamp) -> String {
    let day = "%Y-%m-%d";
    if format(at, day) == format(now, day) { format(at, "%H:%M:%S") } else { format(at, "%Y-%m-%d %H:%M:%S") }
}

/// In the zone of the system (`TZ`).
fn format(at: Timestamp, pattern: &str) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => time.to_zoned_datetime(TimeZone::system()).strftime(pattern).to_string(),
        Err(_) => format!("{at} s"),
    }
}
