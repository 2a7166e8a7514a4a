//! Who is called: addresses, credentials, and the client that keeps their connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use midwatch_providers::Provider;
use xxhash_rust::xxh3::Xxh3;

use crate::config::{self, Config, Dialect, Invalid};
use crate::secret::Secret;

/// A client with connections of its own.
pub(crate) type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// How many idle connections to one upstream a client keeps.
const IDLE_MAX: usize = 256;

/// What connects to upstreams. Made once: it reads the system's certificates.
pub(crate) struct Dialer {
    connector: HttpsConnector<HttpConnector>,
}

impl Dialer {
    /// # Errors
    /// If the system's certificates cannot be read.
    pub(crate) fn new(config: &Config) -> Result<Self, Invalid> {
        // Another part of the process may have chosen its cryptography already: that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(config.timeouts.connect));
        let roots = HttpsConnectorBuilder::new().with_native_roots();
        let roots = roots
            .map_err(|error| Invalid::new(format!("the system's certificates cannot be read: {error}")))?;
        Ok(Self { connector: roots.https_or_http().enable_http1().wrap_connector(http) })
    }

    /// A client for one runtime: connections stay on the one that opened them.
    pub(crate) fn client(&self) -> Arc<Http> {
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_max_idle_per_host(IDLE_MAX);
        Arc::new(client.build(self.connector.clone()))
    }
}

/// One upstream, ready to be called.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    /// Who is paid.
    paid: String,
    /// Its limits are known beforehand, and those of all its models together.
    is_limited: bool,
    base: String,
    credentials: Credentials,
}

#[derive(Debug)]
enum Credentials {
    Own(HeaderName, HeaderValue),
    OfTheClient,
    None,
}

/// All upstreams.
#[derive(Debug)]
pub(crate) struct Upstreams {
    all: BTreeMap<String, Arc<Upstream>>,
}

impl Upstreams {
    /// Reads addresses and credentials.
    ///
    /// # Errors
    /// Says which setting of which upstream cannot be used.
    pub(crate) fn of(config: &Config, environment: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let mut all = BTreeMap::new();
        for (name, upstream) in &config.upstreams {
            let made = Upstream::of(name, upstream, &environment);
            let made = made.map_err(|why| Invalid::new(format!("upstreams.{name}: {why}")))?;
            all.insert(name.clone(), Arc::new(made));
        }
        if all.is_empty() {
            return Err(Invalid::new("there is no upstream: give one under [upstreams]"));
        }
        Ok(Self { all })
    }

    /// The upstream of a name, or else the first that speaks the client's language.
    pub(crate) fn find(&self, name: Option<&str>, dialect: Dialect) -> Option<&Arc<Upstream>> {
        match name {
            Some(name) => self.all.get(name),
            None => {
                let usual = match dialect {
                    Dialect::OpenAi => "openai",
                    Dialect::Anthropic => "anthropic",
                };
                let usual = self.all.get(usual).filter(|upstream| upstream.dialect == dialect);
                usual.or_else(|| self.all.values().find(|upstream| upstream.dialect == dialect))
            }
        }
    }
}

impl Upstream {
    fn of(
        name: &str,
        config: &config::Upstream,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let uri: Uri = config.url.parse().map_err(|_| format!("`{}` is no URL", config.url))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
            return Err(format!("`{}` is no http or https URL without a query", config.url));
        }
        let secret = Secret::read(config.key_env.as_deref(), config.key_file.as_deref(), environment)?;
        let credentials = match (secret, config.dialect) {
            (None, _) if config.pass_credentials => Credentials::OfTheClient,
            (None, _) => Credentials::None,
            (Some(secret), Dialect::OpenAi) => {
                Credentials::Own(header::AUTHORIZATION, secret.header("Bearer ")?)
            }
            (Some(secret), Dialect::Anthropic) => {
                Credentials::Own(HeaderName::from_static("x-api-key"), secret.header("")?)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            dialect: config.dialect,
            paid: config.provider.clone().unwrap_or_else(|| name.to_owned()),
            is_limited: config.concurrency.is_some() || config.per_second.is_some(),
            base: config.url.trim_end_matches('/').to_owned(),
            credentials,
        })
    }

    /// What stands for this upstream in charges.
    pub(crate) fn paid(&self, model: Option<&str>) -> String {
        named(&self.paid, model)
    }

    /// What its limits belong to, and so a gate: the upstream, the model unless limits are set for all of them together, and
    /// the client's credentials if those are what it goes by.
    pub(crate) fn target(&self, model: Option<&str>, client: &HeaderMap) -> String {
        let target = named(&self.name, model.filter(|_| !self.is_limited));
        if !matches!(self.credentials, Credentials::OfTheClient) {
            return target;
        }
        let mut hash = Xxh3::new();
        for name in ["authorization", "x-api-key", "api-key"] {
            hash.update(client.get(name).map_or(&b""[..], |value| value.as_bytes()));
        }
        // A part of a hash: enough to tell keys apart, and nothing of the key.
        format!("{target}@{:08x}", hash.digest() >> 32)
    }

    /// By which rules its answers are read.
    pub(crate) const fn provider(&self) -> Provider {
        match self.dialect {
            Dialect::OpenAi => Provider::OpenAi,
            Dialect::Anthropic => Provider::Anthropic,
        }
    }

    /// Where a path leads.
    pub(crate) fn uri(&self, rest: &str) -> Option<Uri> {
        format!("{}{rest}", self.base).parse().ok()
    }

    /// The headers that go upstream: the client's, without what concerns this hop, who it is here, and compression, since
    /// the usage must be read.
    pub(crate) fn headers(&self, client: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(client.len() + 4);
        let named: Vec<&str> =
            client.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok()).collect();
        for (name, value) in client {
            let is_named = named
                .iter()
                .any(|names| names.split(',').any(|n| n.trim().eq_ignore_ascii_case(name.as_str())));
            if !is_named && !is_of_this_hop(name) && !self.is_secret(name) {
                headers.append(name, value.clone());
            }
        }
        if let Credentials::Own(name, value) = &self.credentials {
            headers.insert(name, value.clone());
        }
        headers
    }

    fn is_secret(&self, name: &HeaderName) -> bool {
        let is_credential = matches!(name.as_str(), "authorization" | "x-api-key" | "api-key");
        is_credential && !matches!(self.credentials, Credentials::OfTheClient)
    }
}

