//! Incidents with known causes, told from what happened and not from the rules that find it out.
//!
//! [`incidents`] tells all of them: several variants of each cause, with other names, timings, noise and decoys. More can be
//! brought as JSON files, one [`Incident`] each.

mod cost;
mod failure;
mod quiet;
mod slow;
mod stuck;
mod tale;

use serde::{Deserialize, Serialize};

pub use tale::{Tale, World};

use crate::why::{Cause, Facts, Verdict, why};

/// An incident and what is the matter.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub name: String,
    /// How the run really was doing.
    pub verdict: Verdict,
    /// What was really the matter.
    pub cause: Cause,
    /// What can be known of it.
    pub facts: Facts,
}

/// How an answer compares with the truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Verdict and cause are right.
    Right,
    /// The answer says that it does not know.
    Unknown,
    /// The answer is wrong.
    Wrong,
}

impl Incident {
    /// Asks for the answer and compares it with the truth.
    pub fn mark(&self) -> (Mark, crate::why::Answer) {
        let answer = why(&self.facts);
        let mark = match (answer.verdict == self.verdict, answer.cause == self.cause) {
            (true, true) => Mark::Right,
            _ if answer.cause == Cause::Unknown => Mark::Unknown,
            _ => Mark::Wrong,
        };
        (mark, answer)
    }
}

/// Tells all incidents.
pub fn incidents() -> Vec<Incident> {
    [slow::all(), stuck::all(), cost::all(), failure::all(), quiet::all()].concat()
}

/// Variants of one kind of incident.
fn variants(
    name: &str,
    verdict: Verdict,
    cause: Cause,
    count: u64,
    tell: impl Fn(u64) -> Facts,
) -> Vec<Incident> {
    (1..=count)
        .map(|n| Incident { name: format!("{verdict}/{name}-{n}"), verdict, cause, facts: tell(n) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_wrong_and_nearly_all_are_right() {
        let incidents = incidents();
        let mut missed = Vec::new();
        let (mut right, mut wrong) = (0, 0);
        for incident in &incidents {
            let (mark, answer) = incident.mark();
            match mark {
                Mark::Right => right += 1,
                Mark::Unknown => {}
                Mark::Wrong => wrong += 1,
            }
            if mark != Mark::Right {
                let (verdict, cause) = (incident.verdict, incident.cause);
                missed.push(format!(
                    "{}: {verdict}/{cause} answered {}/{}: {}",
                    incident.name, answer.verdict, answer.cause, answer.headline
                ));
            }
        }
        let told = format!("{right} of {} right, {wrong} wrong\n{}", incidents.len(), missed.join("\n"));
        assert!(wrong == 0 && right * 20 >= incidents.len() * 19, "{told}");
    }

    #[test]
    fn a_usual_run_is_well_at_every_moment() {
        for n in 0..40 {
            let world = World::of(n);
            let usual = world.usual();
            let mut tale = Tale::begin(world, 90_000 + n);
            tale.usual_work(n);
            tale.complete();
            for kept in 1..=tale.events.len() {
                let mut told = tale.clone();
                told.events.truncate(kept);
                // As the next event comes, or a moment after the last.
                told.at = tale.events.get(kept).map_or(tale.at, |next| next.at);
                let answer = why(&told.facts_with(usual.clone()));
                let is_well = matches!(answer.verdict, Verdict::Healthy | Verdict::Waiting);
                assert!(
                    is_well,
                    "run {n} at event {kept}: {} {}: {}",
                    answer.verdict, answer.cause, answer.headline
                );
            }
        }
    }
}
