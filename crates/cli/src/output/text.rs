//! Text that others wrote, made fit for a terminal: no control characters, no more than there is room for.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Replaces what would move the cursor, change colours or turn the line around: providers' messages are not ours.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|char| if is_unsafe(char) { ' ' } else { char }).collect())
}

fn is_unsafe(char: char) -> bool {
    let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || turns || matches!(char, '\u{2028}' | '\u{2029}')
}

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
    fn a_message_can_neither_move_the_cursor_nor_turn_the_line() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
        assert_eq!(clean("größe 3 €"), "größe 3 €");
    }

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
