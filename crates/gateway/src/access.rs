//! Who may call: virtual keys.

use http::{HeaderMap, StatusCode, header};

use crate::config::{Config, Invalid};
use crate::refusal::Refusal;
use crate::secret::Secret;

/// The keys.
#[derive(Debug)]
pub(crate) struct Access {
    keys: Vec<(String, Secret)>,
}

/// Whoever was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Guest<'a> {
    /// With this key.
    Key(&'a str),
    /// Without one, where none is needed.
    Anybody,
}

impl Access {
    /// Reads the keys.
    ///
    /// # Errors
    /// Says which one cannot be read.
    pub(crate) fn of(config: &Config, environment: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let mut keys = Vec::new();
        for (name, key) in &config.keys {
            let secret = Secret::read(key.key_env.as_deref(), key.key_file.as_deref(), &environment);
            let secret = secret.map_err(|why| Invalid::new(format!("keys.{name}: {why}")))?;
            keys.extend(secret.map(|secret| (name.clone(), secret)));
        }
        Ok(Self { keys })
    }

    /// Lets a call in, or not. The key comes where the official clients put theirs.
    ///
    /// # Errors
    /// 401: a key is needed, and this is none.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Guest<'_>, Refusal> {
        if self.keys.is_empty() {
            return Ok(Guest::Anybody);
        }
        let bearer = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let bearer = bearer
            .and_then(|value| value.strip_prefix(b"Bearer ").or_else(|| value.strip_prefix(b"bearer ")));
        let given = [bearer, headers.get("x-api-key").map(|value| value.as_bytes())];
        let known = self.keys.iter().find(|(_, secret)| given.iter().flatten().any(|given| secret.is(given)));
        known.map(|(name, _)| Guest::Key(name)).ok_or_else(|| {
            Refusal::new(
                StatusCode::UNAUTHORIZED,
                "invalid_api_key",
                "a key of this gateway is needed, and this is none",
            )
        })
    }
}
