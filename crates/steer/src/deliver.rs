//! Leaving letters in the journal's inbox, and watching the journal for what comes of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use midwatch_journal::{Error, Journal, Lease, RunSummary};
use midwatch_workflow::Timestamp;

use crate::{Judgement, Order, Outcome, Sent, order};

/// Where letters are left, and how long their effect is waited for.
pub struct Desk<'j> {
    /// The journal.
    pub journal: &'j dyn Journal,
    /// Its file: who owns it takes letters in.
    pub path: &'j Path,
    /// How long the effect is waited for; zero for not at all.
    pub patience: Duration,
    /// Tells the time at which a letter is left.
    pub clock: &'j dyn Fn() -> Timestamp,
}

/// How often the journal is looked at.
const POLL: Duration = Duration::from_millis(50);
/// The most letters that are looked through for ours.
const LETTERS_MAX: usize = 10_000;

/// Sends an order to runs and tells what came of it, each run once, as soon as it is known. Blocks.
///
/// # Errors
/// What the journal says, or what `tell` gives.
pub fn deliver<E: From<Error>>(
    order: &dyn Order,
    runs: &[RunSummary],
    desk: &Desk<'_>,
    mut tell: impl FnMut(&RunSummary, &Outcome) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting: Vec<(&RunSummary, Sent)> = Vec::new();
    for run in runs {
        let is_out_of_reach = run.is_recorded() && !(run.is_of_gateway() && order.is_for_calls());
        let judgement =
            if is_out_of_reach { Judgement::watched(run) } else { order.judge(run, desk.journal)? };
        match judgement {
            Judgement::Send(message) => {
                let after = run.events + desk.journal.events(run.run, run.events)?.len() as u64;
                let letter = desk.journal.post(run.run, &message, (desk.clock)())?;
                waiting.push((run, Sent { run: run.run, after, letter }));
            }
            Judgement::Already(what) => tell(run, &Outcome::Already(what))?,
            Judgement::Refused { why, instead } => tell(run, &Outcome::Refused { why, instead })?,
        }
    }
    let owner = Lease::owner(desk.path);
    let end = Instant::now() + if owner.is_some() { desk.patience } else { Duration::ZERO };
    loop {
        // What is still in the inbox is read first: what was taken in since shows its effect below.
        let inbox = Inbox::read(desk.journal)?;
        let is_over = Instant::now() >= end;
        let mut left = Vec::new();
        for (run, sent) in waiting {
            match order.effect(desk.journal, &sent)? {
                Some(effect) => tell(run, &Outcome::Done(effect))?,
                None if !inbox.may_hold(sent.letter) => tell(run, &without_effect(run, desk.journal)?)?,
                None if is_over => {
                    let why = why_queued(owner.as_deref(), desk);
                    tell(run, &Outcome::Queued { letter: sent.letter, why })?;
                }
                None => left.push((run, sent)),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        waiting = left;
        sleep(POLL);
    }
}

/// The letter was taken in, and no event is its effect: the run may have ended before, and the journal hear of it only now.
fn without_effect(run: &RunSummary, journal: &dyn Journal) -> Result<Outcome, Error> {
    let ended = journal.run(run.run)?.filter(|run| run.status.is_ended());
    let why = match ended {
        Some(RunSummary { status, message: Some(message), .. }) => format!("has ended ({status}): {message}"),
        Some(RunSummary { status, .. }) => format!("has ended ({status})"),
        None => "took the message in, and it changed nothing".to_owned(),
    };
    Ok(Outcome::Refused { why, instead: Some(order::look(run)) })
}

/// The letters that nobody has taken in yet.
struct Inbox {
    letters: BTreeSet<u64>,
    /// Letters beyond this one were not looked at.
    upto: u64,
}

impl Inbox {
    fn read(journal: &dyn Journal) -> Result<Self, Error> {
        let letters: BTreeSet<u64> =
            journal.letters(&[], LETTERS_MAX)?.iter().map(|letter| letter.id).collect();
        let upto = if letters.len() < LETTERS_MAX { u64::MAX } else { letters.last().copied().unwrap_or(0) };
        Ok(Self { letters, upto })
    }

    fn may_hold(&self, letter: u64) -> bool {
        letter > self.upto || self.letters.contains(&letter)
    }
}

fn why_queued(owner: Option<&str>, desk: &Desk<'_>) -> String {
    let db = desk.path.display();
    match owner {
        None => format!("no process owns {db} now; it will be taken in at the next start"),
        Some(owner) if desk.patience.is_zero() => format!("{owner} owns {db} and will take it in"),
        Some(owner) => {
            let time = humantime::format_duration(desk.patience);
            format!("{owner} owns {db} and has not taken it in within {time}")
        }
    }
}

#[cfg(test)]
mod tests {
    use midwatch_journal::memory::MemoryJournal;
    use midwatch_journal::{Append, Appended, Done, Fold, Letter, Row, RunQuery};
    use midwatch_workflow::{Class, Event, EventKind, Failure, Message, RunId, RunResult, RunStarted};

    use super::*;
    use crate::Cancel;

    fn id() -> RunId {
        RunId::from_bytes([7; 16])
    }

    /// A journal whose engine is told by every letter that the server has ended the run.
    struct Ending(MemoryJournal);

    impl Ending {
        fn write(&self, first: u64, fold: &mut Fold, event: Event) {
            if first > 1 {
                fold.apply(&event);
            }
            let append = Append::new(id(), first, &[event], Some(Box::new(fold.summary.clone()))).unwrap();
            self.0.append(append, Box::new(|written| assert!(matches!(written, Ok(Appended::Written)))));
        }
    }

    impl Journal for Ending {
        fn append(&self, append: Append, done: Done) {
            self.0.append(append, done);
        }

        fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
            self.0.events(run, after)
        }

        fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
            self.0.run(run)
        }

        fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
            self.0.runs(query)
        }

        fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
            self.0.since(after, limit)
        }

        fn post(&self, run: RunId, _: &Message, at: Timestamp) -> Result<u64, Error> {
            let mut fold = Fold::of(&self.events(run, 0)?).expect("a run");
            let failure = Failure::new(Class::Cancelled, "killed at the Restate server").by_server();
            let result = RunResult::Failed { failure, compensated: 0, resolved: 0 };
            self.write(2, &mut fold, Event { at, kind: EventKind::RunEnded { result } });
            Ok(1)
        }

        fn letters(&self, _: &[u64], _: usize) -> Result<Vec<Letter>, Error> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_cancellation_that_comes_after_the_server_ended_the_run_is_told_so() {
        let journal = Ending(MemoryJournal::new());
        let (start, at) = (RunStarted::bare(id(), "trip"), Timestamp::from_micros(5));
        let mut fold = Fold::begin(&start, at);
        journal.write(1, &mut fold, Event { at, kind: EventKind::RunStarted(Box::new(start)) });
        let run = journal.run(id()).unwrap().expect("a run");
        let clock = || Timestamp::from_micros(9);
        let desk =
            Desk { journal: &journal, path: Path::new("/nowhere"), patience: Duration::ZERO, clock: &clock };
        let order = Cancel { reason: String::new(), by: "ann".to_owned() };
        let mut told = Vec::new();
        let heard = deliver(&order, &[run], &desk, |_, outcome| {
            told.push(outcome.clone());
            Ok::<(), Error>(())
        });
        assert!(heard.is_ok());
        let [Outcome::Refused { why, .. }] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(why, "has ended (cancelled): killed at the Restate server");
    }
}
