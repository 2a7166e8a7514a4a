//! Bodies as they are kept, if that is asked for: without what is to be hidden, and no longer than is said. Pure.

use midwatch_providers::redact;
use serde_json::Value;

use crate::config::Bodies;

/// What a hidden value becomes.
const HIDDEN: &str = "[redacted]";
/// What follows a body that was longer.
const CUT: &str = "… [cut]";
/// How deep a body may be nested; what is deeper is hidden.
const DEPTH_MAX: usize = 64;

/// The text of a body for the journal; `None` unless bodies are kept.
pub(crate) fn kept(rules: &Bodies, body: &[u8]) -> Option<String> {
    if !rules.keep {
        return None;
    }
    Some(match serde_json::from_slice::<Value>(body) {
        Ok(value) => kept_value(rules, value, false),
        // What has no fields has none to hide.
        Err(_) => cut(rules, redact(&String::from_utf8_lossy(body)), false),
    })
}

/// The text of a body that is kept; `is_cut` if it is not all of it.
pub(crate) fn kept_value(rules: &Bodies, mut value: Value, is_cut: bool) -> String {
    hide(rules, &mut value, 0);
    cut(rules, value.to_string(), is_cut)
}

fn cut(rules: &Bodies, mut text: String, is_cut: bool) -> String {
    let end = text.char_indices().nth(rules.chars_max).map(|(end, _)| end);
    if let Some(end) = end {
        text.truncate(end);
    }
    if is_cut || end.is_some() {
        text.push_str(CUT);
    }
    text
}

fn hide(rules: &Bodies, value: &mut Value, depth: usize) {
    match value {
        _ if depth > DEPTH_MAX => *value = HIDDEN.into(),
        Value::String(text) => *text = without(rules, text, depth),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(rules, item, depth + 1)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match rules.redact.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
                    true => *value = HIDDEN.into(),
                    false => hide(rules, value, depth + 1),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text without what looks like a credential; one that is JSON itself, as the arguments of tools are, without the fields
/// that are to be hidden, and hidden as a whole if it broke off.
fn without(rules: &Bodies, text: &str, depth: usize) -> String {
    if rules.redact.is_empty() || !text.trim_start().starts_with('{') {
        return redact(text);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            hide(rules, &mut value, depth + 1);
            value.to_string()
        }
        Err(_) => HIDDEN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_unless_asked_for_and_then_without_credentials_and_named_fields() {
        let body =
            br#"{"messages":[{"content":"my key is sk-proj-abcdef0123456789"}],"Email":{"of":"a@b"},"n":1}"#;
        assert_eq!(kept(&Bodies::default(), body), None);
        let rules = Bodies { keep: true, redact: vec!["email".to_owned()], ..Bodies::default() };
        assert_eq!(
            kept(&rules, body).unwrap(),
            r#"{"Email":"[redacted]","messages":[{"content":"my key is sk-[redacted]"}],"n":1}"#
        );
        assert_eq!(kept(&Bodies { chars_max: 5, ..rules.clone() }, body).unwrap(), r#"{"Ema… [cut]"#);
        let arguments = br#"{"arguments":"{\"email\":\"a@b\",\"n\":1}"}"#;
        assert_eq!(kept(&rules, arguments).unwrap(), r#"{"arguments":"{\"email\":\"[redacted]\",\"n\":1}"}"#);
        assert_eq!(kept(&rules, b"Bearer abc").unwrap(), "Bearer [redacted]");
        let deep = "[".repeat(100) + "\"secret text\"" + &"]".repeat(100);
        assert!(!kept(&rules, deep.as_bytes()).unwrap().contains("secret"));
    }
}
