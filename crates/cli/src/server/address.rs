//! The address of a server, as people give it.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
use reqwest::Url;

/// Where a server is: `https://watch.example`, `http://127.0.0.1:7070`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address(Url);

impl Address {
    /// The address of something below the version of the JSON interface.
    pub(super) fn of(&self, version: u32, path: &[&str], query: &[(&'static str, String)]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").push(&format!("v{version}")).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected e.g. https://watch.example or http://127.0.0.1:7070";
        let mut url: Url = text.trim().parse().map_err(|error| format!("{error}: {expected}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(expected.to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("no name and no password belongs into the address: give --token-file".to_owned());
        }
        url.set_query(None);
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/api/v1").unwrap_or(path).to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

/// Reads an address from the command line; what is none may hold a password, and is not repeated.
#[derive(Clone)]
pub(crate) struct AddressParser;

impl TypedValueParser for AddressParser {
    type Value = Address;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Address, clap::Error> {
        value.to_string_lossy().parse().map_err(|why: String| {
            let what = format!("the address of the server (--server or MIDWATCH_SERVER) is none: {why}\n");
            clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command)
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_it_is_printed_or_pasted_and_told_shortly() {
        for (given, told) in [
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("http://127.0.0.1:7070/", "http://127.0.0.1:7070"),
            ("https://watch.example/api/v1", "https://watch.example"),
            ("https://ops.example/midwatch/?x=1#y", "https://ops.example/midwatch"),
            (" http://[::1]:7070 ", "http://[::1]:7070"),
        ] {
            assert_eq!(given.parse::<Address>().unwrap().to_string(), told);
        }
        for wrong in ["", "watch.example", "127.0.0.1:7070", "ftp://a", "file:///x", "http://"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let refused = "https://ann:hunter2hunter2@watch.example".parse::<Address>().unwrap_err();
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn what_stands_in_a_path_or_a_question_cannot_leave_its_place() {
        let address: Address = "https://ops.example/midwatch".parse().unwrap();
        let url = address.of(1, &["runs", "../x?y", "events"], &[("text", "a&b=c".to_owned())]);
        assert_eq!(url.as_str(), "https://ops.example/midwatch/api/v1/runs/..%2Fx%3Fy/events?text=a%26b%3Dc");
    }
}
