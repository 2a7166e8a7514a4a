//! `midwatch fork`.

use clap::Args;
use midwatch_journal::{Journal, RunSummary};
use midwatch_workflow::{Event, EventKind, ForkKeys, Message, RunId, effective};

use crate::config::{Global, clock};
use crate::control::{Effect, Judgement, Order, Sending, Sent, deliver, state};
use crate::error::Exit;
use crate::find::find;
use crate::output::Out;

/// Start a new run that shares a run's past up to a point, and goes on from there
#[derive(Args)]
#[command(after_help = concat!("\
The new run repeats the rest with the old run's idempotency keys: a receiver that honours them does nothing twice. With \
--new-keys it does everything anew, charges included.

Examples:
  midwatch fork order-42 --step print_label
  midwatch fork paper-9 --step 'call_llm#3' --new-keys       from the third use of that step
  midwatch fork order-42 --event 12

", super::outcome_help!()))]
pub(crate) struct Fork {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    at: At,
    /// Gives the new run idempotency keys of its own
    #[arg(long)]
    new_keys: bool,
    #[command(flatten)]
    sending: Sending,
}

/// Where.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct At {
    /// Before the first attempt at this step; NAME#2 for its second use
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// After this event
    #[arg(long, value_name = "N")]
    event: Option<u64>,
}

impl Fork {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let run = find(&global.journal()?, &self.run, &global.db.display().to_string())?;
        let new = RunId::new(clock(), std::array::from_fn(|_| fastrand::u8(..)));
        deliver(&Forking { fork: &self, new }, &[run], &self.sending, global, out)
    }
}

struct Forking<'f> {
    fork: &'f Fork,
    new: RunId,
}

impl Order for Forking<'_> {
    fn done(&self) -> String {
        "forked".to_owned()
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement> {
        let (events, _) = state(run, journal)?;
        let events = effective(&events);
        let event = match place(&self.fork.at, &events, &run.run.short()) {
            Ok(event) => event,
            Err((why, instead)) => return Ok(Judgement::Refused { why, instead: Some(instead) }),
        };
        if has_open_child(&events, event) {
            return Ok(Judgement::Refused {
                why: format!("waits for a child run at event {event}"),
                instead: Some("fork it before the child started or after it ended".to_owned()),
            });
        }
        let keys = if self.fork.new_keys { ForkKeys::Own } else { ForkKeys::Parent };
        Ok(Judgement::Send(Message::Fork { run: self.new, event, keys, by: self.fork.sending.by() }))
    }

    fn shows(&self, _: &Event, _: &Sent) -> bool {
        false
    }

    fn effect(&self, journal: &dyn Journal, _: &Sent) -> anyhow::Result<Option<Effect>> {
        Ok(journal.run(self.new)?.map(|found| Effect::Run(found.run)))
    }
}

/// The last event that the fork keeps; otherwise why there is none, and what there is instead.
fn place(at: &At, events: &[(u64, &Event)], run: &str) -> Result<u64, (String, String)> {
    if let Some(wanted) = at.event {
        let last = events.last().map_or(0, |(number, _)| *number);
        let is_there = events.iter().any(|(number, _)| *number == wanted);
        return is_there.then_some(wanted).ok_or_else(|| {
            (
                format!("has no event {wanted} that counts"),
                format!("name one from 1 to {last}: midwatch show {run} --events"),
            )
        });
    }
    let wanted = at.step.clone().unwrap_or_default();
    let (name, nth) = match wanted.rsplit_once('#').map(|(name, nth)| (name, nth.parse())) {
        Some((name, Ok(nth))) => (name, nth),
        _ => (wanted.as_str(), 1),
    };
    let mut steps = Vec::new();
    for (number, event) in events {
        let EventKind::AttemptScheduled(attempt) = &event.kind else { continue };
        if attempt.attempt != 1 {
            continue;
        }
        if attempt.step == name && attempt.nth == nth {
            return Ok(number - 1);
        }
        let title = if attempt.nth > 1 {
            format!("{}#{}", attempt.step, attempt.nth)
        } else {
            attempt.step.to_string()
        };
        steps.push(title);
    }
    steps.truncate(20);
    Err((format!("has no step {wanted}"), format!("name one of: {}", steps.join(", "))))
}

fn has_open_child(events: &[(u64, &Event)], upto: u64) -> bool {
    let kept = || events.iter().take_while(|(number, _)| *number <= upto).map(|(_, event)| &event.kind);
    let ended = |op| kept().any(|kind| matches!(kind, EventKind::ChildEnded { op: id, .. } if *id == op));
    kept().any(|kind| matches!(kind, EventKind::ChildStarted { op, .. } if !ended(*op)))
}
