//! Whose responses they are.

use std::fmt;

/// A provider whose errors, headers and usage are known in detail; everybody else is [`Provider::Generic`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Provider {
    /// OpenAI, chat completions and Responses, and what is compatible with them.
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// Google Gemini.
    Gemini,
    /// Stripe.
    Stripe,
    /// Anybody else: by HTTP status, with whatever of the common conventions is found.
    #[default]
    Generic,
}

impl Provider {
    /// Finds the provider of a target such as `openai:gpt-4o` or `stripe`.
    pub fn of_target(target: &str) -> Self {
        match target.split(':').next().unwrap_or_default() {
            "openai" | "azure" => Provider::OpenAi,
            "anthropic" => Provider::Anthropic,
            "gemini" | "google" => Provider::Gemini,
            "stripe" => Provider::Stripe,
            _ => Provider::Generic,
        }
    }

    /// Finds the provider that answers under a host name.
    pub fn of_host(host: &str) -> Self {
        let of =
            |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.'));
        if of("openai.com") || of("openai.azure.com") {
            Provider::OpenAi
        } else if of("anthropic.com") {
            Provider::Anthropic
        } else if of("generativelanguage.googleapis.com") || of("aiplatform.googleapis.com") {
            Provider::Gemini
        } else if of("stripe.com") {
            Provider::Stripe
        } else {
            Provider::Generic
        }
    }

    /// The name in targets and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Provider::OpenAi => "openai",
            Provider::Anthropic => "anthropic",
            Provider::Gemini => "gemini",
            Provider::Stripe => "stripe",
            Provider::Generic => "target",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_found_by_its_own_hosts_only() {
        for (host, provider) in [
            ("api.openai.com", Provider::OpenAi),
            ("my.openai.azure.com", Provider::OpenAi),
            ("api.anthropic.com", Provider::Anthropic),
            ("api.stripe.com", Provider::Stripe),
            ("notopenai.com", Provider::Generic),
            ("openai.com.example.org", Provider::Generic),
        ] {
            assert_eq!(Provider::of_host(host), provider, "{host}");
        }
    }
}
