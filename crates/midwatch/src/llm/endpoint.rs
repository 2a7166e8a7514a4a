//! Where a model is found: by name, from the environment or as the caller says.

use midwatch_providers::Provider;
use midwatch_workflow::{Class, Failure};

/// The two forms of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
}

/// An endpoint and its model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Endpoint {
    /// `openai:gpt-4o`.
    pub(super) target: String,
    pub(super) dialect: Dialect,
    pub(super) model: String,
    /// Whether it is the provider's own, not a compatible one.
    pub(super) is_official: bool,
    /// Of the whole request.
    pub(super) url: String,
    /// Not shown: see [`Key`].
    pub(super) key: Option<Key>,
}

/// A credential that shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key(pub(super) String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Endpoint {
    /// Finds the endpoint of `provider:model`. What is not given comes from `{PROVIDER}_BASE_URL` and
    /// `{PROVIDER}_API_KEY` in `env`; OpenAI and Anthropic are found without a base URL.
    pub(super) fn find(
        target: &str,
        base_url: Option<String>,
        key: Option<String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let invalid = |message: String| Failure::new(Class::InvalidRequest, message);
        let Some((provider, model)) = target.split_once(':').filter(|(p, m)| !p.is_empty() && !m.is_empty())
        else {
            return Err(invalid(format!("`{target}` names no model: write e.g. `openai:gpt-4o-mini`")));
        };
        let dialect = if provider == "anthropic" { Dialect::Anthropic } else { Dialect::OpenAi };
        let prefix = provider.to_ascii_uppercase().replace(['-', '.'], "_");
        let from_env = |name: &str| env(&format!("{prefix}_{name}")).filter(|value| !value.trim().is_empty());
        let official = match provider {
            "openai" => Some("https://api.openai.com/v1"),
            "anthropic" => Some("https://api.anthropic.com"),
            _ => None,
        };
        let given = base_url.or_else(|| from_env("BASE_URL"));
        let is_official = given.is_none();
        let base = given.or(official.map(str::to_owned)).ok_or_else(|| {
            invalid(format!("no base URL for `{target}`: set {prefix}_BASE_URL or call `.base_url(…)`"))
        })?;
        let key = key.or_else(|| from_env("API_KEY"));
        if key.is_none() && is_official {
            let message = format!("no key for `{target}`: set {prefix}_API_KEY or call `.api_key(…)`");
            return Err(Failure::new(Class::Authentication, message));
        }
        Ok(Self {
            target: target.to_owned(),
            dialect,
            model: model.to_owned(),
            is_official,
            url: url(dialect, &base),
            key: key.map(Key),
        })
    }

    pub(super) fn provider(&self) -> Provider {
        match self.dialect {
            Dialect::OpenAi => Provider::OpenAi,
            Dialect::Anthropic => Provider::Anthropic,
        }
    }
}

/// OpenAI's base ends in its version; Anthropic's usually does not.
fn url(dialect: Dialect, base: &str) -> String {
    let base = base.trim().trim_end_matches('/');
    match dialect {
        Dialect::OpenAi => format!("{base}/chat/completions"),
        Dialect::Anthropic if base.ends_with("/v1") => format!("{base}/messages"),
        Dialect::Anthropic => format!("{base}/v1/messages"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(target: &str, env: &[(&str, &str)]) -> Result<Endpoint, Failure> {
        Endpoint::find(target, None, None, |name| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_endpoint_is_found_by_name_and_environment() {
        for (target, env, url) in [
            (
                "openai:gpt-4o",
                [("OPENAI_API_KEY", "k"), ("", "")],
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "openai:gpt-4o",
                [("OPENAI_BASE_URL", "http://h/v1/"), ("", "")],
                "http://h/v1/chat/completions",
            ),
            (
                "anthropic:claude",
                [("ANTHROPIC_API_KEY", "k"), ("", "")],
                "https://api.anthropic.com/v1/messages",
            ),
            ("anthropic:claude", [("ANTHROPIC_BASE_URL", "http://h"), ("", "")], "http://h/v1/messages"),
            ("anthropic:claude", [("ANTHROPIC_BASE_URL", "http://h/v1"), ("", "")], "http://h/v1/messages"),
            (
                "my-own:a:b",
                [("MY_OWN_BASE_URL", "http://h"), ("MY_OWN_API_KEY", "k")],
                "http://h/chat/completions",
            ),
        ] {
            assert_eq!(find(target, &env).map(|endpoint| endpoint.url).as_deref(), Ok(url), "{target}");
        }
        assert_eq!(
            find("my-own:a:b", &[("MY_OWN_BASE_URL", "http://h")]).map(|e| e.model).as_deref(),
            Ok("a:b")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (target, class, named) in [
            ("gpt-4o", Class::InvalidRequest, "openai:gpt-4o-mini"),
            ("openai:", Class::InvalidRequest, "openai:gpt-4o-mini"),
            ("openai:gpt-4o", Class::Authentication, "OPENAI_API_KEY"),
            ("groq:llama", Class::InvalidRequest, "GROQ_BASE_URL"),
        ] {
            let failure = find(target, &[]).expect_err(target);
            assert_eq!(failure.class, class, "{target}");
            assert!(failure.message.contains(named), "{}", failure.message);
        }
    }

    #[test]
    fn a_key_shows_itself_nowhere() {
        let endpoint = find("openai:gpt-4o", &[("OPENAI_API_KEY", "sk-secret")]).expect("found");
        assert!(!format!("{endpoint:?}").contains("sk-secret"));
    }
}
