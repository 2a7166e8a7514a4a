//! Random spread of waits, drawn from a hash so that a replay draws the same.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Backoff;

/// How a wait is spread so that many callers do not come back together.
///
/// `Full`, `Equal` and `Decorrelated` are the three of the AWS Architecture Blog, "Exponential Backoff And Jitter".
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Jitter {
    /// As the backoff says.
    None,
    /// Times a factor between `1 - x` and `1 + x`.
    Proportional(f64),
    /// Between nothing and the whole wait.
    Full,
    /// Between half and the whole wait.
    Equal,
    /// Between the first wait and three times the wait before, up to the longest.
    Decorrelated,
}

impl Jitter {
    /// Spreads the wait of `backoff` before the `retry`-th retry (from 1); `seed` stands for the caller.
    pub fn delay(self, backoff: &Backoff, retry: u32, seed: u64) -> Duration {
        let base = backoff.delay(retry);
        let draw = unit(seed, retry);
        match self {
            Jitter::None => base,
            Jitter::Proportional(share) => base.mul_f64((1.0 + share.abs() * (2.0 * draw - 1.0)).max(0.0)),
            Jitter::Full => base.mul_f64(draw),
            Jitter::Equal => base.mul_f64(0.5 + draw / 2.0),
            Jitter::Decorrelated => decorrelated(backoff, retry, seed),
        }
    }

    /// Spreads a wait that the target asked for: upward only, so that nobody comes back too early.
    pub fn delay_asked(self, asked: Duration, retry: u32, seed: u64) -> Duration {
        let share = match self {
            Jitter::None => 0.0,
            Jitter::Proportional(share) => share.abs(),
            Jitter::Full | Jitter::Equal | Jitter::Decorrelated => 0.3,
        };
        // The `max` guards against a float that rounds below what was asked.
        asked.mul_f64(1.0 + share * unit(seed, retry)).max(asked)
    }
}

impl Default for Jitter {
    /// ±30 %.
    fn default() -> Self {
        Jitter::Proportional(0.3)
    }
}

fn decorrelated(backoff: &Backoff, retry: u32, seed: u64) -> Duration {
    let (first, max) = backoff.bounds();
    // Waits settle at the bounds long before 64 retries, so the walk need not be longer.
    (1..=retry.min(64)).fold(first, |before, n| {
        let span = before.saturating_mul(3).saturating_sub(first);
        (first + span.mul_f64(unit(seed, n))).min(max)
    })
}

/// A number in [0, 1) that depends on the seed and the retry alone.
#[allow(clippy::cast_precision_loss)]
fn unit(seed: u64, retry: u32) -> f64 {
    (xxh3_64_with_seed(&retry.to_be_bytes(), seed) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jitter_stays_within_its_bounds_over_ten_thousand_seeds() {
        let backoff = Backoff::default();
        let second = Duration::from_secs(4);
        for (jitter, low, high) in [
            (Jitter::None, 4.0, 4.0),
            (Jitter::Proportional(0.3), 2.8, 5.2),
            (Jitter::Full, 0.0, 4.0),
            (Jitter::Equal, 2.0, 4.0),
            (Jitter::Decorrelated, 1.0, 60.0),
        ] {
            for seed in 0..10_000 {
                let delay = jitter.delay(&backoff, 3, seed).as_secs_f64();
                assert!((low..=high).contains(&delay), "{jitter:?} seed {seed}: {delay}");
                assert!(jitter.delay_asked(second, 3, seed) >= second, "{jitter:?} undercuts, seed {seed}");
            }
        }
    }

    #[test]
    fn a_thousand_runs_get_nearly_a_thousand_delays() {
        let delays = (0..1000).map(|seed| Jitter::default().delay(&Backoff::default(), 1, seed).as_micros());
        let distinct: std::collections::HashSet<_> = delays.collect();
        assert!(distinct.len() > 990, "{}", distinct.len());
    }
}
