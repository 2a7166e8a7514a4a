//! The configuration: one TOML file, each setting of which a variable of the environment can override.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use midwatch_workflow::{Budget, Money, OnReached};

/// How variables of the environment begin that override a setting: `MIDWATCH_GATEWAY_LISTEN`,
/// `MIDWATCH_GATEWAY_UPSTREAMS__OPENAI__URL`.
pub const ENVIRONMENT: &str = "MIDWATCH_GATEWAY_";

/// Everything that can be set. `docs/gateway.md` says what each setting does.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What to do about failures.
    pub mode: Mode,
    /// What a call's bound must survive before the call is sent.
    pub durable: Durability,
    /// The workflow's name of runs that say none.
    pub workflow: String,
    /// After so long without a call a run ends.
    #[serde(deserialize_with = "duration")]
    pub idle: Duration,
    /// How many calls a session's run takes before the next one begins.
    pub session_calls_max: u64,
    /// How long calls under way may take to end when the gateway is told to stop.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
    /// The output tokens that a call may cost which names no limit itself.
    pub output_tokens_assumed: u64,
    /// A price file of the user's own.
    pub prices: Option<PathBuf>,
    /// What is refused for its size or slowness.
    pub limits: Limits,
    /// How long upstreams may take.
    pub timeouts: Timeouts,
    /// How repeats are recognised.
    pub dedup: Dedup,
    /// What of requests and answers stands in the journal.
    pub bodies: Bodies,
    /// How failures are retried under `protect`.
    pub retry: Retry,
    /// What may be spent.
    pub budgets: Budgets,
    /// Who is called, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Who may call, by name. Without any, whoever reaches the address may.
    pub keys: BTreeMap<String, Key>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4100)),
            mode: Mode::default(),
            durable: Durability::default(),
            workflow: "gateway".to_owned(),
            idle: Duration::from_secs(4 * 60),
            session_calls_max: 1_000,
            drain: Duration::from_secs(30),
            output_tokens_assumed: 8_192,
            prices: None,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            dedup: Dedup::default(),
            bodies: Bodies::default(),
            retry: Retry::default(),
            budgets: Budgets::default(),
            upstreams: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }
}

/// What to do about failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Pass them on as they come.
    #[default]
    Observe,
    /// Hold calls back while an upstream cools down, retry what a retry can cure, and tell clients not to retry on top.
    Protect,
}

/// What must survive before a call is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The death of the process: its bound is written, and synced a few milliseconds later.
    #[default]
    Process,
    /// The death of the machine: its bound is synced. Costs a share of a sync before each call.
    Machine,
}

/// What is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most bytes of a request's head.
    pub head_bytes: usize,
    /// The most bytes of a request's body.
    pub body_bytes: usize,
    /// The most bytes of an answer in one piece.
    pub answer_bytes: usize,
    /// How long a request's head may take to come, and how long a connection may be idle before it.
    #[serde(deserialize_with = "duration")]
    pub head_time: Duration,
    /// How long a request's body may take to come.
    #[serde(deserialize_with = "duration")]
    pub body_time: Duration,
    /// How many connections may be open at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            body_bytes: 32 << 20,
            answer_bytes: 128 << 20,
            head_time: Duration::from_secs(75),
            body_time: Duration::from_secs(60),
            connections: 10_000,
        }
    }
}

/// How long upstreams may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a connection is there.
    #[serde(deserialize_with = "duration")]
    pub connect: Duration,
    /// Until the answer begins.
    #[serde(deserialize_with = "duration")]
    pub first_byte: Duration,
    /// Between two chunks of a stream.
    #[serde(deserialize_with = "duration")]
    pub stall: Duration,
    /// For an attempt as a whole.
    #[serde(deserialize_with = "duration")]
    pub attempt: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(300),
            stall: Duration::from_secs(60),
            attempt: Duration::from_secs(900),
        }
    }
}

/// How repeats are recognised.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dedup {
    /// By what.
    pub by: DedupBy,
    /// How long an answer is kept.
    #[serde(deserialize_with = "duration")]
    pub lifetime: Duration,
    /// The largest answer that is kept, in bytes.
    pub answer_bytes: usize,
    /// What to do with a key whose call was under way when the gateway died.
    pub on_unknown: OnUnknown,
}

impl Default for Dedup {
    fn default() -> Self {
        Self {
            by: DedupBy::default(),
            lifetime: Duration::from_secs(24 * 3600),
            answer_bytes: 4 << 20,
            on_unknown: OnUnknown::default(),
        }
    }
}

/// What of requests and answers stands in the journal.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bodies {
    /// Whether anything of them does.
    pub keep: bool,
    /// The most characters of each.
    pub chars_max: usize,
    /// JSON fields whose values are hidden, whatever is in them; what looks like a credential is hidden anywhere.
    pub redact: Vec<String>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { keep: false, chars_max: 4_000, redact: Vec::new() }
    }
}

