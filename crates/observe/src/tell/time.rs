//! Durations as people say them.

use std::time::Duration;

use midwatch_workflow::Timestamp;

/// A duration in at most two units: `340ms`, `3.42s`, `14m02s`, `3h07m`, `2d04h`.
pub fn span(duration: Duration) -> String {
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
pub fn coarse(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// How far a time is away: `14m02s ago`, `in 3.20s`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    match at.cmp(&now) {
        std::cmp::Ordering::Less => format!("{} ago", span(now.since(at))),
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Greater => format!("in {}", span(at.since(now))),
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
