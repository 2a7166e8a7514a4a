//! What all requests share: settings, books, script, limits, keys.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::config::Config;
use crate::draw::{Occurrences, mix, unit};
use crate::endpoint::Provider;
use crate::fault::{Fault, Faults, Prey};
use crate::idempotency::KeyStore;
use crate::ledger::Ledger;
use crate::limit::{Bucket, Verdict};
use crate::outage::Outages;
use crate::request::Arrived;
use crate::script::{Script, Scripted};
use crate::sync::locked;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) script: Script,
    pub(crate) outages: Outages,
    pub(crate) keys: Mutex<KeyStore>,
    /// Becomes true when the simulator stops: whoever hangs lets go.
    pub(crate) stop: watch::Sender<bool>,
    buckets: Option<[Mutex<Bucket>; 3]>,
    occurrences: Occurrences,
}

impl World {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let script = Script::default();
        script.extend(config.script.iter().cloned());
        Arc::new(World {
            ledger: Ledger::new(config.seed, config.ledger_entries_max),
            script,
            outages: Outages::new(config.outages.clone()),
            keys: Mutex::new(KeyStore::new(config.keys)),
            stop: watch::channel(false).0,
            buckets: config.rate_limit.map(|limit| std::array::from_fn(|_| Mutex::new(Bucket::new(limit)))),
            occurrences: Occurrences::new(),
            config,
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.ledger.now()
    }

    /// The wall clock, for headers that hold dates. Nothing else depends on it.
    pub(crate) fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Asks the provider's rate limit.
    pub(crate) fn ask_limit(&self, provider: Provider) -> Option<Verdict> {
        let buckets = self.buckets.as_ref()?;
        Some(locked(&buckets[provider as usize]).ask(self.now()))
    }

    /// The fault that strikes a request, and a number that is this occurrence's own.
    pub(crate) fn fault(&self, request: &Arrived) -> (Option<Fault>, u64) {
        let occurrence = self.occurrences.next(request.identity);
        let own = mix(request.identity, u64::from(occurrence));
        let fault = match request.with_cue(|cue| self.script.fault(cue)) {
            Scripted::Fault(fault) => Some(fault),
            Scripted::Pass => None,
            Scripted::Nothing if request.read_only => None,
            Scripted::Nothing => self.random_fault(request, occurrence),
        };
        (fault, own)
    }

    fn random_fault(&self, request: &Arrived, occurrence: u16) -> Option<Fault> {
        let (faults, prey) = match request.provider() {
            Provider::Payments => (&self.config.faults.effects, Prey::Effect),
            _ if request.streams() => (&self.config.faults.llm, Prey::Stream),
            _ => (&self.config.faults.llm, Prey::Whole),
        };
        if !faults.any() {
            return None;
        }
        strike(faults, prey, request.identity, occurrence)
    }
}

/// The fault for the n-th occurrence of an identity. It depends on the earlier ones only through `in_a_row_max`.
fn strike(faults: &Faults, prey: Prey, identity: u64, occurrence: u16) -> Option<Fault> {
    let draw = |n: u16| {
        let own = mix(identity, u64::from(n));
        faults.draw(prey, unit(mix(own, 11)), unit(mix(own, 12)))
    };
    let drawn = draw(occurrence)?;
    if faults.in_a_row_max == 0 {
        return Some(drawn);
    }
    let mut in_a_row = 0;
    for n in 0..occurrence {
        in_a_row = if in_a_row < faults.in_a_row_max && draw(n).is_some() { in_a_row + 1 } else { 0 };
    }
    (in_a_row < faults.in_a_row_max).then_some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_so_many_faults_in_a_row_the_request_is_answered() {
        let faults = Faults { overloaded: 1.0, in_a_row_max: 2, ..Faults::default() };
        let struck: Vec<bool> = (0..7).map(|n| strike(&faults, Prey::Whole, 9, n).is_some()).collect();
        assert_eq!(struck, [true, true, false, true, true, false, true]);
    }
}
