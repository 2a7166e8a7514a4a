//! Counting a request's tokens as the model does, where its tokenizer is public (OpenAI's).
//!
//! The tables take five megabytes of a program, and some tens of memory and a tenth of a second once they are used. So
//! they are not for every call: only where the bound from characters is not good enough.

use serde_json::Value;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use crate::estimate::{framing, visit_texts};

/// The longest text that is counted, in bytes; the time it takes grows with it.
const TEXT_MAX: usize = 1 << 20;
/// What the provider may add for tools and formats, which are not sent to the model as they are written: a part of the
/// count, and so many tokens.
const MARGIN_PART: u64 = 20;
const MARGIN: u64 = 16;

/// Counts the input tokens of a request to `target` (`provider:model`), framing included. `None` if the model's tokenizer
/// is not known, or the text is over a megabyte. Takes milliseconds, the first time a tenth of a second: call it where
/// blocking is allowed.
pub fn count_input(target: &str, body: &Value) -> Option<u64> {
    let encoder = encoder(target)?;
    let (mut bytes, mut tokens) = (0, framing(body));
    visit_texts(body, &mut |text| {
        bytes += text.len();
        if bytes <= TEXT_MAX {
            tokens += encoder.encode_ordinary(text).len() as u64;
        }
    });
    (bytes <= TEXT_MAX).then_some(tokens)
}

/// The most input tokens that a request may be, from its counted tokens: a twentieth and sixteen more. `None` as
/// [`count_input`].
pub fn bound_input_counted(target: &str, body: &Value) -> Option<u64> {
    let counted = count_input(target, body)?;
    Some(counted + counted.div_ceil(MARGIN_PART) + MARGIN)
}

fn encoder(target: &str) -> Option<&'static CoreBPE> {
    let (provider, model) = target.split_once(':')?;
    if !matches!(provider, "openai" | "azure") {
        return None;
    }
    match get_tokenizer(model)? {
        Tokenizer::O200kBase | Tokenizer::O200kHarmony => Some(o200k_base_singleton()),
        Tokenizer::Cl100kBase => Some(cl100k_base_singleton()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound_input;
    use serde_json::json;

    fn body(text: &str) -> Value {
        json!({"model": "any", "messages": [{"role": "user", "content": text}]})
    }

    #[test]
    fn tokens_are_those_of_the_models_own_tokenizer() {
        // "tiktoken is great!" is six tokens of both encodings in the documentation of tiktoken.
        for target in ["openai:gpt-4o-mini", "openai:gpt-4", "openai:gpt-4o-2024-08-06"] {
            assert_eq!(count_input(target, &body("tiktoken is great!")), Some(6 + 4 + 3), "{target}");
        }
        for target in ["anthropic:claude-sonnet-4-5", "openai:no-such-model", "gpt-4o"] {
            assert_eq!(count_input(target, &body("tiktoken is great!")), None, "{target}");
        }
        assert_eq!(count_input("openai:gpt-4o", &body(&"a ".repeat(TEXT_MAX))), None);
    }

    #[test]
    fn the_bound_from_characters_holds_for_prose_code_and_other_scripts() {
        for text in [
            "The middle watch runs from midnight to four.",
            "fn main() { let x: Vec<u8> = (0..=255).map(|n| n ^ 0x5a).collect(); }",
            r#"{"id":"a81f-77","items":[{"sku":"x-1","n":3},{"sku":"y-22","n":14}]}"#,
            "Die Hundewache dauert von Mitternacht bis vier Uhr früh.",
            "深夜零点到四点的值班",
        ] {
            let counted = count_input("openai:gpt-4o", &body(text)).expect("counted");
            assert!(counted <= bound_input(&body(text)), "{text}: {counted}");
        }
    }
}
