//! How many tokens a text is, where nobody says so.
//!
//! The rule of thumb that providers publish: four characters of English are a token. Characters outside ASCII (Chinese,
//! Japanese, emoji) are about one token each. It is meant for calls whose usage never came, and its result is marked as
//! estimated wherever it is booked.

use serde_json::Value;

/// ASCII characters in a token.
const ASCII_PER_TOKEN: u64 = 4;
/// Tokens that frame each message, and the answer, in chat formats.
const PER_MESSAGE: u64 = 4;
const PER_REQUEST: u64 = 3;

/// Counts characters towards an estimate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Chars {
    ascii: u64,
    other: u64,
}

impl Chars {
    fn add(&mut self, text: &str) {
        if text.is_ascii() {
            self.ascii += text.len() as u64;
            return;
        }
        for c in text.chars() {
            *(if c.is_ascii() { &mut self.ascii } else { &mut self.other }) += 1;
        }
    }

    const fn tokens(self) -> u64 {
        self.ascii.div_ceil(ASCII_PER_TOKEN) + self.other
    }
}

/// Estimates the output tokens of a text.
pub fn estimate_output(text: &str) -> u64 {
    let mut chars = Chars::default();
    chars.add(text);
    chars.tokens()
}

/// Estimates the input tokens of a request body in the form of OpenAI (chat, Responses), Anthropic or Gemini: the text of
/// its messages, instructions and tools, with four tokens a message and three a request for the framing.
///
/// Images and audio are not counted: their cost does not follow from their size.
pub fn estimate_input(body: &Value) -> u64 {
    let mut chars = Chars::default();
    visit_texts(body, &mut |text| chars.add(text));
    chars.tokens() + framing(body)
}

/// The most input tokens that a request body may be, from its characters alone: twice the estimate, since dense text (code,
/// JSON, names) has two characters a token where prose has four.
pub fn bound_input(body: &Value) -> u64 {
    bound_of_estimate(estimate_input(body))
}

/// The same from an estimate of the body, where there is one already.
pub fn bound_of_estimate(estimate: u64) -> u64 {
    estimate.saturating_mul(2)
}

/// Tokens that no text of the body stands for.
pub(crate) fn framing(body: &Value) -> u64 {
    let messages = ["messages", "input", "contents"].iter().map(|field| match &body[field] {
        Value::Array(items) => items.len() as u64,
        Value::String(_) => 1,
        _ => 0,
    });
    PER_MESSAGE * messages.sum::<u64>() + PER_REQUEST
}

/// Visits all texts of a request that are input.
pub(crate) fn visit_texts(body: &Value, visit: &mut impl FnMut(&str)) {
    for field in
        ["messages", "input", "contents", "prompt", "system", "instructions", "systemInstruction", "tools"]
    {
        visit_strings(&body[field], visit);
    }
}

/// Visits all strings, except those that say what kind of thing something is, and those that are no text.
fn visit_strings(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| visit_strings(item, visit)),
        Value::Object(members) => {
            let text = members.iter().filter(|(name, _)| {
                let is_label = matches!(name.as_str(), "role" | "type");
                let is_media = matches!(name.as_str(), "image_url" | "input_audio" | "inlineData" | "source");
                !is_label && !is_media
            });
            text.for_each(|(_, value)| visit_strings(value, visit));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_counted_and_labels_and_pictures_are_not() {
        let body = json!({
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": "12345678"},
                {"role": "user", "content": [
                    {"type": "text", "text": "1234"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAAAAAAAAAAAAAA"}},
                ]},
            ],
        });
        assert_eq!(estimate_input(&body), 3 + 2 * 4 + 3);
    }

    #[test]
    fn scripts_without_letters_cost_a_token_a_character() {
        assert_eq!(estimate_output("中文字"), 3);
        assert_eq!(estimate_output("hello"), 2);
        assert_eq!(estimate_output(""), 0);
    }
}
