//! The ways a provider fails: named one by one, or drawn at random at given rates.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One misbehaviour, as a client of the provider meets it.
///
/// The `…After` variants strike once the tokens are spent or the effect is done: the ambiguous cases, in which a
/// client cannot know what happened. All others strike before anything was spent or done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// 429 that a wait cures.
    RateLimited {
        /// How the wait is told.
        #[serde(default)]
        retry_after: RetryAfter,
    },
    /// 429 that no wait cures (OpenAI `insufficient_quota`, Anthropic `enforced_spend_limit_reached`).
    QuotaExhausted,
    /// Anthropic 529 `overloaded_error`; 503 elsewhere.
    Overloaded,
    /// 503 from the front, before the API saw the request.
    Unavailable {
        /// How a wait is told, if at all.
        #[serde(default)]
        retry_after: RetryAfter,
    },
    /// 500, nothing spent, nothing done. An effect endpoint keeps it under the request's key and replays it.
    ServerError,
    /// 500 after the fact: with a `usage` field and billed, or with the effect done.
    ServerErrorAfter,
    /// 400: the prompt does not fit.
    ContextOverflow,
    /// 400: the content filter objects.
    ContentFiltered,
    /// 400: the request is malformed.
    InvalidRequest,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// Silence, then a reset; the request was never carried out.
    Hang {
        /// How long the silence lasts if the client stays.
        #[serde(default = "hang_ms")]
        ms: u64,
    },
    /// Silence, then a reset; the tokens are billed, or the effect is done.
    HangAfter {
        /// How long the silence lasts if the client stays.
        #[serde(default = "hang_ms")]
        ms: u64,
    },
    /// The connection is reset before the request was carried out.
    Reset,
    /// The connection is reset after it was: the response is lost.
    ResetAfter,
    /// The connection closes in the middle of the answer: after so many tokens of a stream, or halfway through a body.
    CutStream {
        /// Tokens that arrive before the cut.
        #[serde(default)]
        after_tokens: u64,
    },
    /// The stream falls silent but stays open; a body that is not streamed never comes (as `HangAfter`).
    StallStream {
        /// Tokens that arrive before the silence.
        #[serde(default)]
        after_tokens: u64,
        /// How long the silence lasts if the client stays; then the connection closes.
        #[serde(default = "hang_ms")]
        ms: u64,
    },
    /// An error event inside a stream that began with 200; without a stream it is `Overloaded`.
    ErrorEvent {
        /// Tokens that arrive before the event.
        #[serde(default)]
        after_tokens: u64,
    },
    /// The answer is right, and slow.
    SlowTokens {
        /// Milliseconds for each token; an effect takes as long as one.
        #[serde(default = "slow_ms")]
        token_ms: u64,
    },
}

fn hang_ms() -> u64 {
    600_000
}

fn slow_ms() -> u64 {
    200
}

impl Fault {
    /// The name in ledgers and summaries, the same as in a script file.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::RateLimited { .. } => "rate_limited",
            Fault::QuotaExhausted => "quota_exhausted",
            Fault::Overloaded => "overloaded",
            Fault::Unavailable { .. } => "unavailable",
            Fault::ServerError => "server_error",
            Fault::ServerErrorAfter => "server_error_after",
            Fault::ContextOverflow => "context_overflow",
            Fault::ContentFiltered => "content_filtered",
            Fault::InvalidRequest => "invalid_request",
            Fault::Unauthorized => "unauthorized",
            Fault::Forbidden => "forbidden",
            Fault::Hang { .. } => "hang",
            Fault::HangAfter { .. } => "hang_after",
            Fault::Reset => "reset",
            Fault::ResetAfter => "reset_after",
            Fault::CutStream { .. } => "cut_stream",
            Fault::StallStream { .. } => "stall_stream",
            Fault::ErrorEvent { .. } => "error_event",
            Fault::SlowTokens { .. } => "slow_tokens",
        }
    }
}

