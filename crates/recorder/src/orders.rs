//! Orders of people to recorded runs: letters in the journal's inbox become events, and the run's word on further calls.

use std::sync::OnceLock;

use midwatch_journal::Fold;
use midwatch_workflow::{Amount, EventKind, Message};
use tokio::sync::Notify;

/// Whether a run takes calls, as people want it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It does.
    Open,
    /// Somebody holds it: who, and why.
    Paused(String),
    /// Somebody has stopped it for good: who, and why.
    Cancelled(String),
}

/// Tells calls under way that somebody has stopped their run for good.
#[derive(Default)]
pub(crate) struct Stop {
    /// Who has, and why; set once.
    word: OnceLock<String>,
    rings: Notify,
}

impl Stop {
    /// Tells them, if that is how the run stands.
    pub(crate) fn tell(&self, standing: Standing) {
        if let Standing::Cancelled(word) = standing
            && self.word.set(word).is_ok()
        {
            self.rings.notify_waiters();
        }
    }

    pub(crate) fn word(&self) -> Option<&str> {
        self.word.get().map(String::as_str)
    }

    /// Waits until they are told.
    pub(crate) async fn told(&self) -> &str {
        loop {
            // Before the look, so that no word between the two goes unheard.
            let rings = self.rings.notified();
            if let Some(word) = self.word() {
                return word;
            }
            rings.await;
        }
    }
}

/// What was ordered so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    /// Who holds or stops the run, and why.
    word: String,
    /// By how much its budget was raised.
    pub(crate) raised: Amount,
}

impl Orders {
    /// Takes in what happened.
    pub(crate) fn learn(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Paused { reason, by } => self.word = said("paused", by, reason),
            EventKind::CancelRequested { reason, by, .. } => self.word = said("cancelled", by, reason),
            EventKind::BudgetRaised { usd, tokens, .. } => {
                self.raised = self.raised.plus(Amount { usd: *usd, tokens: *tokens });
            }
            _ => {}
        }
    }

    pub(crate) fn standing(&self, fold: &Fold) -> Standing {
        if fold.is_cancelled {
            Standing::Cancelled(self.word.clone())
        } else if fold.is_paused {
            Standing::Paused(self.word.clone())
        } else {
            Standing::Open
        }
    }
}

/// What a letter does to a run that others carry out.
///
/// # Errors
/// Why it cannot take it.
pub(crate) fn answer(fold: &mut Fold, message: Message) -> Result<Vec<EventKind>, String> {
    match message {
        Message::Cancel { .. }
        | Message::Pause { .. }
        | Message::Resume { .. }
        | Message::RaiseBudget { .. } => fold.respond(message),
        _ => {
            Err("others carry it out: it can be cancelled, paused, resumed, and its budget raised".to_owned())
        }
    }
}

fn said(what: &str, by: &str, reason: &str) -> String {
    match reason {
        "" => format!("{what} by {by}"),
        reason => format!("{what} by {by}: {reason}"),
    }
}
