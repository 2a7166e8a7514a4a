//! Text that others wrote, made fit for a terminal: no control characters, no more than there is room for.

use std::borrow::Cow;

pub(crate) use midwatch_observe::tell::text::clean;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text to so many columns.
pub(crate) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut cut = String::new();
    let mut used = 1;
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used > columns {
            break;
        }
        cut.push(char);
    }
    if columns > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

/// Breaks a text into lines of so many columns, at spaces where there are any.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word.to_owned();
        loop {
            let line = lines.last_mut().map_or(0, |line| width(line));
            let gap = usize::from(line > 0);
            if line + gap + width(&word) <= columns || (line == 0 && columns < 8) {
                break;
            }
            if line > 0 {
                lines.push(String::new());
                continue;
            }
            let end = word.char_indices().nth(columns).map_or(word.len(), |(at, _)| at);
            let rest = word.split_off(end);
            lines.push(String::new());
            let last = lines.len() - 2;
            lines[last] = std::mem::replace(&mut word, rest);
            if word.is_empty() {
                break;
            }
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns_not_by_bytes() {
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("äöü", 3), "äöü");
    }

    #[test]
    fn long_text_is_broken_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijklmnop q", 10), ["abcdefghij", "klmnop q"]);
    }
}
