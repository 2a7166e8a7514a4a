//! Time to place, in percent of the width.

use std::time::Duration;

use midwatch_workflow::Timestamp;

/// The time that a picture shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scale {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Scale {
    /// How long that is; never nothing.
    pub(crate) fn length(self) -> Duration {
        self.to.since(self.from).max(Duration::from_micros(1))
    }

    /// Where a moment lies, 0 to 100, those outside at the edges.
    #[allow(clippy::cast_precision_loss)] // a place on paper
    pub(crate) fn place(self, at: Timestamp) -> f64 {
        let part = at.since(self.from).as_micros() as f64 / self.length().as_micros() as f64;
        (part * 100.0).clamp(0.0, 100.0)
    }

    /// Whether a stretch of time can be seen.
    pub(crate) fn shows(self, from: Timestamp, to: Timestamp) -> bool {
        from <= self.to && to >= self.from
    }
}

/// A step between marks: 1, 2 or 5 of a power of ten, or what divides minutes, hours and days.
pub(crate) fn step(length: Duration, marks_max: u128) -> Duration {
    const STEPS: [u64; 20] = [
        1_000_000,
        2_000_000,
        5_000_000,
        10_000_000,
        20_000_000,
        30_000_000,
        60_000_000,
        120_000_000,
        300_000_000,
        600_000_000,
        1_200_000_000,
        1_800_000_000,
        3_600_000_000,
        7_200_000_000,
        10_800_000_000,
        21_600_000_000,
        43_200_000_000,
        86_400_000_000,
        172_800_000_000,
        604_800_000_000,
    ];
    let least = length.as_micros().div_ceil(marks_max.max(1)).max(1);
    let mut small = 1u64;
    while small < 1_000_000 {
        for step in [small, small * 2, small * 5] {
            if u128::from(step) >= least {
                return Duration::from_micros(step);
            }
        }
        small *= 10;
    }
    let known = STEPS.into_iter().find(|step| u128::from(*step) >= least);
    // Weeks beyond weeks.
    let weeks = least.div_ceil(604_800_000_000);
    known.map_or_else(
        || Duration::from_micros(u64::try_from(weeks * 604_800_000_000).unwrap_or(u64::MAX)),
        Duration::from_micros,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_never_too_many() {
        for (length, expected) in [(900, 200), (12_000_000, 2_000_000), (95_000_000, 20_000_000)] {
            assert_eq!(step(Duration::from_micros(length), 6), Duration::from_micros(expected));
        }
        for exponent in 0..18 {
            let length = Duration::from_micros(10u64.pow(exponent) * 7);
            assert!(length.as_micros() / step(length, 6).as_micros() <= 6, "{length:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_put_at_the_edge() {
        let at = Timestamp::from_micros;
        let scale = Scale { from: at(100), to: at(200) };
        assert_eq!(
            [0, 100, 150, 200, 900].map(|micros| scale.place(at(micros))),
            [0.0, 0.0, 50.0, 100.0, 100.0]
        );
    }
}
