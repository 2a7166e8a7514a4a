//! Keeps secrets out of what is journaled and shown.

/// How the best-known credentials begin; what follows is hidden.
const PREFIXES: [&str; 17] = [
    "sk-",
    "sk_",
    "rk_",
    "pk_",
    "whsec_",
    "AIza",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "hf_",
    "gsk_",
];

/// Words after which the next one is a credential.
const INTRODUCTIONS: [&str; 2] = ["bearer", "basic"];

/// Names whose value, after `=` or `:`, is a credential.
const NAMES: [&str; 10] = [
    "key",
    "api_key",
    "apikey",
    "api-key",
    "x-api-key",
    "token",
    "access_token",
    "secret",
    "password",
    "signature",
];

/// What a hidden part becomes.
const HIDDEN: &str = "[redacted]";

/// Words of a credential's alphabet that are longer than this and mix cases and digits look like one.
const LONG: usize = 32;

/// Prefixes of long ids that are no secrets and help to find a request again.
const IDS: [&str; 8] = ["req_", "chatcmpl-", "msg_", "resp_", "ch_", "pi_", "re_", "call_"];

/// Hides everything in a text that looks like a credential.
///
/// ```
/// let text = "Incorrect API key provided: sk-proj-abcdef0123456789. See https://example.com/?key=Zm9v&x=1";
/// let shown = midwatch_providers::redact(text);
/// assert_eq!(shown, "Incorrect API key provided: sk-[redacted]. See https://example.com/?key=[redacted]&x=1");
/// ```
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = Before::default();
    while !rest.is_empty() {
        let word = rest.len() - rest.trim_start_matches(is_word).len();
        if word == 0 {
            let gap = rest.len() - rest.trim_start_matches(|c| !is_word(c)).len();
            before.gap(&rest[..gap]);
            shown.push_str(&rest[..gap]);
            rest = &rest[gap..];
        } else {
            let (word, after) = rest.split_at(word);
            push(&mut shown, word, &before);
            before.word(word);
            rest = after;
        }
    }
    shown
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/' | '.' | '*')
}

/// What stands before a word.
#[derive(Default)]
struct Before {
    word: String,
    gap: String,
}

impl Before {
    fn word(&mut self, word: &str) {
        self.word = word.to_ascii_lowercase();
        self.gap.clear();
    }

    fn gap(&mut self, gap: &str) {
        self.gap.push_str(gap);
    }

    /// Whether a word that follows is a credential whatever it looks like.
    fn introduces(&self) -> bool {
        let name = self.word.rsplit(['.', '/']).next().unwrap_or_default();
        let gap = self.gap.trim_matches([' ', '"', '\'', '\\']);
        match gap {
            "" => INTRODUCTIONS.contains(&name),
            "=" => NAMES.contains(&name),
            // Prose says `key: value` too, so the value must look like one; headers and JSON are quoted.
            ":" => NAMES.contains(&name) && self.gap.contains('"'),
            _ => false,
        }
    }
}

fn push(shown: &mut String, word: &str, before: &Before) {
    // A full stop belongs to the sentence.
    let (word, stop) = match word.strip_suffix('.') {
        Some(word) => (word, "."),
        None => (word, ""),
    };
    let prefix = PREFIXES.iter().find(|prefix| word.starts_with(**prefix) && word.len() >= prefix.len() + 8);
    if before.introduces() {
        shown.push_str(HIDDEN);
    } else if let Some(prefix) = prefix {
        shown.push_str(prefix);
        shown.push_str(HIDDEN);
    } else if looks_random(word) {
        shown.push_str(HIDDEN);
    } else {
        shown.push_str(word);
    }
    shown.push_str(stop);
}

/// Whether a word is long and mixes cases and digits as no human word does.
fn looks_random(word: &str) -> bool {
    let longest = word.split(['/', '.']).map(str::len).max().unwrap_or(0);
    let has = |test: fn(&u8) -> bool| word.as_bytes().iter().any(test);
    (longest >= LONG || word.starts_with("eyJ") && word.len() >= LONG)
        && !IDS.iter().any(|id| word.starts_with(id))
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden_wherever_they_stand() {
        for (text, secret) in [
            ("Incorrect API key provided: sk-proj-AbCd0123456789.", "AbCd0123456789"),
            ("Invalid API Key provided: sk_test_4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqLyjWDarjtT1zdp7dc"),
            ("Authorization: Bearer abc.def", "abc.def"),
            ("{\"authorization\": \"Basic dXNlcjpwYXNz\"}", "dXNlcjpwYXNz"),
            ("https://host/v1?key=short&alt=sse", "short"),
            ("{\"api_key\":\"short\"}", "short"),
            ("token AIzaSyA1234567890abcdefghijk", "SyA1234567890"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSM", "SflKxwRJSM"),
            ("x 9fA8b7C6d5E4f3A2b1C0d9E8f7A6b5C4", "9fA8b7C6"),
        ] {
            let shown = redact(text);
            assert!(!shown.contains(secret) && shown.contains(HIDDEN), "{shown}");
        }
    }

    #[test]
    fn what_helps_to_understand_stays() {
        for text in [
            "This model's maximum context length is 128000 tokens. See https://platform.openai.com/docs/guides/error-codes",
            "request req_011CSHoEeqs5C35K2UUqR7FyAbCdEfGh01",
            "unknown key: model",
            "Rate limit reached for gpt-4o-2024-08-06 in organization org-abc on tokens per min (TPM)",
            "risk-taking asks a task-oriented desk_",
            "run 0192f0c1d2e37a4b8c5d6e7f80910a1b",
        ] {
            assert_eq!(redact(text), text);
        }
    }
}