fn named(name: &str, model: Option<&str>) -> String {
    match model {
        Some(model) => format!("{name}:{model}"),
        None => name.to_owned(),
    }
}

/// The upstream's name in a target.
pub(crate) fn of_target(target: &str) -> &str {
    target.split([':', '@']).next().unwrap_or(target)
}

/// Headers that end at the gateway.
pub(crate) fn is_of_this_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "content-length"
            | "expect"
            | "accept-encoding"
            | "cookie"
            | "forwarded"
            | "x-forwarded-for"
            | "traceparent"
            | "tracestate"
            | "baggage"
    ) || name.as_str().starts_with("x-midwatch-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(toml: &str) -> Result<Upstreams, String> {
        let config = Config::read(toml, []).map_err(|error| error.to_string())?;
        let environment = |name: &str| (name == "KEY").then(|| "sk-upstream".to_owned());
        Upstreams::of(&config, environment).map_err(|error| error.to_string())
    }

    const TWO: &str = "[upstreams.openai]\nurl = \"http://h:1/v1/\"\nkey_env = \"KEY\"\n\
                       [upstreams.claude]\nurl = \"http://h:2/v1\"\ndialect = \"anthropic\"\nprovider = \"anthropic\"\nkey_env = \"KEY\"\n";

    #[test]
    fn credentials_are_the_upstreams_own_and_what_ends_here_ends_here() {
        let found = upstreams(TWO).unwrap();
        let openai = found.find(None, Dialect::OpenAi).unwrap();
        let mut client = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer of-the-client"),
            ("x-api-key", "of-the-client"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("x-midwatch-run", "thread-7"),
            ("accept-encoding", "gzip"),
            ("openai-organization", "org"),
        ] {
            client.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let sent = openai.headers(&client);
        let names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["openai-organization", "authorization"]);
        assert_eq!(sent["authorization"], "Bearer sk-upstream");
        let claude = found.find(None, Dialect::Anthropic).unwrap();
        assert_eq!(claude.headers(&client)["x-api-key"], "sk-upstream");
        assert_eq!(claude.paid(Some("m")), "anthropic:m");
        assert_eq!(claude.target(Some("m"), &client), "claude:m");
        assert_eq!(openai.uri("/models?a=b").unwrap(), "http://h:1/v1/models?a=b");
    }

    #[test]
    fn gates_belong_to_upstream_model_and_key() {
        let found = upstreams(
            "[upstreams.mine]\nurl = \"http://h/v1\"\nconcurrency = 5\n\
             [upstreams.theirs]\nurl = \"http://h/v1\"\npass_credentials = true\n",
        )
        .unwrap();
        let client = |key: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(key))])
        };
        let target =
            |name, key| found.find(Some(name), Dialect::OpenAi).unwrap().target(Some("m"), &client(key));
        assert_eq!(target("mine", "Bearer a"), "mine", "one limit for all its models");
        assert_ne!(target("theirs", "Bearer a"), target("theirs", "Bearer b"));
        let theirs = target("theirs", "Bearer a");
        assert!(theirs.starts_with("theirs:m@") && of_target(&theirs) == "theirs", "{theirs}");
    }

    #[test]
    fn an_upstream_that_cannot_be_called_is_named() {
        for (toml, said) in [
            ("[upstreams.a]\nurl = \"ftp://h\"", "upstreams.a: `ftp://h` is no http"),
            (
                "[upstreams.a]\nurl = \"http://h\"\nkey_env = \"NONE\"",
                "upstreams.a: the variable NONE is not set",
            ),
            ("", "there is no upstream"),
        ] {
            let error = upstreams(toml).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
