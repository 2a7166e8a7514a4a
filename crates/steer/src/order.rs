//! What is wanted of a run, and whether it can take it.

use midwatch_journal::{Error, Fold, Journal, RunSummary};
use midwatch_workflow::{Event, Message, RunId};

use crate::Request;

/// What somebody wants of runs.
pub trait Order {
    /// What is done to a run, in the past tense.
    fn done(&self) -> String;

    /// The order as a console takes it, for whoever does not reach the journal itself. Who gives it travels beside it.
    fn request(&self) -> Request<'_>;

    /// Whether it is about what a run does next, and no more: a gateway can see to that, by a run's calls.
    fn is_for_calls(&self) -> bool {
        false
    }

    /// Whether the run can take it, and what to send.
    ///
    /// # Errors
    /// What the journal says.
    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error>;

    /// Whether an event that came later is its effect.
    fn shows(&self, event: &Event, sent: &Sent) -> bool;

    /// Looks for its effect.
    ///
    /// # Errors
    /// What the journal says.
    fn effect(&self, journal: &dyn Journal, sent: &Sent) -> Result<Option<Effect>, Error> {
        let events = journal.events(sent.run, sent.after)?;
        let found = events.iter().position(|event| self.shows(event, sent));
        Ok(found.map(|place| Effect::Event(sent.after + 1 + place as u64)))
    }
}

/// Whether a run can take a message.
pub enum Judgement {
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

impl Judgement {
    /// The refusal of a run that has ended.
    pub fn ended(run: &RunSummary) -> Self {
        let fork = format!("midwatch fork {} --step NAME", run.run.short());
        Self::Refused {
            why: format!("has ended ({})", run.status),
            instead: Some(format!("go another way from one of its steps: {fork}")),
        }
    }

    /// The refusal of a run that others carry out: nobody here can do it.
    pub fn watched(run: &RunSummary) -> Self {
        let recorder = run.worker.strip_prefix(RunSummary::RECORDER).unwrap_or_default().trim();
        Self::Refused {
            why: format!("is only watched (written down by {recorder}): midwatch does not carry it out"),
            instead: Some(format!(
                "stop it, or try again, where it runs; what it did: midwatch show {}",
                run.run.short()
            )),
        }
    }

    /// A refusal that sends people to the run itself.
    pub(crate) fn look(run: &RunSummary, why: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), instead: Some(look(run)) }
    }
}

pub(crate) fn look(run: &RunSummary) -> String {
    format!("see where it stands: midwatch show {}", run.run.short())
}

/// A message on its way.
pub struct Sent {
    /// The run.
    pub run: RunId,
    /// The last event that was there before.
    pub after: u64,
    /// The letter's number.
    pub letter: u64,
}

/// What came of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// This event.
    Event(u64),
    /// This new run.
    Run(RunId),
}

/// The run's events and where they leave it; the summary in the list trails them by up to a second.
///
/// # Errors
/// What the journal says; [`Error::Damaged`] if the events do not begin with the run's start.
pub fn state(run: &RunSummary, journal: &dyn Journal) -> Result<(Vec<Event>, Fold), Error> {
    let events = journal.events(run.run, 0)?;
    let fold = Fold::of(&events)
        .ok_or_else(|| Error::Damaged { what: format!("run {} does not begin with its start", run.run) })?;
    Ok((events, fold))
}
