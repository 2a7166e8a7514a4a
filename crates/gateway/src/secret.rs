//! Credentials: read once from the environment or a file, kept in memory, and never shown.

use std::fmt;
use std::path::Path;

use http::HeaderValue;

/// A credential. Printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a credential; white space around it is dropped, since files end in a line feed.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Reads it from a variable of the environment, or from a file.
    ///
    /// # Errors
    /// Says which of them is missing or empty, and never what is in it.
    pub fn read(
        variable: Option<&str>,
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let text = match (variable, file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err("give a variable or a file, not both".to_owned()),
            (Some(name), None) => {
                environment(name).ok_or_else(|| format!("the variable {name} is not set"))?
            }
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
        };
        let secret = Self::new(&text);
        match secret.0.is_empty() {
            true => Err("the credential is empty".to_owned()),
            false => Ok(Some(secret)),
        }
    }

    /// The header value with this before it, marked so that no log shows it.
    pub(crate) fn header(&self, before: &str) -> Result<HeaderValue, String> {
        let value = HeaderValue::try_from(format!("{before}{}", self.0));
        let mut value =
            value.map_err(|_| "the credential has characters that no header may have".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Whether this is it; the time it takes says nothing of where two differ.
    pub(crate) fn is(&self, other: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
        own.len() == other.len() && differences == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_shows_nothing_of_itself() {
        let secret = Secret::new("sk-very-secret\n");
        assert!(secret.is(b"sk-very-secret") && !secret.is(b"sk-very-secreT") && !secret.is(b"sk"));
        let shown = format!("{secret:?} {:?}", secret.header("Bearer ").unwrap());
        assert!(!shown.contains("very"), "{shown}");
        let missing = Secret::read(Some("NO_SUCH"), None, |_| None).unwrap_err();
        assert_eq!(missing, "the variable NO_SUCH is not set");
    }
}
