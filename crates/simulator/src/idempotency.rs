//! What Stripe's API v1 does with `Idempotency-Key`: the first answer is kept and replayed, errors too.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use axum::body::Bytes;

use crate::config::Keys;
use crate::draw::fingerprint;

/// An answer that is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// The request that was answered first.
    pub(crate) original_request: String,
}

/// What a key means for a request that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody used it: the request is carried out, and its answer is to be kept.
    First,
    /// The first request with it is still under way.
    InFlight,
    /// It was used with other parameters.
    Changed,
    /// It has an answer.
    Answered(Kept),
    /// No more keys can be remembered.
    Full,
}

/// The keys that are remembered.
#[derive(Debug)]
pub(crate) struct KeyStore {
    lifetime: Duration,
    /// By the key's 128-bit hash; keys are long and there are many.
    records: HashMap<u128, Record>,
    /// Keys by age, oldest first.
    ages: VecDeque<(Duration, u128)>,
}

#[derive(Debug)]
struct Record {
    parameters: u64,
    kept: Option<Kept>,
}

impl KeyStore {
    /// So many keys are remembered at once. Forgetting one early would do its effect twice.
    const KEYS_MAX: usize = 1_000_000;

    pub(crate) fn new(keys: Keys) -> Self {
        KeyStore {
            lifetime: Duration::from_millis(keys.lifetime_ms),
            records: HashMap::new(),
            ages: VecDeque::new(),
        }
    }

    /// Presents a key with a hash of the parameters; `First` takes it.
    pub(crate) fn present(&mut self, key: &str, parameters: u64, now: Duration) -> Standing {
        self.forget_old(now);
        let key = fingerprint(&[key]);
        if let Some(record) = self.records.get(&key) {
            return match &record.kept {
                _ if record.parameters != parameters => Standing::Changed,
                None => Standing::InFlight,
                Some(kept) => Standing::Answered(kept.clone()),
            };
        }
        if self.records.len() >= Self::KEYS_MAX {
            return Standing::Full;
        }
        self.records.insert(key, Record { parameters, kept: None });
        self.ages.push_back((now, key));
        Standing::First
    }

    /// Keeps the answer under the key, for as long as the key lives.
    pub(crate) fn keep(&mut self, key: &str, kept: Kept) {
        if let Some(record) = self.records.get_mut(&fingerprint(&[key])) {
            record.kept = Some(kept);
        }
    }

    fn forget_old(&mut self, now: Duration) {
        while let Some((since, key)) = self.ages.front() {
            if now.saturating_sub(*since) < self.lifetime {
                return;
            }
            self.records.remove(key);
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(status: u16) -> Kept {
        Kept { status, body: Bytes::from_static(b"{}"), original_request: "req_1".into() }
    }

    fn store() -> KeyStore {
        KeyStore::new(Keys { honoured: true, lifetime_ms: 1000 })
    }

    #[test]
    fn the_first_answer_is_replayed_even_if_it_was_a_500() {
        let mut keys = store();
        assert_eq!(keys.present("k", 1, Duration::ZERO), Standing::First);
        assert_eq!(keys.present("k", 1, Duration::ZERO), Standing::InFlight);
        keys.keep("k", kept(500));
        assert_eq!(keys.present("k", 1, Duration::ZERO), Standing::Answered(kept(500)));
    }

    #[test]
    fn other_parameters_under_the_same_key_are_refused() {
        let mut keys = store();
        keys.present("k", 1, Duration::ZERO);
        assert_eq!(keys.present("k", 2, Duration::ZERO), Standing::Changed);
    }

    #[test]
    fn a_key_is_new_again_after_its_lifetime() {
        let mut keys = store();
        keys.present("k", 1, Duration::ZERO);
        keys.keep("k", kept(200));
        assert_eq!(keys.present("k", 1, Duration::from_millis(999)), Standing::Answered(kept(200)));
        assert_eq!(keys.present("k", 1, Duration::from_millis(1000)), Standing::First);
    }
}
