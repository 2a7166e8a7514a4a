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
use midwatch_observe::why::{Answer, Cause, Owner, Verdict};
use midwatch_workflow::{Class, Event, RunId, Timestamp};

use self::plan::{Act, ask, charge, refused, work};
use self::world::{World, seconds, usual_plan, with_first_call};

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

/// All of these happen in one journal, and each of them is among the others' usual runs.
#[test]
fn incidents_in_one_journal_are_told_apart() {
    let world = World::where_usual_times(40, usual_plan);
    let gone_wrong = |job| with_first_call(job);
    let busy = refused(Class::RateLimited, 429).retry_after(seconds(60));
    let plans = [
        (Verdict::Slow, Cause::RetryAfter, gone_wrong(ask(3).after(2, busy))),
        (
            Verdict::Slow,
            Cause::RetryOverloaded,
            gone_wrong(work(1).after(4, refused(Class::Overloaded, 529))),
        ),
        (Verdict::Slow, Cause::TimeoutsBurned, gone_wrong(ask(3).after_hanging(2).within(60))),
        (Verdict::Slow, Cause::SlowAttempt, gone_wrong(ask(200))),
        (Verdict::Slow, Cause::MoreSteps, [usual_plan(0), vec![Act::Do(work(1)); 40]].concat()),
        (
            Verdict::Expensive,
            Cause::FailedAttempts,
            gone_wrong(ask(3).after_paid(3, refused(Class::Server, 500), charge(2_000, 900, 30))),
        ),
        (Verdict::Expensive, Cause::OneHugeCall, gone_wrong(ask(3).costs(charge(90_000, 400, 300)))),
        (
            Verdict::Failed,
            Cause::Authentication,
            gone_wrong(ask(1).never(refused(Class::Authentication, 401))),
        ),
        (Verdict::Healthy, Cause::Completed, usual_plan(2)),
    ];
    let runs: Vec<_> = plans
        .into_iter()
        .map(|(verdict, cause, plan)| {
            let run = world.start(plan);
            drop(run.result());
            (verdict, cause, run.id())
        })
        .collect();
    for (verdict, cause, run) in runs {
        let answer = world.why(run);
        assert_eq!((answer.verdict, answer.cause), (verdict, cause), "{}", answer.headline);
    }
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
