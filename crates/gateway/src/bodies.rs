//! Bodies as they are kept, if that is asked for: without what is to be hidden, and no longer than is said. Pure.

use midwatch_providers::redact;
use serde_json::Value;

use crate::config::Bodies;

/// What a hidden value becomes.
const HIDDEN: &str = "[redacted]";
/// How deep a body may be nested; what is deeper is hidden.
const DEPTH_MAX: usize = 64;

/// The text of a body for the journal; `None` unless bodies are kept.
pub(crate) fn kept(rules: &Bodies, body: &[u8]) -> Option<String> {
    if !rules.keep {
        return None;
    }
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            hide(rules, &mut value, 0);
            value.to_string()
        }
        // What has no fields has none to hide.
        Err(_) => redact(&String::from_utf8_lossy(body)),
    };
    Some(text.chars().take(rules.chars_max).collect())
}

fn hide(rules: &Bodies, value: &mut Value, depth: usize) {
    match value {
        _ if depth > DEPTH_MAX => *value = HIDDEN.into(),
        Value::String(text) => *text = redact(text),
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
        assert_eq!(kept(&Bodies { chars_max: 5, ..rules.clone() }, body).unwrap(), r#"{"Ema"#);
        assert_eq!(kept(&rules, b"Bearer abc").unwrap(), "Bearer [redacted]");
        let deep = "[".repeat(100) + "\"secret text\"" + &"]".repeat(100);
        assert!(!kept(&rules, deep.as_bytes()).unwrap().contains("secret"));
    }
}
