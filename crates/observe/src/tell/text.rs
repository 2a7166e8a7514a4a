//! Text that others wrote, made fit to be shown.

use std::borrow::Cow;

/// Replaces what would move the cursor, change colours or turn the line around: providers' messages are not ours.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|char| if is_unsafe(char) { ' ' } else { char }).collect())
}

fn is_unsafe(char: char) -> bool {
    let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || turns || matches!(char, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_can_neither_move_the_cursor_nor_turn_the_line() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
        assert_eq!(clean("größe 3 €"), "größe 3 €");
    }
}
