//! Money and counts as people read them; the exact amounts are in the JSON.

use midwatch_workflow::{Money, Spent};

const PICOS_PER_CENT: u64 = 10_000_000_000;

/// Dollars with two decimals, or with two digits that are not zero if it is less than a cent: `$4.81`, `$0.0034`.
pub fn money(money: Money) -> String {
    let picos = money.as_picos();
    if picos == 0 || picos >= PICOS_PER_CENT {
        let cents = picos.saturating_add(PICOS_PER_CENT / 2) / PICOS_PER_CENT;
        return format!("${}.{:02}", cents / 100, cents % 100);
    }
    let decimals = format!("{picos:012}");
    let first = decimals.find(|digit| digit != '0').unwrap_or(0);
    let shown = decimals[..(first + 2).min(12)].trim_end_matches('0');
    format!("$0.{shown}")
}

/// What was spent; what has no price is told as such and never as nothing: `$0.62`, `$0.62+?`, `?`; empty for nothing.
pub fn spent(spent: &Spent) -> String {
    match (spent.cost, spent.unpriced) {
        (Money::ZERO, 0) => String::new(),
        (Money::ZERO, _) => "?".to_owned(),
        (cost, 0) => money(cost),
        (cost, _) => format!("{}+?", money(cost)),
    }
}

/// A whole number in groups of three: `12,345`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 run`, `2 runs`.
pub fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number))
}

/// Bytes: `4.2 MB`.
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1_000.0 {
            let decimals = usize::from(unit != "B" && size < 100.0);
            return format!("{size:.decimals$} {unit}");
        }
        size /= 1_000.0;
    }
    format!("{size:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_amounts_keep_two_digits_and_large_ones_two_decimals() {
        let cases = [
            ("4.806", "$4.81"),
            ("0.62", "$0.62"),
            ("0.0034", "$0.0034"),
            ("0.000135", "$0.00013"),
            ("0", "$0.00"),
        ];
        for (exact, shown) in cases {
            assert_eq!(money(exact.parse().unwrap()), shown);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(4_200_000), "4.2 MB");
    }

    #[test]
    fn what_has_no_price_is_never_shown_as_zero() {
        assert_eq!(spent(&Spent { unpriced: 2, ..Spent::default() }), "?");
        assert_eq!(spent(&Spent { cost: Money::from_cents(62), unpriced: 1, ..Spent::default() }), "$0.62+?");
    }
}
