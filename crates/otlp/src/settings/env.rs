//! The variables that all OpenTelemetry exporters know.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Compression, Otlp, Protocol, SettingsError, Signal, Tls};

const HTTP_DEFAULT: &str = "http://localhost:4318";
const GRPC_DEFAULT: &str = "http://localhost:4317";
/// Metrics are read every few seconds, at most ten times a second.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

impl Otlp {
    /// Where traces go, as the environment says: `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL`, `_HEADERS`, `_TIMEOUT`, `_COMPRESSION`,
    /// `_CERTIFICATE`, `_CLIENT_CERTIFICATE`, `_CLIENT_KEY`, `_INSECURE`, each also with `TRACES_` before its name, which
    /// goes first; `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; `OTEL_TRACES_SAMPLER=always_on`, `OTEL_TRACES_EXPORTER=none` and
    /// `OTEL_SDK_DISABLED`.
    /// Without any: protobuf over HTTP to `http://localhost:4318`.
    ///
    /// # Errors
    /// [`SettingsError`], which names the variable.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Where traces go, as variables say that are looked up elsewhere.
    ///
    /// # Errors
    /// [`SettingsError`], which names the variable.
    ///
    /// ```
    /// use midwatch_otlp::Otlp;
    /// let otlp = Otlp::from_lookup(|name| match name {
    ///     "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("https://otlp.example.com".to_owned()),
    ///     _ => None,
    /// });
    /// assert_eq!(otlp.unwrap().endpoint(), "https://otlp.example.com/v1/traces");
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        Self::of(Signal::Traces, lookup)
    }

    /// Where traces or metrics go, as variables say that are looked up elsewhere: those of [`Otlp::from_env`], with `METRICS_`
    /// before the name instead of `TRACES_` for metrics, `OTEL_METRIC_EXPORT_INTERVAL`, and
    /// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`, which must not ask for anything but cumulative sums.
    ///
    /// # Errors
    /// [`SettingsError`], which names the variable.
    pub fn of(signal: Signal, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let env = Env { signal, lookup: &lookup };
        let protocol = env.protocol()?;
        let mut otlp = match (env.own("ENDPOINT"), env.general("ENDPOINT"), protocol) {
            // The one for traces or metrics alone is taken as it stands.
            (Some(url), _, Protocol::Http) => Self::new(signal, url, Protocol::Http),
            (None, url, Protocol::Http) => Self::http_of(signal, url.as_deref().unwrap_or(HTTP_DEFAULT)),
            (own, url, Protocol::Grpc) => {
                let url = own.or(url).unwrap_or_else(|| GRPC_DEFAULT.to_owned());
                Self::new(signal, env.with_scheme(url), Protocol::Grpc)
            }
        };
        otlp.headers = env.pairs(&env.named("HEADERS"))?;
        otlp.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        if let Some(timeout) = env.millis(env.named("TIMEOUT"))? {
            otlp.timeout = timeout;
        }
        if signal == Signal::Metrics {
            otlp.interval = env.interval()?.unwrap_or(otlp.interval);
            env.check_temporality()?;
        }
        otlp.compression = match env.named("COMPRESSION") {
            None => Compression::None,
            Some((name, word)) => match word.trim() {
                "gzip" => Compression::Gzip,
                "none" => Compression::None,
                other => return Err(wrong(&name, format!("`{other}` is not known: gzip or none"))),
            },
        };
        let file = |what| env.named(what).map(|(_, path)| PathBuf::from(path));
        otlp.tls = Tls {
            authority: file("CERTIFICATE"),
            certificate: file("CLIENT_CERTIFICATE"),
            key: file("CLIENT_KEY"),
        };
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        for (key, value) in env.pairs(&env.get(name).map(|text| (name.to_owned(), text)))? {
            otlp = otlp.resource(key, value);
        }
        if let Some(service) = env.get("OTEL_SERVICE_NAME") {
            otlp = otlp.service(service);
        }
        otlp.takes_unsampled = env.get("OTEL_TRACES_SAMPLER").is_some_and(|word| word.trim() == "always_on");
        let exporter = format!("OTEL_{}_EXPORTER", signal.variable());
        otlp.is_off = env.get(&exporter).is_some_and(|exporter| exporter.trim() == "none")
            || env.get("OTEL_SDK_DISABLED").is_some_and(|off| off.trim().eq_ignore_ascii_case("true"));
        Ok(otlp)
    }
}

