//! A provider's own rate limit: a token bucket that is told the time.

use std::time::Duration;

use crate::config::RateLimit;

/// A bucket of requests. Starts full.
#[derive(Debug)]
pub(crate) struct Bucket {
    limit: RateLimit,
    level: f64,
    at: Duration,
}

/// What the bucket says about one request, and what the provider's headers say about the bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// How long to wait before asking again; `None` admits the request.
    pub(crate) wait: Option<Duration>,
    /// The most requests at once.
    pub(crate) limit: u32,
    /// Requests that would be admitted right now.
    pub(crate) remaining: u32,
    /// How long until the bucket is full.
    pub(crate) reset: Duration,
}

impl Bucket {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Bucket { limit, level: f64::from(limit.burst), at: Duration::ZERO }
    }

    /// Asks for one request at `now` (time since start, never going back by more than rounding).
    pub(crate) fn ask(&mut self, now: Duration) -> Verdict {
        let full = f64::from(self.limit.burst);
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + elapsed * self.limit.per_second).min(full);
        self.at = self.at.max(now);
        let wait = if self.level >= 1.0 {
            self.level -= 1.0;
            None
        } else {
            Some(Duration::from_secs_f64((1.0 - self.level) / self.limit.per_second))
        };
        Verdict {
            wait,
            limit: self.limit.burst,
            remaining: self.level as u32,
            reset: Duration::from_secs_f64((full - self.level) / self.limit.per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_admits_its_burst_and_then_says_how_long_to_wait() {
        let mut bucket = Bucket::new(RateLimit { per_second: 10.0, burst: 3 });
        let verdicts: Vec<_> = (0..4).map(|_| bucket.ask(Duration::ZERO)).collect();
        assert!(verdicts[..3].iter().all(|v| v.wait.is_none()));
        assert_eq!(verdicts[3].wait, Some(Duration::from_millis(100)));
        assert_eq!(verdicts[2].remaining, 0);
    }

    #[test]
    fn in_the_long_run_it_admits_its_rate_plus_one_burst() {
        let mut bucket = Bucket::new(RateLimit { per_second: 50.0, burst: 50 });
        let admitted = (0..10_000).filter(|n| bucket.ask(Duration::from_millis(*n)).wait.is_none()).count();
        assert!((548..=550).contains(&admitted), "{admitted} in 10 s");
    }

    #[test]
    fn waiting_as_told_is_enough() {
        let mut bucket = Bucket::new(RateLimit { per_second: 3.0, burst: 1 });
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            if let Some(wait) = bucket.ask(now).wait {
                now += wait + Duration::from_micros(1);
                assert_eq!(bucket.ask(now).wait, None);
            }
        }
    }
}
