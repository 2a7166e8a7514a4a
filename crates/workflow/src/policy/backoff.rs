//! How the wait grows from retry to retry, before jitter.

use std::time::Duration;

/// The waits between attempts.
#[derive(Clone, PartialEq, Debug)]
pub enum Backoff {
    /// No wait.
    Immediate,
    /// Always the same wait.
    Fixed(Duration),
    /// `initial`, then `step` more each time, up to `max`.
    Linear {
        /// The first wait.
        initial: Duration,
        /// What each further wait adds.
        step: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// `initial`, then `factor` times the wait before, up to `max`.
    Exponential {
        /// The first wait.
        initial: Duration,
        /// By how much each further wait is multiplied.
        factor: f64,
        /// The longest wait.
        max: Duration,
    },
    /// Each backoff for so many retries, the last one for ever.
    Chain(Vec<(u32, Backoff)>),
}

impl Backoff {
    /// The wait before the `retry`-th retry, counted from 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use midwatch_workflow::Backoff;
    /// let delays: Vec<_> = Backoff::default().delays().take(4).collect();
    /// assert_eq!(delays, [1, 2, 4, 8].map(Duration::from_secs));
    /// ```
    pub fn delay(&self, retry: u32) -> Duration {
        let before = retry.saturating_sub(1);
        match self {
            Backoff::Immediate => Duration::ZERO,
            Backoff::Fixed(delay) => *delay,
            Backoff::Linear { initial, step, max } => {
                initial.saturating_add(step.saturating_mul(before)).min(*max)
            }
            Backoff::Exponential { initial, factor, max } => exponential(*initial, *factor, before, *max),
            Backoff::Chain(parts) => chained(parts, retry),
        }
    }

    /// All waits in turn, without end.
    pub fn delays(&self) -> impl Iterator<Item = Duration> + '_ {
        (1..=u32::MAX).map(|retry| self.delay(retry))
    }

    /// The first and the longest wait, the bounds within which decorrelated jitter moves.
    pub(crate) fn bounds(&self) -> (Duration, Duration) {
        match self {
            Backoff::Linear { initial, max, .. } | Backoff::Exponential { initial, max, .. } => {
                (*initial, *max)
            }
            Backoff::Chain(parts) => {
                let last = parts.last().map_or(Duration::ZERO, |(_, part)| part.bounds().1);
                (self.delay(1), last)
            }
            Backoff::Immediate | Backoff::Fixed(_) => (self.delay(1), self.delay(1)),
        }
    }
}

fn exponential(initial: Duration, factor: f64, times: u32, max: Duration) -> Duration {
    let seconds = initial.as_secs_f64() * factor.powf(f64::from(times));
    Duration::try_from_secs_f64(seconds).map_or(max, |delay| delay.min(max))
}

fn chained(parts: &[(u32, Backoff)], mut retry: u32) -> Duration {
    let Some(((_, last), earlier)) = parts.split_last() else { return Duration::ZERO };
    for (count, part) in earlier {
        if retry <= *count {
            return part.delay(retry);
        }
        retry -= count;
    }
    last.delay(retry)
}

impl Default for Backoff {
    /// 1 s, doubled each time, at most 60 s.
    fn default() -> Self {
        Backoff::Exponential { initial: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn every_backoff_gives_its_series() {
        let linear = Backoff::Linear { initial: secs(1), step: secs(2), max: secs(6) };
        let chain = Backoff::Chain(vec![
            (2, Backoff::Fixed(secs(1))),
            (1, Backoff::Fixed(secs(5))),
            (1, linear.clone()),
        ]);
        for (backoff, series) in [
            (Backoff::Immediate, [0, 0, 0, 0, 0]),
            (Backoff::Fixed(secs(3)), [3, 3, 3, 3, 3]),
            (linear, [1, 3, 5, 6, 6]),
            (Backoff::default(), [1, 2, 4, 8, 16]),
            (chain, [1, 1, 5, 1, 3]),
        ] {
            let delays: Vec<_> = backoff.delays().take(5).collect();
            assert_eq!(delays, series.map(secs), "{backoff:?}");
        }
    }

    #[test]
    fn a_huge_retry_count_stays_at_the_longest_wait() {
        assert_eq!(Backoff::default().delay(u32::MAX), secs(60));
    }
}
