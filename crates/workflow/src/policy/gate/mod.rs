//! The gate before a target: what one attempt learned about it holds for all.
//!
//! Five limits, each in a file of its own, and an attempt starts only if all of them let it: the cool-down that a target
//! asked for, the circuit that stays open while it is down, how many attempts may be under way
//! (the crowd), the share of retries, and the pace. The gate is a value without a clock:
//! engines tell it the time, ask before they start an attempt, and tell it how each one ended. Waiting is theirs.

mod chance;
mod circuit;
mod crowd;
mod observation;
mod pace;
mod policy;
mod retries;
mod state;

#[cfg(test)]
mod claims;
#[cfg(test)]
mod simulation;

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::chance::{Chance, Verdict};
use self::circuit::{Bore, Circuit, Found};
use self::crowd::Crowd;
use self::pace::Pace;
use self::retries::Retries;
use crate::Timestamp;

pub use observation::{Headroom, Observation, Observed, Window};
pub use policy::GatePolicy;
pub use state::{GateClosed, GateState, GateView};

/// What decides whether an attempt at a target may start now.
#[derive(Clone, Debug)]
pub struct Gate {
    policy: GatePolicy,
    seed: u64,
    draws: u64,
    /// Nothing starts before this.
    cool_until: Option<Timestamp>,
    /// Refusals without a named wait since the last success.
    unnamed: u32,
    chance: Chance,
    circuit: Circuit,
    crowd: Crowd,
    retries: Retries,
    pace: Pace,
}

/// Whether an attempt is a step's first one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Try {
    /// The first.
    First,
    /// Another one after a failure.
    Retry,
}

/// The answer to who asks to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Start now; exactly one [`Observation::Ended`] must follow.
    Admit(Admitted),
    /// Not now.
    Wait {
        /// When to ask again, at the earliest; `None` if only the end of another attempt can help.
        until: Option<Timestamp>,
        /// What holds it.
        because: HeldBy,
    },
}

/// An attempt that was let through; goes back with what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// When.
    pub at: Timestamp,
    /// Whether it is to find out if a target that was down is up again.
    pub is_probe: bool,
}

/// What holds an attempt back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// The target asked for a wait.
    CoolDown,
    /// The target is down, and it is not yet time to look again.
    Circuit,
    /// As many attempts as the target bears are under way.
    Concurrency,
    /// Too large a share of the traffic would be retries.
    Retries,
    /// The target bears so many starts a second.
    Rate,
}

/// From this length on a cool-down or an outage is followed by a slow restart.
const LONG: Duration = Duration::from_secs(1);

/// The share of the pace before an outage that is gone back to fast: perhaps it was on its way to too much.
const AFTER_OUTAGE: f64 = 0.75;

/// The longest cool-down where the target names none.
const UNNAMED_MAX: Duration = Duration::from_secs(30);

impl Gate {
    /// A gate before a target of which nothing is known; `seed` spreads the waits of different processes.
    pub fn new(policy: GatePolicy, seed: u64, now: Timestamp) -> Self {
        Self {
            seed,
            draws: 0,
            cool_until: None,
            unnamed: 0,
            chance: Chance::default(),
            circuit: Circuit::default(),
            crowd: Crowd::new(&policy),
            retries: Retries::new(&policy, now),
            pace: Pace::new(&policy, now),
            policy,
        }
    }

    /// A gate that goes on with what an earlier process knew.
    pub fn resume(policy: GatePolicy, seed: u64, now: Timestamp, known: &GateState) -> Self {
        let mut gate = Self::new(policy, seed, now);
        gate.pace.resume(known.rate_aim);
        gate.crowd.resume(known.concurrency);
        if let Some(closed) = known.closed.filter(|closed| closed.until > now) {
            gate.close_until(now, closed.until);
        }
        gate
    }

    /// Asks to start an attempt now.
    pub fn admit(&mut self, now: Timestamp, which: Try) -> Admission {
        let wait = |until, because| Admission::Wait { until, because };
        if let Some(until) = self.cool_until.filter(|until| *until > now) {
            return wait(Some(until), HeldBy::CoolDown);
        }
        if let Some(until) = self.circuit.open_until() {
            if until > now {
                return wait(Some(until), HeldBy::Circuit);
            }
            // A probe answers to no other limit: it is alone, and everybody waits for what it finds.
            self.circuit.probe(now);
            self.crowd.enter();
            return Admission::Admit(Admitted { at: now, is_probe: true });
        }
        if self.crowd.is_full() {
            return wait(None, HeldBy::Concurrency);
        }
        if let Err(until) = self.pace.check(now) {
            return wait(Some(until), HeldBy::Rate);
        }
        if which == Try::Retry
            && let Err(until) = self.retries.take(now)
        {
            return wait(Some(until), HeldBy::Retries);
        }
        self.pace.take();
        self.circuit.enter();
        self.crowd.enter();
        Admission::Admit(Admitted { at: now, is_probe: false })
    }

    /// Whether the next attempt to be let through is a probe: the caller may want to send one that has tries to lose.
    pub fn probes_next(&self) -> bool {
        self.circuit.open_until().is_some()
    }

    /// Learns what an attempt found out.
    pub fn learn(&mut self, now: Timestamp, observation: &Observation) {
        match observation {
            Observation::Headroom(headroom) => self.pace.headroom(now, headroom),
            Observation::Ended { admitted, observed, tokens } => {
                self.pace.count_tokens(*tokens);
                let was_pressed = self.crowd.leave();
                self.circuit.leave(*admitted);
                self.ended(now, *admitted, *observed, was_pressed);
            }
        }
    }

