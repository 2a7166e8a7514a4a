//! Durations as people write them: `30s`, `1h30m`, `250ms`.

use std::time::Duration;

/// Units, in milliseconds, longest name first so that `ms` is not read as `m`.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration; an error is advice for the user.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = |why: &str| {
        Err(format!(
            "`{text}` is not a duration: {why}; write e.g. \"250ms\", \"30s\", \"5m\", \"1h30m\" or \"2d\""
        ))
    };
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(count) = rest[..digits].parse::<u64>() else { return invalid("a whole number is missing") };
        rest = &rest[digits..];
        let Some((name, unit)) = unit_of(rest) else { return invalid("units are ms, s, m, h and d") };
        if unit >= last {
            return invalid("units go from large to small, each at most once");
        }
        last = unit;
        rest = rest[name.len()..].trim_start();
        let Some(sum) = count.checked_mul(unit).and_then(|part| millis.checked_add(part)) else {
            return invalid("that is too long");
        };
        millis = sum;
    }
    match millis {
        0 => invalid("a limit of nothing lets nothing happen"),
        _ => Ok(Duration::from_millis(millis)),
    }
}

/// The unit that a text begins with, if it ends there.
fn unit_of(text: &str) -> Option<(&'static str, u64)> {
    let word = text.len() - text.trim_start_matches(|c: char| c.is_alphabetic()).len();
    UNITS.into_iter().find(|(name, _)| *name == &text[..word])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("1h30m", 5_400_000), ("2d 1s", 172_801_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_advice() {
        for bad in ["", "0s", "30", "30x", "s", "-1s", "1.5s", "1m1h", "1s1s", "99999999999999999d", "30 sec"]
        {
            let advice = parse(bad).expect_err(bad);
            assert!(advice.contains("write e.g."), "{advice}");
        }
    }
}