struct Env<'a> {
    signal: Signal,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Env<'_> {
    /// An empty variable is as good as none.
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.trim().is_empty())
    }

    fn own(&self, what: &str) -> Option<String> {
        self.get(&self.own_name(what))
    }

    fn own_name(&self, what: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{}_{what}", self.signal.variable())
    }

    fn general(&self, what: &str) -> Option<String> {
        self.get(&format!("OTEL_EXPORTER_OTLP_{what}"))
    }

    /// The variable that counts, with its value.
    fn named(&self, what: &str) -> Option<(String, String)> {
        let own = self.own_name(what);
        let general = format!("OTEL_EXPORTER_OTLP_{what}");
        [own, general].into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    fn millis(&self, variable: Option<(String, String)>) -> Result<Option<Duration>, SettingsError> {
        let Some((name, millis)) = variable else { return Ok(None) };
        let bad = |_| wrong(&name, format!("`{millis}` is no number of milliseconds"));
        Ok(Some(Duration::from_millis(millis.trim().parse().map_err(bad)?)))
    }

    fn interval(&self) -> Result<Option<Duration>, SettingsError> {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        match self.millis(self.get(name).map(|millis| (name.to_owned(), millis)))? {
            Some(interval) if interval < INTERVAL_MIN => {
                Err(wrong(name, format!("at least {}", INTERVAL_MIN.as_millis())))
            }
            interval => Ok(interval),
        }
    }

    /// The watcher counts from when it began: who wants differences makes them of that, as the Collector does.
    fn check_temporality(&self) -> Result<(), SettingsError> {
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        match self.get(name) {
            Some(word) if !word.trim().eq_ignore_ascii_case("cumulative") => {
                let why =
                    format!("`{word}` is not spoken here: cumulative, which a Collector turns into deltas");
                Err(wrong(name, why))
            }
            _ => Ok(()),
        }
    }

    fn protocol(&self) -> Result<Protocol, SettingsError> {
        let Some((name, word)) = self.named("PROTOCOL") else { return Ok(Protocol::Http) };
        match word.trim() {
            "grpc" => Ok(Protocol::Grpc),
            "http/protobuf" => Ok(Protocol::Http),
            other => Err(wrong(&name, format!("`{other}` is not spoken here: http/protobuf or grpc"))),
        }
    }

    /// Without a scheme, whether there is TLS is a variable of its own.
    fn with_scheme(&self, url: String) -> String {
        if url.contains("://") {
            return url;
        }
        let is_insecure =
            self.named("INSECURE").is_some_and(|(_, word)| word.trim().eq_ignore_ascii_case("true"));
        format!("{}://{url}", if is_insecure { "http" } else { "https" })
    }

    /// `a=1,b=2`, percent-encoded.
    fn pairs(&self, variable: &Option<(String, String)>) -> Result<Vec<(String, String)>, SettingsError> {
        let Some((name, text)) = variable else { return Ok(Vec::new()) };
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                // A header may be a secret: it is not repeated in the error.
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    wrong(name, "a part of it is no `key=value`; parts are joined by commas".to_owned())
                })?;
                let value = percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
                Ok((key.trim().to_owned(), value))
            })
            .collect()
    }
}

fn wrong(name: &str, why: String) -> SettingsError {
    SettingsError { name: name.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Otlp, SettingsError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Otlp::from_lookup(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn endpoints_are_found_as_the_specification_says() {
        let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        for (variables, endpoint) in [
            (&[][..], "http://localhost:4318/v1/traces"),
            (&[(general, "http://c:4318/")], "http://c:4318/v1/traces"),
            (&[(general, "http://c/base")], "http://c/base/v1/traces"),
            (&[(general, "http://c"), (own, "http://t/take/this")], "http://t/take/this"),
            (&[grpc], "http://localhost:4317"),
            (&[grpc, (general, "c:4317")], "https://c:4317"),
            (&[grpc, (general, "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")], "http://c:4317"),
            (&[(general, "  ")], "http://localhost:4318/v1/traces"),
        ] {
            assert_eq!(with(variables).unwrap().endpoint(), endpoint, "{variables:?}");
        }
    }

    #[test]
    fn metrics_have_endpoints_and_variables_of_their_own() {
        let metrics = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
            Otlp::of(Signal::Metrics, |name| find(name).map(|(_, value)| (*value).to_owned()))
        };
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m/take/this");
        for (variables, endpoint) in [
            (&[][..], "http://localhost:4318/v1/metrics"),
            (&[general, traces], "http://c/v1/metrics"),
            (&[general, own], "http://m/take/this"),
        ] {
            assert_eq!(metrics(variables).unwrap().endpoint(), endpoint, "{variables:?}");
        }
        let interval = "OTEL_METRIC_EXPORT_INTERVAL";
        assert_eq!(metrics(&[]).unwrap().interval(), Duration::from_secs(60));
        assert_eq!(metrics(&[(interval, "5000")]).unwrap().interval(), Duration::from_secs(5));
        assert!(metrics(&[("OTEL_METRICS_EXPORTER", "none")]).unwrap().is_off());
        let temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        assert!(metrics(&[(temporality, "Cumulative")]).is_ok());
        for (name, value) in [(interval, "0"), (interval, "1m"), (temporality, "delta")] {
            assert_eq!(metrics(&[(name, value)]).unwrap_err().name, name);
        }
    }

    #[test]
    fn headers_are_decoded_and_never_shown() {
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20c2VjcmV0, x-team = watch");
        let otlp = with(&[headers]).unwrap();
        let expected = [("authorization", "Basic c2VjcmV0"), ("x-team", "watch")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(otlp.headers, expected);
        assert!(!format!("{otlp:?}").contains("c2VjcmV0"));
        assert_eq!(Otlp::http("https://me:pass@c:1/base").shown(), "https://c:1/base/v1/traces");
        let error = with(&[("OTEL_EXPORTER_OTLP_HEADERS", "c2VjcmV0")]).unwrap_err().to_string();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_HEADERS: ") && !error.contains("c2VjcmV0"), "{error}");
    }

    #[test]
    fn who_sends_is_said_by_two_variables() {
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment.name=prod");
        let both = with(&[attributes, ("OTEL_SERVICE_NAME", "b")]).unwrap();
        assert_eq!(both.resource[0], ("service.name".to_owned(), "b".to_owned()));
        assert_eq!(both.resource.len(), 2);
        assert!(with(&[("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_off());
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ] {
            assert_eq!(with(&[(name, value)]).unwrap_err().name, name);
        }
    }
}