    fn ended(&mut self, now: Timestamp, admitted: Admitted, observed: Observed, was_pressed: bool) {
        match observed {
            Observed::Success => {
                self.answered(now, admitted);
                self.unnamed = 0;
                // Where refusals are chance, retries are no crowd that presses a target which is down.
                self.retries.earn(now, if self.chance.is_known() { 1.0 } else { self.policy.retry_share });
                self.chance.succeeded(admitted.at, self.pace.stands());
                self.pace.succeeded(now);
                if was_pressed {
                    self.crowd.succeeded();
                }
            }
            Observed::Answered => self.answered(now, admitted),
            Observed::RateLimited { retry_after } => {
                self.answered(now, admitted);
                if self.is_complaint(admitted) {
                    self.ease(now, admitted);
                    self.cool_down(now, retry_after);
                }
            }
            Observed::Overloaded { retry_after } => {
                let bore = self.bore();
                let is_complaint = self.is_complaint(admitted);
                // The first one of a series slows down; if more follow it is the circuit's turn.
                if is_complaint && self.circuit.failures() == 0 {
                    self.ease(now, admitted);
                    self.crowd.limited(now, admitted.at);
                }
                self.failed(now, admitted, bore, retry_after.filter(|_| is_complaint));
            }
            Observed::Failed { retry_after } => self.failed(now, admitted, self.bore(), retry_after),
            Observed::Silent => {
                let spread = self.spread();
                self.circuit.still_down(now, admitted, &self.policy, spread);
            }
            Observed::Nothing => self.circuit.gave_back(now, admitted),
        }
    }

    /// Whether a refusal may be for the pace, and not one of those that come at any pace. For the latter nobody but the one
    /// that was refused has to wait.
    fn is_complaint(&mut self, admitted: Admitted) -> bool {
        match self.chance.refused(admitted.at, self.pace.stands()) {
            Verdict::Complaint => true,
            Verdict::Usual => false,
            Verdict::NowUsual(before) => {
                self.pace.take_back(before.rate);
                self.crowd.take_back(before.crowd);
                false
            }
        }
    }

    fn ease(&mut self, now: Timestamp, admitted: Admitted) {
        let bore = self.bore();
        if self.pace.limited(now, admitted.at) {
            self.chance.eased(now, bore);
        }
    }

    fn answered(&mut self, now: Timestamp, admitted: Admitted) {
        if let Found::Up(before) = self.circuit.answered(admitted) {
            self.pace.restart(now, before.rate * AFTER_OUTAGE);
            self.crowd.restart(&self.policy, before.crowd);
        }
    }

    fn bore(&self) -> Bore {
        Bore { rate: self.pace.aim(), crowd: self.crowd.aim() }
    }

    fn failed(&mut self, now: Timestamp, admitted: Admitted, bore: Bore, retry_after: Option<Duration>) {
        let spread = self.spread();
        self.circuit.failed(now, admitted, bore, &self.policy, spread);
        if retry_after.is_some() {
            self.cool_down(now, retry_after);
        }
    }

    /// Holds everybody back for as long as the target asks, or longer each time if it names no time.
    fn cool_down(&mut self, now: Timestamp, asked: Option<Duration>) {
        let wait = asked.unwrap_or_else(|| {
            let doubled = self.policy.cool_down.saturating_mul(1 << self.unnamed.min(16));
            self.unnamed += 1;
            doubled.min(UNNAMED_MAX.max(self.policy.cool_down))
        });
        if wait.is_zero() {
            return;
        }
        let wait = wait.min(self.policy.cool_down_max);
        let spread = wait.mul_f64(self.spread()).max(wait);
        self.close_until(now, now + spread);
    }

    fn close_until(&mut self, now: Timestamp, until: Timestamp) {
        if self.cool_until.is_none_or(|earlier| earlier < until) {
            self.cool_until = Some(until);
            self.pace.pause(until);
            if until.since(now) >= LONG {
                self.pace.restart(until, self.pace.aim());
            }
        }
    }

    /// A factor from 1 to 1.1: waits are spread, and upward only.
    #[allow(clippy::cast_precision_loss)]
    fn spread(&mut self) -> f64 {
        self.draws += 1;
        let draw = xxh3_64_with_seed(&self.draws.to_be_bytes(), self.seed) >> 11;
        1.0 + 0.1 * draw as f64 / (1u64 << 53) as f64
    }

    /// What it knows, for display and metrics.
    pub fn state(&self, now: Timestamp) -> GateState {
        let cooling = self.cool_until.map(|until| (until, HeldBy::CoolDown));
        let open = self.circuit.open_until().map(|until| (until.max(now), HeldBy::Circuit));
        let closed = [cooling, open].into_iter().flatten().max_by_key(|(until, _)| *until);
        GateState {
            closed: closed
                .filter(|(until, because)| *until > now || *because == HeldBy::Circuit)
                .map(|(until, because)| GateClosed { until, because }),
            is_probing: self.circuit.is_probing(),
            failures: self.circuit.failures(),
            rate: self.pace.rate(),
            rate_aim: self.pace.aim(),
            concurrency: self.crowd.limit(),
            under_way: self.crowd.under_way(),
            retries_left: self.retries.left(),
        }
    }
}
