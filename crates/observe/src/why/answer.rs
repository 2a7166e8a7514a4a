//! The shape of an answer.

use std::time::Duration;

use midwatch_workflow::{Money, RunId, Spent};
use serde::{Deserialize, Serialize, Serializer};

use super::{Cause, Verdict};
use crate::baseline::Spread;
use crate::profile::Part;

/// Why a run is as it is. Durations are microseconds in JSON, money is pico-dollars.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Answer {
    /// The run; `None` if its events do not begin with its start.
    pub run: Option<RunId>,
    /// Its workflow.
    pub workflow: String,
    /// The user's id.
    pub workflow_id: String,
    /// Of a run that midwatch only watches: who carries it out, and so can stop it or try again. No command of midwatch can.
    pub carried_out_by: Option<&'static str>,
    /// How it is doing.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The same in a sentence.
    pub headline: String,
    /// What lies under the cause, nearest first; empty if the cause is the first one.
    pub under: Vec<Cause>,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// Causes that were looked for and are not there.
    pub excluded: Vec<Excluded>,
    /// What else the cause reaches.
    pub affected: Affected,
    /// Whether trying again does harm.
    pub safe_to_retry: SafeToRetry,
    /// What to do now.
    pub next: Vec<Next>,
    /// From the start to the end, or to now.
    #[serde(rename = "elapsed_us", serialize_with = "micros")]
    pub elapsed: Duration,
    /// Where that went, the largest part first.
    pub time: Vec<TimeShare>,
    /// What it spent.
    pub spent: Spent,
    /// What failed attempts cost of it.
    pub wasted: Money,
    /// What it was compared with.
    pub baseline: Comparison,
    /// How the attempts of the step in question ended, oldest first.
    pub tries: Vec<Try>,
    /// Other things that are wrong with it, less so.
    pub also: Vec<Also>,
}

/// Something that the journal says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// The numbers of the events that say so; empty for what is known from beyond the run.
    pub events: Vec<u64>,
    /// What they say.
    pub says: String,
}

impl Evidence {
    /// What events say.
    pub(super) fn of(events: impl IntoIterator<Item = u64>, says: impl Into<String>) -> Self {
        /// More are as good as these.
        const EVENTS_MAX: usize = 20;
        Self { events: events.into_iter().take(EVENTS_MAX).collect(), says: says.into() }
    }
}

/// A cause that is not there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Excluded {
    /// Which, in words.
    pub what: &'static str,
    /// How that is known.
    pub because: String,
}

/// What else the cause reaches, as far as open runs were looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Affected {
    /// How many other runs.
    pub runs: u64,
    /// What they share with this one, e.g. `target openai:gpt-4o`.
    pub share: String,
    /// Some of them.
    pub examples: Vec<RunId>,
}

/// Whether trying again does harm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SafeToRetry {
    /// Yes or no.
    pub verdict: Safe,
    /// Why.
    pub because: String,
    /// The step that would be tried.
    pub step: Option<String>,
    /// The idempotency key that it would use.
    pub key: Option<String>,
    /// Ends of attempts that may have had their effect.
    pub ambiguous: Vec<u64>,
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Safe {
    /// It does no harm.
    Yes,
    /// It does no harm if the receiver honours idempotency keys.
    WithKeys,
    /// It may do harm, or cannot help.
    No,
    /// There is nothing to retry.
    NotApplicable,
}

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Next {
    /// The command.
    pub command: String,
    /// What it does.
    pub does: String,
}

/// A part of a run's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TimeShare {
    /// Which part.
    pub part: Part,
    /// How long.
    #[serde(rename = "us", serialize_with = "micros")]
    pub took: Duration,
}

/// What a run was compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Comparison {
    /// How many completed runs of the workflow.
    pub runs: u64,
    /// Whether they are enough to call something unusual.
    pub is_enough: bool,
    /// How long they took.
    #[serde(serialize_with = "spread_micros")]
    pub elapsed: Option<Spread<Duration>>,
    /// What they cost.
    pub cost: Option<Spread<Money>>,
}

/// The end of an attempt in a word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Try {
    /// The event.
    pub event: u64,
    /// `429`, `timeout(60s)`, `ok`.
    pub word: String,
}

/// Something else that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Also {
    /// How it is doing by that.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The same in a sentence.
    pub headline: String,
}

fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

#[allow(clippy::ref_option)] // serde's signature
fn spread_micros<S: Serializer>(spread: &Option<Spread<Duration>>, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    spread
        .map(|spread| Spread { n: spread.n, median: micros(spread.median), p95: micros(spread.p95) })
        .serialize(serializer)
}
