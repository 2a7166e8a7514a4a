//! Whether refusals have to do with the pace, or come by chance.
//!
//! A target that is asked for too much stops refusing once it is asked for half as much. One that refuses some calls for
//! reasons of its own goes on. So when refusals keep slowing the pace down, the attempts are watched that start at less than
//! half the pace of before them: if some are still refused, and not most, it is not the pace, and slowing down helps nobody.
//! From then on only what goes beyond that usual share is taken for a complaint.

use super::circuit::Bore;
use crate::Timestamp;

#[derive(Clone, Debug, Default)]
pub(super) struct Chance {
    /// The share that is refused at any pace; `None` until there is one.
    usual: Option<f64>,
    /// More than that it never becomes, for a pace that is too high looks the same.
    usual_max: f64,
    /// The share of the latest attempts.
    recent: f64,
    /// What the target bore before the refusals in question.
    before: Option<Bore>,
    /// When the pace was last eased: attempts from before are no evidence.
    eased_at: Option<Timestamp>,
    /// Successes since the last refusal.
    clean: u32,
    /// How much speaks for chance: the logarithm of how much likelier it is.
    evidence: f64,
    /// How many were watched for that.
    watched: u32,
    /// Attempts since the first complaint, and how many of them were refused.
    all: u32,
    refused: u32,
}

/// How the pace is when an attempt ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) rate: f64,
    /// Whether it is below where the target complained last.
    pub(super) is_eased: bool,
}

/// What a refusal is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// Perhaps the target asks for less.
    Complaint,
    /// One of those that come at any pace.
    Usual,
    /// The same, and this is when it became clear. The target bore this much before.
    NowUsual(Bore),
}

/// A refusal at a low pace speaks for chance, a success against it: with one in seven refused, by chance, and one in 50, if it
/// was the pace. Beyond `SURE` it is some fifty times likelier.
const REFUSAL: f64 = 2.0;
const SUCCESS: f64 = -0.14;
const SURE: f64 = 4.0;
const WATCHED_MIN: u32 = 12;

/// A pace is low below this share of the one before the refusals.
const LOW: f64 = 0.5;
/// So many successes in a row, and the refusals before them are a matter of the past.
const CLEAN: u32 = 40;

/// Where more are refused it may be anything, and what was known holds no longer.
const MANY: f64 = 0.35;
const USUAL_MAX: f64 = 0.3;
/// Fewer cannot be told from it, as few as are watched.
const LEAST: f64 = 0.1;
/// So many times what was found at first it may become.
const DRIFT: f64 = 1.2;
/// Where fewer are, each of them is taken for a complaint again.
const USUAL_MIN: f64 = 0.02;

/// The weights of the latest attempt: in the share that is compared, before and after it is known what is usual, and in that.
const LATEST: f64 = 1.0 / 16.0;
const LATEST_KNOWN: f64 = 1.0 / 32.0;
const LATEST_USUAL: f64 = 1.0 / 128.0;
/// So many standard deviations above the usual share are no chance any more.
const BEYOND: f64 = 2.5;

impl Chance {
    /// An attempt was answered as it should be, at this pace.
    pub(super) fn succeeded(&mut self, admitted: Timestamp, pace: At) {
        self.recent -= self.recent * self.latest();
        (self.clean, self.all) = (self.clean.saturating_add(1), self.all.saturating_add(1));
        if let Some(usual) = &mut self.usual {
            // Where the pace has given way, fewer refusals mean that fewer are usual.
            if pace.is_eased {
                *usual -= *usual * LATEST_USUAL;
            }
            if *usual < USUAL_MIN {
                self.forget();
            }
        } else if self.clean >= CLEAN {
            self.forget();
        } else if self.is_watched(admitted, pace.rate) {
            self.watched += 1;
            self.evidence += SUCCESS;
            if self.evidence <= 0.0 {
                (self.evidence, self.watched) = (0.0, 0);
            }
        }
    }

    /// An attempt was refused, at this pace.
    pub(super) fn refused(&mut self, admitted: Timestamp, pace: At) -> Verdict {
        // Of a complaint that was heard already: those under way at the time have nothing to add to it.
        if self.usual.is_some() && self.eased_at.is_some_and(|eased| admitted <= eased) {
            return Verdict::Complaint;
        }
        self.recent += (1.0 - self.recent) * self.latest();
        self.clean = 0;
        if let Some(usual) = &mut self.usual {
            if pace.is_eased {
                *usual = (*usual + (1.0 - *usual) * LATEST_USUAL).min(self.usual_max);
            }
            if self.recent <= beyond(*usual) {
                return Verdict::Usual;
            }
            // Not even a low pace helps, or most are refused: what was usual is so no longer.
            if self.is_low(pace.rate) || self.recent > MANY + BEYOND * LATEST_KNOWN {
                self.forget();
            }
            return Verdict::Complaint;
        }
        if self.recent > MANY {
            self.forget();
            return Verdict::Complaint;
        }
        (self.all, self.refused) = (self.all.saturating_add(1), self.refused + 1);
        let Some(before) = self.before.filter(|_| self.is_watched(admitted, pace.rate)) else {
            return Verdict::Complaint;
        };
        self.watched += 1;
        self.evidence += REFUSAL;
        let share = f64::from(self.refused) / f64::from(self.all);
        if self.evidence < SURE || self.watched < WATCHED_MIN || share > USUAL_MAX {
            return Verdict::Complaint;
        }
        let usual = share.max(LEAST);
        (self.usual, self.recent) = (Some(usual), usual);
        self.usual_max = (usual * DRIFT).min(USUAL_MAX);
        Verdict::NowUsual(before)
    }

    /// Whether some are refused at any pace.
    pub(super) fn is_known(&self) -> bool {
        self.usual.is_some()
    }

    /// The pace was eased for a complaint; the target had borne this much.
    pub(super) fn eased(&mut self, now: Timestamp, bore: Bore) {
        match self.usual {
            // It begins anew to tell what is beyond the usual.
            Some(usual) => self.recent = usual,
            None => {
                if self.before.is_none() {
                    (self.before, self.all, self.refused) = (Some(bore), 0, 0);
                }
            }
        }
        self.eased_at = Some(now);
    }

    fn latest(&self) -> f64 {
        if self.usual.is_some() { LATEST_KNOWN } else { LATEST }
    }

    fn is_watched(&self, admitted: Timestamp, rate: f64) -> bool {
        self.is_low(rate) && self.eased_at.is_some_and(|eased| admitted > eased)
    }

    fn is_low(&self, rate: f64) -> bool {
        self.before.is_some_and(|before| rate <= before.rate * LOW)
    }

    fn forget(&mut self) {
        *self = Self { recent: self.recent, clean: self.clean, ..Self::default() };
    }
}

/// The share of the latest attempts up to which refusals are as usual.
fn beyond(usual: f64) -> f64 {
    let deviation = (usual * (1.0 - usual) * LATEST_KNOWN / (2.0 - LATEST_KNOWN)).sqrt();
    usual + BEYOND * deviation
}
