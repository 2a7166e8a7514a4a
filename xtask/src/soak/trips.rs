//! The trips that are under way, and what must have come of all of them in the end.

use std::collections::{BTreeMap, BTreeSet};

use midwatch_journal::{RunSummary, Status};
use midwatch_simulator::Effect;
use serde::Serialize;

/// How many trips are under way at once.
const AT_ONCE: usize = 24;

/// Every so many trips are declined at the payment.
const DECLINED_EVERY: u32 = 4;

/// All trips.
#[derive(Default)]
pub(super) struct Trips {
    given: u32,
    ends: u32,
    under_way: BTreeSet<String>,
}

impl Trips {
    /// Trips to begin now, so that enough are under way.
    pub(super) fn next(&mut self) -> Vec<String> {
        let mut next = Vec::new();
        while self.under_way.len() < AT_ONCE {
            self.given += 1;
            let is_declined = self.given.is_multiple_of(DECLINED_EVERY);
            let id = format!("trip-{}{}", self.given, if is_declined { "-declined" } else { "" });
            self.under_way.insert(id.clone());
            next.push(id);
        }
        next
    }

    pub(super) fn ended(&mut self, id: &str) {
        self.ends += u32::from(self.under_way.remove(id));
    }

    /// How many have ended.
    pub(super) fn ends(&self) -> u32 {
        self.ends
    }

    pub(super) fn under_way(&self) -> &BTreeSet<String> {
        &self.under_way
    }

    pub(super) fn given(&self) -> u32 {
        self.given
    }
}

/// What came of the trips.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Findings {
    pub(super) lost: u64,
    pub(super) completed: u64,
    pub(super) compensated: u64,
    pub(super) failed: u64,
    pub(super) disagreements: Vec<String>,
}

/// Compares the runs of the journal with what was really done: a trip that completed has its four effects once and none
/// undone, of any other nothing is left standing, and each was one run.
pub(super) fn compare(given: u32, runs: &[RunSummary], effects: &[Effect]) -> Findings {
    let mut findings = Findings::default();
    let mut standing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| !effect.undoing && effect.undone_by.is_none()) {
        let trip = effect.reference.as_deref().unwrap_or_default();
        standing.entry(trip).or_default().push(&effect.kind);
    }
    let mut seen = BTreeSet::new();
    for run in runs {
        let trip = run.workflow_id.as_str();
        if !seen.insert(trip) {
            findings.disagreements.push(format!("{trip} is there twice"));
        }
        let mut left = standing.remove(trip).unwrap_or_default();
        left.sort_unstable();
        let expected: &[&str] = match run.status {
            Status::Completed => &["book_car", "book_flight", "book_hotel", "charge"],
            _ => &[],
        };
        match run.status {
            Status::Completed => findings.completed += 1,
            Status::Compensated => findings.compensated += 1,
            status if status.is_ended() => findings.failed += 1,
            _ => {
                findings.lost += 1;
                continue;
            }
        }
        if left != expected {
            findings.disagreements.push(format!("{trip} is {} and leaves {left:?}", run.status));
        }
    }
    findings.lost += u64::from(given).saturating_sub(seen.len() as u64);
    for (trip, left) in standing {
        findings.disagreements.push(format!("{left:?} were done for `{trip}`, which is no run"));
    }
    findings
}
