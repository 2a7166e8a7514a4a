//! Inputs and outputs as they are shown: so much and no more, and secrets hidden.

use maud::{Markup, html};
use midwatch_observe::tell::amount;
use midwatch_observe::tell::text::clean;
use midwatch_workflow::Payload;
use serde_json::Value;

use crate::html::events;
use crate::settings::Settings;

/// So much of a payload is shown beside other things.
const SHORT_MAX: usize = 4_000;
/// So much of it is shown on its own.
pub(crate) const LONG_MAX: usize = 200_000;
/// A larger payload is not read for the names of its fields.
const READ_MAX: usize = 1 << 20;

/// Names of fields whose values are hidden. A name counts if it is one of these, or ends in `_` or `-` and one of these.
const SECRET: [&str; 17] = [
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "api_key",
    "apikey",
    "api-key",
    "cookie",
    "credential",
    "credentials",
    "private_key",
    "card_number",
    "cvc",
    "cvv",
    "ssn",
    "iban",
];
const HIDDEN: &str = "[hidden]";

/// A payload, folded if it is long, with the event that holds it.
pub(crate) fn shown(
    name: &str,
    payload: &Payload,
    settings: &Settings,
    event: (midwatch_workflow::RunId, u64),
) -> Markup {
    let text = text(payload, settings, SHORT_MAX);
    let is_short = text.len() <= 80 && !text.contains('\n');
    html! {
        div.payload {
            span.label { (name) }
            @if is_short { code { (text) } } @else { pre tabindex="0" { (text) } }
            @if payload.as_str().len() > SHORT_MAX { span.faint { "the beginning of " (amount::bytes(payload.as_str().len() as u64)) } }
            (events(event.0, &[event.1]))
        }
    }
}

/// A payload's text, laid out and with secrets hidden, cut to so many bytes.
pub(crate) fn text(payload: &Payload, settings: &Settings, bytes_max: usize) -> String {
    let raw = payload.as_str();
    let text = match (raw.len() <= READ_MAX).then(|| serde_json::from_str::<Value>(raw)) {
        Some(Ok(mut value)) => {
            hide(&mut value, &settings.redact);
            match &value {
                Value::Object(_) | Value::Array(_) if raw.len() > 60 => {
                    serde_json::to_string_pretty(&value).unwrap_or_default()
                }
                _ => value.to_string(),
            }
        }
        // What is not read is shown as far as nothing in it can be a secret: not at all.
        _ => format!("{} of JSON", amount::bytes(raw.len() as u64)),
    };
    let lines = text.lines().map(|line| clean(line).into_owned());
    cut(&lines.collect::<Vec<_>>().join("\n"), bytes_max)
}

/// Hides what is under a secret's name, and in texts what looks like a credential. Says whether there was anything to hide.
pub(crate) fn hide(value: &mut Value, more: &[String]) -> bool {
    let mut has_hidden = false;
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                has_hidden |= match is_secret(name, more) && !value.is_null() {
                    true => {
                        *value = Value::String(HIDDEN.to_owned());
                        true
                    }
                    false => hide(value, more),
                };
            }
        }
        Value::Array(values) => {
            for value in values {
                has_hidden |= hide(value, more);
            }
        }
        Value::String(text) => {
            let shown = midwatch_providers::redact(text);
            has_hidden = shown != *text;
            *text = shown;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    has_hidden
}

fn is_secret(name: &str, more: &[String]) -> bool {
    let name = name.to_ascii_lowercase();
    let is = |secret: &str| {
        name.strip_suffix(secret).is_some_and(|before| before.is_empty() || before.ends_with(['_', '-']))
    };
    SECRET.iter().any(|secret| is(secret)) || more.iter().any(|more| is(&more.to_ascii_lowercase()))
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        text.to_owned()
    } else {
        format!("{}…", &text[..text.floor_char_boundary(bytes_max)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let settings = Settings { redact: vec!["salary".to_owned()], ..Settings::default() };
        text(&Payload::from_json(json).unwrap(), &settings, 1_000)
    }

    #[test]
    fn values_under_a_secrets_name_are_hidden_and_counts_of_tokens_are_not() {
        assert_eq!(shown(r#"{"password":"x"}"#), r#"{"password":"[hidden]"}"#);
        assert_eq!(shown(r#"{"a":[{"access_token":"x"}]}"#), r#"{"a":[{"access_token":"[hidden]"}]}"#);
        assert_eq!(shown(r#"{"Salary":7}"#), r#"{"Salary":"[hidden]"}"#);
        assert_eq!(shown(r#"{"max_tokens":7}"#), r#"{"max_tokens":7}"#);
    }

    #[test]
    fn what_looks_like_a_credential_is_hidden_wherever_it_stands() {
        assert!(!shown(r#""use sk-proj-abcdef0123456789""#).contains("abcdef"));
    }

    #[test]
    fn a_long_payload_is_cut_at_a_character() {
        let settings = Settings::default();
        let payload = Payload::of(&"ä".repeat(5_000)).unwrap();
        let cut = text(&payload, &settings, 1_001);
        assert!(cut.len() <= 1_010 && cut.ends_with('…'));
    }
}
