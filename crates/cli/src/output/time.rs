//! Times and durations as people say them.

use std::time::Duration;

use jiff::tz::TimeZone;
use midwatch_workflow::Timestamp;

/// A duration in at most two units: `340ms`, `3.42s`, `14m02s`, `3h07m`, `2d04h`.
pub(crate) fn span(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    match seconds {
        0 if millis == 0 && !duration.is_zero() => format!("{}µs", duration.as_micros()),
        0 => format!("{millis}ms"),
        // Whole numbers only: rounding up must not give `60.0s`.
        1..10 => format!("{seconds}.{:02}s", duration.subsec_millis() / 10),
        10..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A duration in one unit: `14m`.
pub(crate) fn coarse(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// How far a time is away: `14m02s ago`, `in 3.20s`, `now`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    match at.cmp(&now) {
        std::cmp::Ordering::Less => format!("{} ago", span(now.since(at))),
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Greater => format!("in {}", span(at.since(now))),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units_and_never_sixty_of_the_smaller() {
        let cases = [
            (0, "0ms"),
            (250, "250µs"),
            (340_000, "340ms"),
            (999_999, "999ms"),
            (3_420_000, "3.42s"),
            (59_999_000, "59.9s"),
            (842_000_000, "14m02s"),
            (11_220_000_000, "3h07m"),
            (187_200_000_000, "2d04h"),
        ];
        for (micros, text) in cases {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }
}
