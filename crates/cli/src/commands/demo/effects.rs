//! The effects: what the journal says of each run beside what was really done in the world.
//!
//! A pure function. The rule: a completed run has each of its effects once and none undone; of any other run nothing is
//! left standing.

use std::collections::{BTreeMap, HashMap};

use midwatch_journal::{RunSummary, Status};
use midwatch_simulator::Effect;
use midwatch_workflow::RunId;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Findings {
    /// Effects that were done and are not undone.
    pub(super) standing: u64,
    /// Effects that were undone.
    pub(super) undone: u64,
    /// Effects that still stand, of runs that did not complete.
    pub(super) left: u64,
    /// Where journal and world do not fit together, for people.
    pub(super) disagreements: Vec<String>,
}

/// What a completed run leaves behind.
struct Leaves {
    /// Each exactly once.
    always: &'static [&'static str],
    /// At most once.
    perhaps: &'static [&'static str],
}

fn leaves(workflow: &str) -> Leaves {
    match workflow {
        "checkout" => Leaves { always: &["charge", "print_label", "reserve_stock"], perhaps: &[] },
        "booking" => Leaves { always: &["book_car", "book_flight", "book_hotel", "charge"], perhaps: &[] },
        // An article that its editor turned down is not published.
        "research" => Leaves { always: &[], perhaps: &["publish"] },
        _ => Leaves { always: &[], perhaps: &[] },
    }
}

/// Compares every run with its effects.
pub(super) fn check(runs: &[RunSummary], effects: &[Effect]) -> Findings {
    let mut findings = Findings::default();
    let mut of_runs: HashMap<RunId, Vec<&Effect>> = HashMap::new();
    for effect in effects {
        match run_of(effect) {
            Some(run) => of_runs.entry(run).or_default().push(effect),
            None => findings.disagreements.push(format!("{} was done for no run", effect.id)),
        }
    }
    for run in runs {
        findings.check_run(run, &of_runs.remove(&run.run).unwrap_or_default());
    }
    for effect in of_runs.into_values().flatten() {
        findings
            .disagreements
            .push(format!("{} {} was done for a run that is not there", effect.kind, effect.id));
    }
    findings.disagreements.sort();
    findings
}

/// The run in an effect's idempotency key, `{workflow_id}:{run}:{step}`; no workflow id of the demo has a colon.
fn run_of(effect: &Effect) -> Option<RunId> {
    effect.key.as_deref()?.split(':').nth(1)?.parse().ok()
}

impl Findings {
    fn check_run(&mut self, run: &RunSummary, effects: &[&Effect]) {
        let done = effects.iter().filter(|effect| !effect.undoing);
        let (undone, standing): (Vec<&&Effect>, Vec<&&Effect>) =
            done.partition(|effect| effect.undone_by.is_some());
        self.undone += undone.len() as u64;
        self.standing += standing.len() as u64;
        let mut wrong = |what: String| {
            self.disagreements.push(format!(
                "{} {} is {}: {what}",
                run.workflow,
                run.run.short(),
                run.status
            ));
        };
        if run.status != Status::Completed {
            standing.iter().for_each(|effect| wrong(format!("{} {} still stands", effect.kind, effect.id)));
            self.left += standing.len() as u64;
            return;
        }
        undone.iter().for_each(|effect| wrong(format!("{} {} was undone", effect.kind, effect.id)));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        standing.iter().for_each(|effect| *counts.entry(&effect.kind).or_default() += 1);
        let leaves = leaves(&run.workflow);
        for kind in leaves.always {
            match counts.remove(kind) {
                Some(1) => {}
                count => wrong(format!("{kind} was done {} times", count.unwrap_or(0))),
            }
        }
        for (kind, count) in counts {
            if count > 1 || !leaves.perhaps.contains(&kind) {
                wrong(format!("{kind} was done {count} times"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midwatch_workflow::Timestamp;
    use midwatch_workflow::event::RunStarted;

    fn run(status: Status) -> RunSummary {
        let run = RunId::from_bytes([7; 16]);
        let start = RunStarted::bare(run, "checkout");
        let fold = midwatch_journal::Fold::begin(&start, Timestamp::from_micros(0));
        RunSummary { status, ..fold.summary }
    }

    fn effect(kind: &str, undone_by: Option<&str>) -> Effect {
        Effect {
            id: format!("fx_{kind}"),
            kind: kind.to_owned(),
            key: Some(format!("order-1:{}:{kind}", RunId::from_bytes([7; 16]))),
            reference: None,
            run: None,
            undoing: false,
            undoes: None,
            undone_by: undone_by.map(str::to_owned),
            amount: None,
            amount_undone: 0,
            currency: None,
            at_us: 0,
            data: serde_json::Value::Null,
        }
    }

    fn wrong(status: Status, effects: &[Effect]) -> usize {
        check(&[run(status)], effects).disagreements.len()
    }

    #[test]
    fn a_completed_run_has_each_effect_once_and_none_undone() {
        let all = ["charge", "reserve_stock", "print_label"].map(|kind| effect(kind, None));
        assert_eq!(wrong(Status::Completed, &all), 0);
        assert_eq!(wrong(Status::Completed, &all[..2]), 1);
        let twice = [all.as_slice(), &all[..1]].concat();
        assert_eq!(wrong(Status::Completed, &twice), 1);
        let undone = [effect("charge", Some("re_1")), all[1].clone(), all[2].clone()];
        assert_eq!(wrong(Status::Completed, &undone), 2);
    }

    #[test]
    fn of_any_other_run_nothing_is_left_standing() {
        assert_eq!(wrong(Status::Compensated, &[effect("charge", Some("re_1"))]), 0);
        assert_eq!(wrong(Status::Compensated, &[effect("charge", None)]), 1);
        assert_eq!(wrong(Status::Failed, &[]), 0);
    }

    #[test]
    fn an_effect_without_a_run_is_a_disagreement() {
        assert_eq!(check(&[], &[effect("charge", None)]).disagreements.len(), 1);
        assert_eq!(check(&[], &[Effect { key: None, ..effect("charge", None) }]).disagreements.len(), 1);
    }
}
