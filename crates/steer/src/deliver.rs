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
                None if !inbox.may_hold(sent.letter) => tell(run, &without_effect(run))?,
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

fn without_effect(run: &RunSummary) -> Outcome {
    Outcome::Refused {
        why: "took the message in, and it changed nothing".to_owned(),
        instead: Some(order::look(run)),
    }
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