/// How a provider tells a client to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Not at all.
    #[default]
    Untold,
    /// `Retry-After: 2`; OpenAI is known to send fractions.
    Seconds(f64),
    /// `retry-after-ms: 1500`, beside `Retry-After` in whole seconds.
    Millis(u64),
    /// `Retry-After: <HTTP-date>`, so many seconds from now.
    HttpDate(u64),
    /// Only in the provider's own reset header, so many milliseconds from now
    /// (`x-ratelimit-reset-requests: 1.5s`, `anthropic-ratelimit-requests-reset: <RFC 3339>`).
    ResetHeader(u64),
}

impl RetryAfter {
    /// The wait that is told.
    pub fn wait(&self) -> Option<Duration> {
        match *self {
            RetryAfter::Untold => None,
            RetryAfter::Seconds(s) => Duration::try_from_secs_f64(s).ok(),
            RetryAfter::Millis(ms) | RetryAfter::ResetHeader(ms) => Some(Duration::from_millis(ms)),
            RetryAfter::HttpDate(s) => Some(Duration::from_secs(s)),
        }
    }
}

/// Random faults of language models and of effect endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// What strikes chat completions, responses, embeddings and messages.
    pub llm: Faults,
    /// What strikes charges, refunds and other effects.
    pub effects: Faults,
}

impl FaultPlan {
    /// The same rates for both.
    pub fn everywhere(faults: Faults) -> Self {
        FaultPlan { llm: faults, effects: faults }
    }
}

/// The probability of each fault per request, from 0 to 1, and what the drawn faults look like.
///
/// Which request is struck depends on the seed, on the request (its `Idempotency-Key`, or else its content) and on
/// how often that request came before: not on the order in which concurrent requests arrive.
/// Faults of streams strike only requests that stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// See [`Fault::RateLimited`].
    pub rate_limited: f64,
    /// See [`Fault::QuotaExhausted`].
    pub quota_exhausted: f64,
    /// See [`Fault::Overloaded`].
    pub overloaded: f64,
    /// See [`Fault::Unavailable`].
    pub unavailable: f64,
    /// See [`Fault::ServerError`].
    pub server_error: f64,
    /// See [`Fault::ServerErrorAfter`].
    pub server_error_after: f64,
    /// See [`Fault::ContextOverflow`]; language models only.
    pub context_overflow: f64,
    /// See [`Fault::Hang`].
    pub hang: f64,
    /// See [`Fault::HangAfter`].
    pub hang_after: f64,
    /// See [`Fault::Reset`].
    pub reset: f64,
    /// See [`Fault::ResetAfter`].
    pub reset_after: f64,
    /// See [`Fault::CutStream`]; streams only. The place of the cut is drawn too.
    pub cut_stream: f64,
    /// See [`Fault::StallStream`]; streams only.
    pub stall_stream: f64,
    /// See [`Fault::ErrorEvent`]; streams only.
    pub error_event: f64,
    /// See [`Fault::SlowTokens`].
    pub slow_tokens: f64,
    /// The wait that a drawn `rate_limited` tells, in seconds.
    pub retry_after_s: f64,
    /// How long drawn hangs and stalls last if the client stays, in milliseconds.
    pub hang_ms: u64,
    /// How long each token takes under `slow_tokens`, in milliseconds.
    pub slow_token_ms: u64,
    /// After so many faults in a row, the same request is answered properly. Zero sets no bound.
    pub in_a_row_max: u16,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            rate_limited: 0.0,
            quota_exhausted: 0.0,
            overloaded: 0.0,
            unavailable: 0.0,
            server_error: 0.0,
            server_error_after: 0.0,
            context_overflow: 0.0,
            hang: 0.0,
            hang_after: 0.0,
            reset: 0.0,
            reset_after: 0.0,
            cut_stream: 0.0,
            stall_stream: 0.0,
            error_event: 0.0,
            slow_tokens: 0.0,
            retry_after_s: 1.0,
            hang_ms: hang_ms(),
            slow_token_ms: slow_ms(),
            in_a_row_max: 0,
        }
    }
}

/// What sort of request a fault is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prey {
    /// A language model's answer in one piece.
    Whole,
    /// A language model's stream.
    Stream,
    /// A charge, a refund, a booking.
    Effect,
}

