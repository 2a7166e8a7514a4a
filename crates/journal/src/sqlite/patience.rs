//! When a commit waits for company: only while so much comes that what it waits for is there at once.
//!
//! A commit costs many times what an append in it does. Left alone, the writer's thread commits what it finds, and a fast disk
//! lets it find one append or two each time: most of a busy machine may then go into commits.

use std::time::Duration;

/// How many more appends must be expected while a commit waits. One that waits for fewer holds up runs for little.
const COMPANY: u32 = 6;

/// How often appends come, and what follows from it.
pub(super) struct Patience {
    /// The longest that a commit may wait; nothing waits if it is zero.
    most: Duration,
    /// How long it is from one append to the next, on a sliding average; never more than `most`, so that what was an hour ago
    /// is soon forgotten.
    usual: Duration,
}

impl Patience {
    pub(super) fn new(most: Duration) -> Self {
        Self { most, usual: most }
    }

    /// So many appends have come since it was asked last, which is so long ago.
    pub(super) fn saw(&mut self, appends: usize, within: Duration) {
        // The weight of what was before: each append takes a sixteenth of it.
        let Ok(appends @ 1..) = u32::try_from(appends) else { return };
        let before = 0.9375_f64.powi(appends.min(1_000).cast_signed());
        let every = (within / appends).min(self.most);
        self.usual = self.usual.mul_f64(before) + every.mul_f64(1.0 - before);
    }

    /// For how long the next commit waits, if it should.
    pub(super) fn wait(&self) -> Option<Duration> {
        (!self.most.is_zero() && self.usual * COMPANY <= self.most).then_some(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(1_500);

    /// After seeing so many appends every so often, so many times.
    fn after(mut patience: Patience, appends: usize, every: Duration, times: u32) -> Patience {
        for _ in 0..times {
            patience.saw(appends, every);
        }
        patience
    }

    #[test]
    fn a_commit_waits_while_appends_come_in_crowds_and_not_for_those_of_a_few_runs() {
        let ms = Duration::from_millis(1);
        for (appends, every, waits) in [
            (1, 100 * ms, false),
            (1, ms, false),
            (2, ms, false),
            (3, ms, false),
            (1, Duration::from_micros(200), true),
            (8, ms, true),
            (50, 3 * ms, true),
        ] {
            let patience = after(Patience::new(MOST), appends, every, 100);
            assert_eq!(patience.wait(), waits.then_some(MOST), "{appends} every {every:?}");
        }
    }

    #[test]
    fn nothing_waits_at_first_nor_once_a_crowd_has_gone() {
        assert_eq!(Patience::new(MOST).wait(), None);
        let crowd = after(Patience::new(MOST), 12, MOST, 100);
        assert_eq!(crowd.wait(), Some(MOST));
        assert_eq!(after(crowd, 1, Duration::from_secs(60), 8).wait(), None);
    }

    #[test]
    fn a_journal_without_patience_never_waits() {
        assert_eq!(after(Patience::new(Duration::ZERO), 1_000, Duration::ZERO, 100).wait(), None);
    }
}