/// By what a repeat is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DedupBy {
    /// By nothing.
    Off,
    /// By the client's `Idempotency-Key`.
    #[default]
    Key,
    /// By that, or else by run, step and body, for calls that name a run.
    Derived,
}

/// What to do with a key whose call was under way when the gateway died.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Call again: it may be paid twice, and the first is booked with its bound.
    #[default]
    CallAgain,
    /// Refuse: nothing is paid twice.
    Refuse,
}

/// How failures are retried under `protect`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// The most attempts at one call.
    pub attempts: u32,
    /// The most time for all of them, waits included.
    #[serde(deserialize_with = "duration")]
    pub elapsed: Duration,
    /// How long a call may be held back at a gate before it is refused with the wait that is left.
    #[serde(deserialize_with = "duration")]
    pub held: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, elapsed: Duration::from_secs(60), held: Duration::from_secs(20) }
    }
}

/// What may be spent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// By each run.
    pub run: Limit,
    /// By everybody in a day (UTC).
    pub day: Limit,
    /// By each of these tenants in a day (UTC).
    pub tenant_day: BTreeMap<String, Limit>,
    /// What to do with calls that have no price where a budget is in dollars.
    pub unpriced: Unpriced,
}

/// What to do with calls that have no price where a budget is in dollars.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// Refuse them.
    #[default]
    Refuse,
    /// Let them pass: they cost the budget nothing.
    Pass,
}

/// A limit in dollars, tokens or both.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Dollars, e.g. `"1.00"`.
    #[serde(deserialize_with = "money")]
    pub usd: Option<Money>,
    /// Tokens, input and output together.
    pub tokens: Option<u64>,
}

impl Limit {
    /// The limit of both: the lower one.
    #[must_use]
    pub fn and(self, usd: Option<Money>) -> Self {
        Self { usd: [self.usd, usd].into_iter().flatten().min(), ..self }
    }

    /// As a budget; `None` if there is no limit.
    pub fn budget(self) -> Option<Budget> {
        let is_any = self.usd.is_some() || self.tokens.is_some();
        is_any.then_some(Budget { usd: self.usd, tokens: self.tokens, on_reached: OnReached::Fail })
    }
}

/// Who is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where its API is, up to what follows `/v1` in the client's path: `https://api.openai.com/v1`.
    pub url: String,
    /// What it speaks.
    #[serde(default)]
    pub dialect: Dialect,
    /// Who is paid, as prices and reports name it; its own name if nothing is said.
    pub provider: Option<String>,
    /// The variable that has the key.
    pub key_env: Option<String>,
    /// The file that has the key.
    pub key_file: Option<PathBuf>,
    /// Passes the client's own credentials on; the gateway has none then.
    #[serde(default)]
    pub pass_credentials: bool,
    /// What may be under way at once, of all its models together.
    pub concurrency: Option<u32>,
    /// How many calls a second it bears, of all its models together, where that is known.
    pub per_second: Option<f64>,
}

/// What an upstream speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Chat completions, Responses, embeddings.
    #[default]
    OpenAi,
    /// Messages.
    Anthropic,
}

