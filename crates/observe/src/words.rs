//! Durations, amounts and counts inside the sentences that views give.

use std::time::Duration;

use midwatch_workflow::Money;

/// A duration in at most two units: `340ms`, `3.4s`, `14m02s`, `3h07m`, `2d04h`.
pub(crate) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds @ 1..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100).replace(".0s", "s"),
        seconds @ 60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds @ 3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        seconds => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Dollars, to the cent from a cent upward, with two significant digits below.
pub(crate) fn usd(money: Money) -> String {
    let dollars = money.as_usd();
    match dollars {
        0.0 => "$0.00".to_owned(),
        0.01.. => format!("${dollars:.2}"),
        0.001.. => format!("${dollars:.4}"),
        _ => format!("${dollars:.6}"),
    }
}

/// A count of tokens: `940`, `9k`, `118k`, `2.4M`.
pub(crate) fn tokens(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{}k", (count + 500) / 1_000),
        _ => format!("{}.{}M", count / 1_000_000, count / 100_000 % 10),
    }
}

/// `1 run`, `2 runs`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A share of a whole in whole percent.
pub(crate) fn percent(part: f64, whole: f64) -> String {
    format!("{:.0}%", if whole > 0.0 { 100.0 * part / whole } else { 0.0 })
}

/// How many times larger, to a useful digit: `7.8×`, `23×`.
pub(crate) fn times(part: f64, whole: f64) -> String {
    match part / whole {
        ratio if ratio < 10.0 => format!("{ratio:.1}×"),
        ratio => format!("{ratio:.0}×"),
    }
}

/// A word as a shell takes it.
pub fn shell(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:#@%+=".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The beginning of a message that somebody else wrote, on one line.
pub(crate) fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_amounts_are_short() {
        let spans =
            [(340, "340ms"), (3_400, "3.4s"), (60_000, "1m00s"), (842_000, "14m02s"), (11_220_000, "3h07m")];
        for (millis, text) in spans {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        assert_eq!(usd("4.806".parse().unwrap()), "$4.81");
        assert_eq!(tokens(117_600), "118k");
        assert_eq!(times(4.81, 0.62), "7.8×");
        assert_eq!(shell("it's"), r"'it'\''s'");
    }
}
