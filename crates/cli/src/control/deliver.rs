//! Leaving messages in the journal's inbox, and watching the journal for what comes of them.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use midwatch_journal::{Journal, Lease, RunSummary};
use midwatch_workflow::{Event, Message, RunId};
use serde_json::{Value, json};

use crate::config::{Global, clock, duration};
use crate::error::{Error, Exit};
use crate::output::text::clean;
use crate::output::{Out, look};

/// How a message is sent.
#[derive(Args)]
pub(crate) struct Sending {
    /// Who is named in the journal; the user of the operating system if nobody else
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// How long to wait for the message to take effect; 0s for not at all
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    timeout: Duration,
}

impl Sending {
    /// Who sends.
    pub(crate) fn by(&self) -> String {
        let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
        self.by.clone().or_else(|| names.into_iter().find(|name| !name.is_empty())).unwrap_or_else(user)
    }
}

#[cfg(unix)]
fn user() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn user() -> String {
    "somebody".to_owned()
}

/// What a command wants of runs.
pub(crate) trait Order {
    /// What is done to a run, in the past tense.
    fn done(&self) -> String;

    /// Whether the run can take it, and what to send.
    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement>;

    /// Whether an event that came later is its effect.
    fn shows(&self, event: &Event, sent: &Sent) -> bool;

    /// Looks for its effect.
    fn effect(&self, journal: &dyn Journal, sent: &Sent) -> anyhow::Result<Option<Effect>> {
        let events = journal.events(sent.run, sent.after)?;
        let found = events.iter().position(|event| self.shows(event, sent));
        Ok(found.map(|place| Effect::Event(sent.after + 1 + place as u64)))
    }
}

/// Whether a run can take a message.
pub(crate) enum Judgement {
    /// It can.
    Send(Message),
    /// It is so already.
    Already(String),
    /// It cannot.
    Refused {
        /// Why.
        why: String,
        /// What to do instead.
        instead: Option<String>,
    },
}

/// A message on its way.
pub(crate) struct Sent {
    /// The run.
    pub(crate) run: RunId,
    /// The last event that was there before.
    pub(crate) after: u64,
    /// The letter's number.
    pub(crate) letter: u64,
}

/// What came of a message.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    /// This event.
    Event(u64),
    /// This new run.
    Run(RunId),
}

/// How it ended for one run.
enum Outcome {
    Done(Effect),
    Already(String),
    Queued { letter: u64, why: String },
    Refused { why: String, instead: Option<String> },
}

/// How often the journal is looked at.
const POLL: Duration = Duration::from_millis(50);
/// The most letters that are looked through for ours.
const LETTERS_MAX: usize = 10_000;

/// Sends an order to runs and tells what came of it, a line each.
pub(crate) fn deliver(
    order: &dyn Order,
    runs: &[RunSummary],
    sending: &Sending,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let journal = global.journal()?;
    let mut exit = Exit::Done;
    let mut waiting: Vec<(&RunSummary, Sent)> = Vec::new();
    for run in runs {
        let outcome = match order.judge(run, &journal)? {
            Judgement::Send(message) => {
                let after = run.events + journal.events(run.run, run.events)?.len() as u64;
                let letter = journal.post(run.run, &message, clock())?;
                waiting.push((run, Sent { run: run.run, after, letter }));
                continue;
            }
            Judgement::Already(what) => Outcome::Already(what),
            Judgement::Refused { why, instead } => Outcome::Refused { why, instead },
        };
        exit = exit.max(tell(order, run, &outcome, global, out)?);
    }
    let owner = Lease::owner(&global.db);
    let end = Instant::now() + if owner.is_some() { sending.timeout } else { Duration::ZERO };
    loop {
        // What is still in the inbox is read first: what was taken in since shows its effect below.
        let inbox = Inbox::read(&journal)?;
        let mut left = Vec::new();
        for (run, sent) in waiting {
            let outcome = match order.effect(&journal, &sent)? {
                Some(effect) => Outcome::Done(effect),
                None if !inbox.may_hold(sent.letter) => Outcome::Refused {
                    why: "took the message in, and it changed nothing".to_owned(),
                    instead: Some(format!("see where it stands: midwatch show {}", run.run.short())),
                },
                None if Instant::now() >= end => Outcome::Queued {
                    letter: sent.letter,
                    why: why_queued(owner.as_deref(), sending, global),
                },
                None => {
                    left.push((run, sent));
                    continue;
                }
            };
            exit = exit.max(tell(order, run, &outcome, global, out)?);
        }
        if left.is_empty() {
            return Ok(exit);
        }
        waiting = left;
        sleep(POLL);
    }
}