impl Faults {
    /// Draws a fault: `strike` (0 to 1) says whether and which, `place` (0 to 1) where in a stream.
    pub(crate) fn draw(&self, prey: Prey, strike: f64, place: f64) -> Option<Fault> {
        let mut rest = strike;
        self.rates(prey, place).into_iter().find_map(|(rate, fault)| {
            if rest < rate {
                return Some(fault);
            }
            rest -= rate;
            None
        })
    }

    /// Whether anything can strike at all.
    pub(crate) fn any(&self) -> bool {
        self.rates(Prey::Stream, 0.0).iter().any(|(rate, _)| *rate > 0.0)
    }

    /// Says what is wrong with the rates.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rates = self.rates(Prey::Stream, 0.0);
        if let Some((rate, fault)) = rates.iter().find(|(rate, _)| !(0.0..=1.0).contains(rate)) {
            return Err(format!("{} is {rate}, which is no probability", fault.name()));
        }
        let sum: f64 = rates.iter().map(|(rate, _)| rate).sum();
        if sum > 1.0 + 1e-9 {
            return Err(format!("the rates add up to {sum}, more than 1"));
        }
        Ok(())
    }

    fn rates(&self, prey: Prey, place: f64) -> [(f64, Fault); 15] {
        // A drawn cut falls within the first fifty tokens: early enough to hit most answers, late enough to cost.
        let after_tokens = (place * 50.0) as u64;
        let ms = self.hang_ms;
        let only = |wanted: bool, rate: f64| if wanted { rate } else { 0.0 };
        let stream = prey == Prey::Stream;
        let model = prey != Prey::Effect;
        [
            (self.rate_limited, Fault::RateLimited { retry_after: RetryAfter::Seconds(self.retry_after_s) }),
            (self.quota_exhausted, Fault::QuotaExhausted),
            (self.overloaded, Fault::Overloaded),
            (self.unavailable, Fault::Unavailable { retry_after: RetryAfter::Untold }),
            (self.server_error, Fault::ServerError),
            (self.server_error_after, Fault::ServerErrorAfter),
            (only(model, self.context_overflow), Fault::ContextOverflow),
            (self.hang, Fault::Hang { ms }),
            (self.hang_after, Fault::HangAfter { ms }),
            (self.reset, Fault::Reset),
            (self.reset_after, Fault::ResetAfter),
            (only(stream, self.cut_stream), Fault::CutStream { after_tokens }),
            (only(stream, self.stall_stream), Fault::StallStream { after_tokens, ms }),
            (only(stream, self.error_event), Fault::ErrorEvent { after_tokens }),
            (self.slow_tokens, Fault::SlowTokens { token_ms: self.slow_token_ms }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{mix, unit};

    #[test]
    fn each_fault_strikes_at_its_rate() {
        let faults = Faults { rate_limited: 0.1, reset_after: 0.05, cut_stream: 0.2, ..Faults::default() };
        let drawn: Vec<_> =
            (0..20_000).filter_map(|n| faults.draw(Prey::Stream, unit(mix(3, n)), 0.5)).collect();
        for (name, rate) in [("rate_limited", 0.1), ("reset_after", 0.05), ("cut_stream", 0.2)] {
            let share = drawn.iter().filter(|f| f.name() == name).count() as f64 / 20_000.0;
            assert!((share - rate).abs() < 0.01, "{name}: {share}");
        }
    }

    #[test]
    fn faults_of_streams_leave_everything_else_alone() {
        let faults = Faults { cut_stream: 1.0, ..Faults::default() };
        assert!(faults.draw(Prey::Stream, 0.5, 0.5).is_some());
        assert_eq!(faults.draw(Prey::Whole, 0.5, 0.5), None);
        assert_eq!(faults.draw(Prey::Effect, 0.5, 0.5), None);
    }

    #[test]
    fn names_are_those_of_a_script_file() {
        for (_, fault) in Faults::default().rates(Prey::Stream, 0.0) {
            let json = serde_json::to_value(fault).unwrap();
            assert_eq!(json["kind"], fault.name());
        }
    }
}
