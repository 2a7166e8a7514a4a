//! The configuration: one TOML file, each setting of which a variable of the environment can override.

mod budgets;
mod kept;
mod limits;
mod parties;
mod read;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use self::budgets::{Budgets, Limit, Unpriced};
pub use self::kept::{Bodies, Dedup, DedupBy, OnUnknown};
pub use self::limits::{Limits, Retry, Timeouts};
pub use self::parties::{Dialect, Key, Upstream};
use self::value::duration;

/// How variables of the environment begin that override a setting: `MIDWATCH_GATEWAY_LISTEN`,
/// `MIDWATCH_GATEWAY_UPSTREAMS__OPENAI__URL`.
pub const ENVIRONMENT: &str = "MIDWATCH_GATEWAY_";

/// Everything that can be set. `docs/gateway.md` says what each setting does.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How many threads carry calls; as many as the machine has cores, if nothing is said.
    pub threads: Option<NonZero<u16>>,
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
            threads: None,
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

impl Config {
    /// How many threads carry calls.
    pub(crate) fn threads(&self) -> NonZero<usize> {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        self.threads.map_or_else(cores, NonZero::from)
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

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
