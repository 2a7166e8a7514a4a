//! Dollars as people write them, exactly: never through a float.

/// Decimals of a dollar that `Money` keeps.
const DECIMALS: usize = 12;

/// Reads dollars as whole pico-dollars; an error is advice for the user.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let invalid = || {
        format!(
            "`{text}` is not an amount of dollars: write e.g. \"0.50\" or \"2\", with at most {DECIMALS} decimals"
        )
    };
    let number = text.trim();
    let number = number.strip_prefix('$').unwrap_or(number);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || decimals.len() > DECIMALS || !digits(whole) || !digits(decimals) {
        return Err(invalid());
    }
    format!("{whole}{decimals:0<DECIMALS$}").parse().map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        for (text, picos) in
            [("0.50", 500_000_000_000), ("$2", 2_000_000_000_000), ("0.000000000001", 1), ("0", 0)]
        {
            assert_eq!(parse(text), Ok(picos), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in ["", "-1", ".5", "1e3", "0.0000000000001", "99999999999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