/// The letters that nobody has taken in yet.
struct Inbox {
    letters: BTreeSet<u64>,
    /// Letters beyond this one were not looked at.
    upto: u64,
}

impl Inbox {
    fn read(journal: &dyn Journal) -> anyhow::Result<Self> {
        let letters: BTreeSet<u64> =
            journal.letters(&[], LETTERS_MAX)?.iter().map(|letter| letter.id).collect();
        let upto = if letters.len() < LETTERS_MAX { u64::MAX } else { letters.last().copied().unwrap_or(0) };
        Ok(Self { letters, upto })
    }

    fn may_hold(&self, letter: u64) -> bool {
        letter > self.upto || self.letters.contains(&letter)
    }
}

fn why_queued(owner: Option<&str>, sending: &Sending, global: &Global) -> String {
    let db = global.db.display();
    match owner {
        None => format!("no process owns {db} now; it will be taken in at the next start"),
        Some(owner) if sending.timeout.is_zero() => format!("{owner} owns {db} and will take it in"),
        Some(owner) => {
            let time = humantime::format_duration(sending.timeout);
            format!("{owner} owns {db} and has not taken it in within {time}")
        }
    }
}

/// Tells how it ended for a run.
fn tell(
    order: &dyn Order,
    run: &RunSummary,
    outcome: &Outcome,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let exit = if matches!(outcome, Outcome::Refused { .. }) { Exit::Refused } else { Exit::Done };
    if out.is_json {
        out.json(&data(run, outcome))?;
        return Ok(exit);
    }
    let (style, what) = match outcome {
        Outcome::Done(Effect::Event(number)) => (look::GOOD, format!("{} (event {number})", order.done())),
        Outcome::Done(Effect::Run(id)) => (look::GOOD, format!("{} as {} ({id})", order.done(), id.short())),
        Outcome::Already(what) => (look::FAINT, what.clone()),
        Outcome::Queued { letter, why } => (look::WARN, format!("queued as letter {letter}: {why}")),
        Outcome::Refused { why, instead } => {
            let error = Error::Refused { run: run.run, why: why.clone(), instead: instead.clone() };
            crate::output::report(&error.to_string(), &error.hints(), exit, global);
            return Ok(exit);
        }
    };
    let id = clean(run.workflow_id.as_str());
    let what = clean(&what);
    out.line(format_args!("{} {id}  {style}{what}{style:#}", run.run.short()))?;
    Ok(exit)
}

fn data(run: &RunSummary, outcome: &Outcome) -> Value {
    let (word, more) = match outcome {
        Outcome::Done(Effect::Event(number)) => ("done", json!({ "event": number })),
        Outcome::Done(Effect::Run(id)) => ("done", json!({ "new_run": id })),
        Outcome::Already(what) => ("already", json!({ "why": what })),
        Outcome::Queued { letter, why } => ("queued", json!({ "letter": letter, "why": why })),
        Outcome::Refused { why, instead } => {
            ("refused", json!({ "code": "MW0104", "why": why, "instead": instead }))
        }
    };
    let mut data = json!({ "run": run.run, "workflow_id": run.workflow_id, "outcome": word });
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    data
}