/// Who may call: a virtual key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The variable that has it.
    pub key_env: Option<String>,
    /// The file that has it.
    pub key_file: Option<PathBuf>,
    /// For whom its runs are; the key's own name if nothing is said.
    pub tenant: Option<String>,
    /// The workflow's name of its runs.
    pub workflow: Option<String>,
    /// The upstreams that it may call; all if empty.
    #[serde(default)]
    pub upstreams: Vec<String>,
    /// What it may spend in a day (UTC).
    #[serde(default)]
    pub day: Limit,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Config {
    /// Reads a configuration and lets variables of the environment win over it.
    ///
    /// # Errors
    /// [`Invalid`], with the setting and what is wrong with it.
    pub fn read(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Invalid> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| Invalid::new(error.to_string()))?;
        for (name, value) in environment {
            if let Some(path) = name.strip_prefix(ENVIRONMENT) {
                set(&mut table, &path.to_ascii_lowercase(), &value)
                    .map_err(|why| Invalid::new(format!("{name}: {why}")))?;
            }
        }
        let config: Self = table.try_into().map_err(|error| Invalid::new(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Invalid> {
        if !self.listen.ip().is_loopback() && self.keys.is_empty() {
            let listen = self.listen;
            return Err(Invalid::new(format!(
                "listen = \"{listen}\": anything but loopback needs a key under [keys]"
            )));
        }
        for (name, key) in &self.keys {
            if key.key_env.is_none() == key.key_file.is_none() {
                return Err(Invalid::new(format!("keys.{name}: give key_env or key_file")));
            }
            if let Some(unknown) =
                key.upstreams.iter().find(|upstream| !self.upstreams.contains_key(*upstream))
            {
                return Err(Invalid::new(format!("keys.{name}.upstreams: there is no upstream `{unknown}`")));
            }
            if key.tenant.is_some() && key.day.budget().is_some() {
                let what = "its limit is its tenant's: set budgets.tenant_day, or leave the tenant out";
                return Err(Invalid::new(format!("keys.{name}.day: {what}")));
            }
        }
        for (name, upstream) in &self.upstreams {
            if name.contains([':', '@', '/']) {
                return Err(Invalid::new(format!("upstreams.\"{name}\": a name has no `:`, `@` or `/`")));
            }
            let has_key = upstream.key_env.is_some() || upstream.key_file.is_some();
            if upstream.pass_credentials && (has_key || !self.keys.is_empty()) {
                let what = "the client's credentials are either its own at the upstream or its key here";
                return Err(Invalid::new(format!("upstreams.{name}.pass_credentials: {what}")));
            }
            if upstream.per_second.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
                return Err(Invalid::new(format!("upstreams.{name}.per_second: must be above zero")));
            }
        }
        Ok(())
    }

    /// The daily budget of a tenant, whether set for it or for the key that it is named after.
    pub fn tenant_day(&self, tenant: &str) -> Option<Budget> {
        let own = self.budgets.tenant_day.get(tenant).and_then(|limit| limit.budget());
        own.or_else(|| self.keys.get(tenant).filter(|key| key.tenant.is_none())?.day.budget())
    }
}

/// Sets one value by its path.
fn set(table: &mut toml::Table, path: &str, value: &str) -> Result<(), String> {
    let (parents, name) =
        path.rsplit_once("__").map_or((None, path), |(parents, name)| (Some(parents), name));
    let mut place = table;
    for parent in parents.into_iter().flat_map(|parents| parents.split("__")) {
        let entry = place.entry(parent.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("`{parent}` is no table"))?;
    }
    // A number or a truth value where it reads as one; else a text.
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    place.insert(name.to_owned(), value);
    Ok(())
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is no duration such as \"90s\" or \"5m\"")))
}

fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    /// An amount in quotes is exact; a variable of the environment has none.
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected an amount such as \"1.00\"")]
    enum Amount {
        Text(String),
        Whole(u64),
        Decimal(f64),
    }
    let text = match Amount::deserialize(deserializer)? {
        Amount::Text(text) => text,
        Amount::Whole(dollars) => dollars.to_string(),
        Amount::Decimal(dollars) => dollars.to_string(),
    };
    text.parse()
        .map(Some)
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is no amount such as \"1.00\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(text, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "mode = \"observe\"\nidle = \"2m\"\n[budgets.run]\nusd = \"1.00\"\n";
        let config = read(
            file,
            &[
                ("MIDWATCH_GATEWAY_MODE", "protect"),
                ("MIDWATCH_GATEWAY_BUDGETS__RUN__TOKENS", "500"),
                ("MIDWATCH_GATEWAY_BUDGETS__DAY__USD", "2"),
                ("MIDWATCH_GATEWAY_BUDGETS__TENANT_DAY__ANN__USD", "0.000001"),
                ("MIDWATCH_GATEWAY_UPSTREAMS__OPENAI__URL", "https://api.openai.com/v1"),
                ("MIDWATCH_DB", "of no concern"),
            ],
        )
        .unwrap();
        assert_eq!((config.mode, config.idle), (Mode::Protect, Duration::from_secs(120)));
        assert_eq!(config.budgets.run.usd, Some(Money::from_cents(100)));
        assert_eq!(config.budgets.run.tokens, Some(500));
        assert_eq!(config.budgets.day.usd, Some(Money::from_cents(200)));
        assert_eq!(config.budgets.tenant_day["ann"].usd, Some(Money::from_picos(1_000_000)));
        assert_eq!(config.upstreams["openai"].url, "https://api.openai.com/v1");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, said) in [
            ("listen = \"0.0.0.0:80\"", "needs a key"),
            ("idle = \"soon\"", "`soon` is no duration"),
            ("modes = 1", "unknown field `modes`"),
            ("[budgets.run]\nusd = \"a lot\"", "`a lot` is no amount"),
            ("[upstreams.\"a:b\"]\nurl = \"http://h/v1\"", "a name has no `:`"),
            ("[keys.a]", "keys.a: give key_env or key_file"),
            ("[keys.a]\nkey_env = \"A\"\nupstreams = [\"x\"]", "there is no upstream `x`"),
            ("[keys.a]\nkey_env = \"A\"\ntenant = \"t\"\nday = { tokens = 1 }", "budgets.tenant_day"),
            (
                "[upstreams.o]\nurl = \"http://h/v1\"\nkey_env = \"K\"\npass_credentials = true",
                "pass_credentials",
            ),
        ] {
            let error = read(text, &[]).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
