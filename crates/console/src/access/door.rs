//! What the guard goes by: the token, the names, the words that forms carry.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::session::Sessions;
use crate::settings::{Access, OpenError};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// Who is named in the journal.
    pub(crate) by: String,
    /// The word that their forms carry.
    pub(crate) csrf: String,
    /// Whether they logged in with the token.
    pub(crate) has_session: bool,
}

/// What the guard goes by.
pub(crate) struct Door {
    access: Access,
    by: String,
    csrf: String,
    /// Stands for the word in pages that are shared by many; nobody can guess it.
    pub(crate) blank: String,
    pub(crate) sessions: Sessions,
}

/// The longest name of a person, in characters.
pub(super) const NAME_CHARS_MAX: usize = 60;
/// What programs may say of themselves.
pub(super) const BY: &str = "x-midwatch-by";

impl Door {
    pub(crate) fn new(access: Access, by: String) -> Result<Self, OpenError> {
        Ok(Self { access, by, csrf: secret()?, blank: secret()?, sessions: Sessions::default() })
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.access.is_read_only
    }

    /// Whether the console answers to this name.
    pub(super) fn is_name(&self, host: &str) -> bool {
        let name = name_of(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost"
            || bare.parse::<Ipv4Addr>().is_ok()
            || bare.parse::<Ipv6Addr>().is_ok()
            || self.access.hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
    }

    /// Who sends a request; `None` if the token is wanted.
    pub(super) fn who(&self, headers: &HeaderMap) -> Option<Who> {
        let said = headers.get(BY).and_then(|by| std::str::from_utf8(by.as_bytes()).ok()).map(name);
        if self.access.token.is_none() {
            let by = said.filter(|by| !by.is_empty()).unwrap_or_else(|| self.by.clone());
            return Some(Who { by, csrf: self.csrf.clone(), has_session: false });
        }
        if let Some(session) = cookie(headers).and_then(|id| self.sessions.find(id)) {
            return Some(session);
        }
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let by = said.filter(|by| !by.is_empty()).unwrap_or_else(|| "a program".to_owned());
        self.is_token(given).then(|| Who { by, csrf: self.csrf.clone(), has_session: false })
    }

    /// Compares in a time that says nothing of where they differ.
    pub(super) fn is_token(&self, given: &str) -> bool {
        let Some(token) = &self.access.token else { return false };
        token.as_bytes().ct_eq(given.trim().as_bytes()).into()
    }
}

impl Who {
    /// Whether a form carries the word.
    pub(crate) fn is_theirs(&self, word: &str) -> bool {
        self.csrf.as_bytes().ct_eq(word.as_bytes()).into()
    }
}

/// The cookie that names a session.
pub(super) const COOKIE: &str = "midwatch_session";

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => &host[..end + 2],
        None => host.split(':').next().unwrap_or(host),
    }
}

/// A person's name, fit for the journal.
pub(super) fn name(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(NAME_CHARS_MAX).collect::<String>().trim().to_owned()
}

/// 128 bits that nobody can guess, in hex.
pub(super) fn secret() -> Result<String, OpenError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| OpenError::NoRandomness)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_localhost_and_names_that_were_given_are_answered_to() {
        let access = Access { hosts: vec!["watch.example".to_owned()], ..Access::default() };
        let door = Door::new(access, String::new()).unwrap();
        for host in
            ["localhost:7000", "127.0.0.1:7000", "[::1]:7000", "10.0.0.7", "Watch.Example:443", "LOCALHOST"]
        {
            assert!(door.is_name(host), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:7000", "127.0.0.1.nip.io", "", "watch.example.evil"]
        {
            assert!(!door.is_name(host), "{host}");
        }
    }
}
