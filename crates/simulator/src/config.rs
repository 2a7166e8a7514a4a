//! Everything that can be set before the servers start, as data that TOML and JSON can hold.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::FaultPlan;
use crate::outage::OutageWindow;
use crate::script::Cue;

/// What the simulator is to be: where it listens, how it answers, how it misbehaves.
///
/// The default listens on a free loopback port, answers at once, and never fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address to listen on. Anything but loopback gives every machine that can reach it a say in the script.
    pub address: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// Answers, latencies and random faults are functions of this and of the request.
    pub seed: u64,
    /// How many ledger entries are kept. The oldest go first; the summary's counts stay exact.
    pub ledger_entries_max: usize,
    /// What each provider (OpenAI, Anthropic, payments) admits; each has a bucket of its own.
    pub rate_limit: Option<RateLimit>,
    /// How long answers take.
    pub latency: Latency,
    /// What answers look like.
    pub answers: Answers,
    /// How `Idempotency-Key` is treated by the effect endpoints.
    pub keys: Keys,
    /// Faults that strike at random.
    pub faults: FaultPlan,
    /// When everything is down.
    pub outages: Vec<OutageWindow>,
    /// Faults and answers for particular requests, each used a set number of times.
    pub script: Vec<Cue>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            seed: 1,
            ledger_entries_max: 2_000_000,
            rate_limit: None,
            latency: Latency::default(),
            answers: Answers::default(),
            keys: Keys::default(),
            faults: FaultPlan::default(),
            outages: Vec::new(),
            script: Vec::new(),
        }
    }
}

impl Config {
    /// Says what in this configuration cannot work.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`], naming the setting.
    pub fn validate(&self) -> io::Result<()> {
        let bad = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        for (name, faults) in [("faults.llm", &self.faults.llm), ("faults.effects", &self.faults.effects)] {
            if let Err(why) = faults.check() {
                return bad(format!("{name}: {why}"));
            }
        }
        if let Some(limit) = self.rate_limit
            && !(limit.per_second.is_finite() && limit.per_second > 0.0 && limit.burst > 0)
        {
            return bad("rate_limit: per_second and burst must be above zero".into());
        }
        if self.latency.min_ms > self.latency.max_ms {
            return bad("latency: min_ms is above max_ms".into());
        }
        if self.answers.tokens_min == 0 || self.answers.tokens_min > self.answers.tokens_max {
            return bad("answers: tokens_min must be above zero and at most tokens_max".into());
        }
        if self.ledger_entries_max == 0 {
            return bad("ledger_entries_max: must be above zero".into());
        }
        Ok(())
    }
}

/// A token bucket: `burst` requests at once, refilled at `per_second`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests admitted per second in the long run.
    pub per_second: f64,
    /// Requests admitted at once after a rest.
    pub burst: u32,
}

/// How long an answer takes: a part drawn per request, and a part per output token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// The least time before the first byte, in milliseconds.
    pub min_ms: u64,
    /// The most time before the first byte, in milliseconds.
    pub max_ms: u64,
    /// The time for each output token of a language model, in milliseconds.
    pub token_ms: u64,
}

impl Latency {
    /// The time before the first byte for a draw between 0 and 1.
    pub(crate) fn first_byte(&self, draw: f64) -> Duration {
        let span = (self.max_ms - self.min_ms) as f64 * 1000.0;
        Duration::from_millis(self.min_ms) + Duration::from_micros((span * draw) as u64)
    }

    /// The time for each output token.
    pub(crate) fn per_token(&self) -> Duration {
        Duration::from_millis(self.token_ms)
    }
}

/// What the language models answer when no [`Reply`](crate::Reply) was scripted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// The fewest visible tokens of an answer.
    pub tokens_min: u64,
    /// The most visible tokens of an answer.
    pub tokens_max: u64,
    /// How many tool calls in a row a model asks for, at most, before it answers in words.
    pub tool_rounds_max: u64,
    /// Input tokens above this are refused as context overflow.
    pub context_window: u64,
}

impl Default for Answers {
    fn default() -> Self {
        Answers { tokens_min: 20, tokens_max: 120, tool_rounds_max: 2, context_window: 200_000 }
    }
}

/// How the effect endpoints treat `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// Whether keys are honoured at all. A receiver that ignores them shows what a client's keys are worth.
    pub honoured: bool,
    /// How long a key's answer is kept, in milliseconds. Stripe: at least 24 hours.
    pub lifetime_ms: u64,
}

impl Default for Keys {
    fn default() -> Self {
        Keys { honoured: true, lifetime_ms: 24 * 60 * 60 * 1000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, Faults, RetryAfter};

    #[test]
    fn the_default_is_valid_and_survives_toml() {
        let config = Config {
            rate_limit: Some(RateLimit { per_second: 50.0, burst: 50 }),
            faults: FaultPlan::everywhere(Faults { rate_limited: 0.1, ..Faults::default() }),
            script: vec![
                Cue::anywhere().fault(Fault::RateLimited { retry_after: RetryAfter::Seconds(2.0) }).times(2),
            ],
            ..Config::default()
        };
        config.validate().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn a_hand_written_file_says_only_what_differs() {
        let config: Config = toml::from_str(
            r#"
            seed = 7
            rate_limit = { per_second = 50, burst = 50 }
            [faults.llm]
            server_error_after = 0.05
            [[script]]
            endpoint = "messages"
            fault = { kind = "overloaded" }
            times = 3
            [[script]]
            model = "gpt-4o"
            reply = { text = "yes" }
            "#,
        )
        .unwrap();
        config.validate().unwrap();
        assert_eq!(config.faults.llm.server_error_after, 0.05);
        assert_eq!(config.script.len(), 2);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let cases = [
            (
                "rate_limit",
                Config { rate_limit: Some(RateLimit { per_second: 0.0, burst: 1 }), ..Config::default() },
            ),
            (
                "latency",
                Config { latency: Latency { min_ms: 2, max_ms: 1, token_ms: 0 }, ..Config::default() },
            ),
            (
                "faults.llm",
                Config {
                    faults: FaultPlan::everywhere(Faults { hang: 0.6, reset: 0.6, ..Faults::default() }),
                    ..Config::default()
                },
            ),
        ];
        for (setting, config) in cases {
            let error = config.validate().unwrap_err();
            assert!(error.to_string().starts_with(setting), "{error}");
        }
    }
}
