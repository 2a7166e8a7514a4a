//! How a Temporal server is reached privately: as the environment of Temporal's own configuration says.

use std::path::Path;

use anyhow::{Context as _, bail};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// The file with the certificate of the authority that signed the server's.
pub(super) const CA: &str = "TEMPORAL_TLS_SERVER_CA_CERT_PATH";

/// What to set if a server wants to know who asks.
pub(super) const CLIENT: &str =
    "TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH name a client's certificate";

/// What the environment says of the way to a server.
pub(super) struct Environment<'a> {
    /// Reads a variable.
    pub(super) get: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file.
    pub(super) read: &'a dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
}

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    /// Whether a server is reached over TLS whose address does not say: as `TEMPORAL_TLS` says, or because anything that
    /// only makes sense there is set.
    pub(super) fn is_private(&self) -> bool {
        let names = ["SERVER_CA_CERT_PATH", "SERVER_CA_CERT_DATA", "CLIENT_CERT_PATH", "CLIENT_CERT_DATA"];
        match self.get("TEMPORAL_TLS").map(|on| on.eq_ignore_ascii_case("true") || on == "1") {
            Some(is_on) => is_on,
            None => {
                self.get("TEMPORAL_API_KEY").is_some()
                    || self.get("TEMPORAL_TLS_SERVER_NAME").is_some()
                    || names.iter().any(|name| self.get(&format!("TEMPORAL_TLS_{name}")).is_some())
            }
        }
    }

    /// Whether it says nothing of who we are.
    pub(super) fn is_unnamed(&self) -> bool {
        ["PATH", "DATA"].iter().all(|form| self.get(&format!("TEMPORAL_TLS_CLIENT_CERT_{form}")).is_none())
    }

    /// Whom to trust, and who we are.
    ///
    /// # Errors
    /// If a file cannot be read, or half of a pair is missing.
    pub(super) fn tls(&self) -> anyhow::Result<ClientTlsConfig> {
        let mut tls = ClientTlsConfig::new();
        tls = match self.data("SERVER_CA_CERT")? {
            Some(authority) => tls.ca_certificate(Certificate::from_pem(authority)),
            None => tls.with_enabled_roots(),
        };
        tls = match (self.data("CLIENT_CERT")?, self.data("CLIENT_KEY")?) {
            (Some(certificate), Some(key)) => tls.identity(Identity::from_pem(certificate, key)),
            (None, None) => tls,
            _ => bail!(
                "a client's certificate needs its key: set both TEMPORAL_TLS_CLIENT_CERT_PATH and …_KEY_PATH"
            ),
        };
        Ok(match self.get("TEMPORAL_TLS_SERVER_NAME") {
            Some(name) => tls.domain_name(name),
            None => tls,
        })
    }

    /// What a variable has, or the file that it names.
    fn data(&self, what: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let (path, data) = (format!("TEMPORAL_TLS_{what}_PATH"), format!("TEMPORAL_TLS_{what}_DATA"));
        match (self.get(&path), self.get(&data)) {
            (Some(_), Some(_)) => bail!("{path} and {data} are both set: one of them is enough"),
            (Some(file), None) => {
                let read = (self.read)(Path::new(&file));
                Ok(Some(read.with_context(|| format!("{path} names {file}, which cannot be read"))?))
            }
            (None, data) => Ok(data.map(String::into_bytes)),
        }
    }
}

/// Why a connection failed: the first cause, since those above it say less; and what to set if it is about trust.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    let mut says = of_tls(cause);
    while let Some(source) = cause.source() {
        cause = source;
        says = says.or_else(|| of_tls(cause));
    }
    match says {
        Some(rustls::Error::InvalidCertificate(why)) => format!(
            "its certificate is not trusted ({why}): {CA} names the authority that signed it, \
             TEMPORAL_TLS_SERVER_NAME the name in it"
        ),
        Some(rustls::Error::AlertReceived(alert)) => format!("it ended TLS ({alert:?}): {CLIENT}"),
        _ => cause.to_string(),
    }
}

fn of_tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    // What input and output wrap is no source of theirs.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.downcast_ref().or_else(|| wrapped.and_then(|inner| inner.downcast_ref()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn private(set: &[(&str, &str)]) -> (bool, Result<(), String>) {
        let set: HashMap<String, String> =
            set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let environment = Environment {
            get: &|name| set.get(name).cloned(),
            read: &|path| match path.to_str() {
                Some("there.pem") => Ok(b"a certificate".to_vec()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            },
        };
        let tls = environment.tls().map(drop).map_err(|error| format!("{error:#}"));
        (environment.is_private(), tls)
    }

    #[test]
    fn a_server_is_reached_over_tls_if_anything_says_so() {
        for (set, expected) in [
            (&[][..], false),
            (&[("TEMPORAL_API_KEY", "k")], true),
            (&[("TEMPORAL_TLS", "true")], true),
            (&[("TEMPORAL_TLS", "false"), ("TEMPORAL_API_KEY", "k")], false),
            (&[(CA, "there.pem")], true),
            (&[(CA, "")], false),
        ] {
            assert_eq!(private(set).0, expected, "{set:?}");
        }
    }

    #[test]
    fn what_is_missing_or_set_twice_is_named() {
        for (set, named) in [
            (&[(CA, "gone.pem")][..], "TEMPORAL_TLS_SERVER_CA_CERT_PATH names gone.pem"),
            (&[(CA, "there.pem"), ("TEMPORAL_TLS_SERVER_CA_CERT_DATA", "x")], "are both set"),
            (&[("TEMPORAL_TLS_CLIENT_CERT_PATH", "there.pem")], "needs its key"),
        ] {
            let error = private(set).1.expect_err("it is wrong");
            assert!(error.contains(named), "{named} in {error}");
        }
        assert_eq!(private(&[(CA, "there.pem")]).1, Ok(()));
    }
}
