//! `why` asked about incidents that really happened: each is played on the embedded engine under a virtual clock, with runs
//! before it that show what is usual, and the journal alone is asked.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod expensive;
mod failed;
mod plan;
mod quiet;
mod slow;
mod stuck;
mod world;

use std::fmt::Write as _;
use std::sync::Arc;

use midwatch_inspect::Inspector;
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::{Append, Fold, Journal};
use midwatch_observe::why::{Answer, Cause, Owner};
use midwatch_workflow::{Event, RunId, Timestamp};

/// A journal with these runs alone.
pub(crate) fn copied(runs: &[(RunId, Vec<Event>)]) -> Arc<dyn Journal> {
    let journal = MemoryJournal::new();
    for (run, events) in runs {
        let summary = Fold::of(events).map(|fold| Box::new(fold.summary));
        let append = Append::new(*run, 1, events, summary).unwrap();
        journal.append(append, Box::new(|outcome| assert!(outcome.is_ok())));
    }
    Arc::new(journal)
}

pub(crate) fn ask_at(journal: &dyn Journal, at: Timestamp, owner: Owner, run: RunId) -> Answer {
    Inspector::new(journal, at, owner).why(run).unwrap()
}

#[test]
fn no_answer_about_what_happened_is_wrong_and_nearly_all_are_right() {
    let cases = [slow::all(), stuck::all(), expensive::all(), failed::all(), quiet::all()];
    let (mut total, mut right, mut wrong, mut missed) = (0, 0, 0, String::new());
    for case in cases.iter().flatten() {
        for variant in 1..=3 {
            let answer = (case.play)(variant);
            total += 1;
            match (answer.verdict == case.verdict, answer.cause == case.cause) {
                (true, true) => right += 1,
                _ => {
                    wrong += usize::from(answer.cause != Cause::Unknown);
                    let truth = format!("{}/{} {variant}", case.verdict, case.cause);
                    let said = format!("{}/{}: {}", answer.verdict, answer.cause, answer.headline);
                    writeln!(missed, "{truth}: answered {said}").unwrap();
                }
            }
        }
    }
    println!("{total} incidents: {right} right, {} unknown, {wrong} wrong\n{missed}", total - right - wrong);
    assert!(wrong == 0 && right * 20 >= total * 19, "{right} of {total} right, {wrong} wrong:\n{missed}");
}
