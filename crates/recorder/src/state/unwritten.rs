//! What the journal has not been given yet, and when it is given a summary.

use std::time::Duration;

use midwatch_journal::{Append, RunSummary};
use midwatch_workflow::{Event, Timestamp};

use super::{RunState, Told};
use midwatch_journal::spool::Held;

/// How long a summary of a busy run may trail its journal.
const SUMMARY_LAG: Duration = Duration::from_millis(750);

#[derive(Default)]
pub(super) struct Unwritten {
    /// Items of a JSON array.
    text: String,
    /// What was told, without what is between the items.
    bytes: usize,
    count: u64,
    held: Held,
}

/// An append for the journal, the number of its last event, and what of the spool it frees.
pub(crate) struct Taken {
    pub(crate) append: Append,
    pub(crate) upto: u64,
    pub(crate) held: Held,
    pub(crate) bytes: usize,
}

impl RunState {
    pub(super) fn put(&mut self, first: u64, events: &[Event]) -> Told {
        let mut text = String::with_capacity(256 * events.len());
        for event in events {
            // An event is data throughout: it has a JSON form.
            let json = serde_json::to_string(event).unwrap_or_default();
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&json);
        }
        self.touched = events.last().map_or(self.touched, |event| self.touched.max(event.at));
        self.clock = self.clock.max(self.touched);
        if !self.unwritten.text.is_empty() {
            self.unwritten.text.push(',');
        }
        self.unwritten.text.push_str(&text);
        self.unwritten.bytes += text.len();
        self.unwritten.count += events.len() as u64;
        self.is_owed = true;
        Told { first, text, last: first + events.len() as u64 - 1 }
    }

    /// What the spool holds of the events that are not written yet.
    pub(crate) fn held(&mut self) -> &mut Held {
        &mut self.unwritten.held
    }

    pub(crate) fn is_unwritten(&self) -> bool {
        self.unwritten.count > 0
    }

    /// Whether a summary is due that no event will bring.
    pub(crate) fn is_summary_due(&mut self, now: Timestamp) -> bool {
        self.clock = self.clock.max(now);
        self.is_owed && self.unwritten.count == 0 && self.lags()
    }

    fn lags(&self) -> bool {
        self.clock.since(self.summarized.1) >= SUMMARY_LAG
    }

    /// Hands over what the journal has not been given.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let unwritten = std::mem::take(&mut self.unwritten);
        let first = self.written + 1;
        let summary = self.summary_if_due(first == 1);
        if unwritten.count == 0 && summary.is_none() {
            return None;
        }
        self.written += unwritten.count;
        let body = if unwritten.count == 0 { String::new() } else { format!("[{}]", unwritten.text) };
        let append = Append { run: self.fold.summary.run, first, body, summary };
        Some(Taken { append, upto: self.written, held: unwritten.held, bytes: unwritten.bytes })
    }

    fn summary_if_due(&mut self, is_first: bool) -> Option<Box<RunSummary>> {
        if !self.is_owed {
            return None;
        }
        self.fold.summarize();
        let status = self.fold.summary.status;
        let is_due = is_first || self.is_ended() || status != self.summarized.0 || self.lags();
        is_due.then(|| {
            self.is_owed = false;
            self.summarized = (status, self.clock);
            Box::new(self.fold.summary.clone())
        })
    }
}
