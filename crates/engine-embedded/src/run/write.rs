//! Making what is recorded durable, and keeping the summary of lists up to date.

use std::time::Duration;

use midwatch_journal::{Append, Appended, Error, Fold, RunSummary};
use midwatch_workflow::{Event, ParkReason, RunId, Started};
use tokio::time::Instant;

use super::{Driver, Input, Stop};

/// How long a summary of a busy run may trail its journal.
pub(super) const SUMMARY_LAG: Duration = Duration::from_secs(1);

/// When the summary was last written, and what of it decides about writing it again.
pub(super) struct SummaryState {
    pub(super) key: Option<SummaryKey>,
    pub(super) at: Instant,
    pub(super) is_behind: bool,
}

#[derive(PartialEq, Eq)]
pub(super) struct SummaryKey {
    is_ended: bool,
    is_paused: bool,
    is_compensating: bool,
    halted: Option<ParkReason>,
    /// Recovery goes by what the summary of an idle run says, so that is always exact.
    is_idle: bool,
}

impl Driver {
    /// Appends in one piece, or in several if one would be too large: every prefix of a run's events is a state of it.
    pub(super) async fn append(&mut self) -> Result<(), Stop> {
        let mut first = self.fold.summary.events + 1 - self.events.len() as u64;
        let mut rest = self.events.len();
        while rest > 0 {
            let events = &self.events[self.events.len() - rest..];
            let (append, count) = match Append::new(self.run, first, events, None) {
                Err(Error::TooLarge { .. }) => largest_prefix(self.run, first, events),
                append => append.map(|append| (append, rest)),
            }
            .map_err(Stop::Failed)?;
            let summary = match count == rest {
                true => self.summary_if_due(),
                // A start needs a summary, of no more than what is written with it.
                false if first == 1 => Fold::of(&events[..count]).map(|fold| Box::new(fold.summary)),
                false => None,
            };
            self.write(Append { summary, ..append }).await?;
            first += count as u64;
            rest -= count;
        }
        self.events.clear();
        Ok(())
    }

    pub(super) async fn write(&mut self, append: Append) -> Result<(), Stop> {
        let sender = self.sender.clone();
        self.engine
            .journal
            .append(append, Box::new(move |result| drop(sender.send(Input::Committed(result)))));
        loop {
            match self.inputs.recv().await {
                Some(Input::Committed(Ok(Appended::Written))) => return Ok(()),
                Some(Input::Committed(Ok(Appended::Duplicate(run)))) => {
                    if let Some(started) = self.started.take() {
                        let _ = started.send(Ok(Started { run, is_new: false }));
                    }
                    return Err(Stop::Duplicate);
                }
                Some(Input::Committed(Err(error))) => return Err(Stop::Failed(error)),
                Some(input) => self.backlog.push_back(input),
                None => return Err(Stop::Quit),
            }
        }
    }

    pub(super) fn summary_if_due(&mut self) -> Option<Box<RunSummary>> {
        let key = self.summary_key();
        let is_due = key.is_idle
            || key.is_ended
            || self.summary.key.as_ref() != Some(&key)
            || self.summary.at.elapsed() >= SUMMARY_LAG;
        self.summary.is_behind = !is_due;
        if !is_due {
            return None;
        }
        self.summary.key = Some(key);
        self.summary.at = Instant::now();
        self.fold.summarize();
        Some(Box::new(self.fold.summary.clone()))
    }

    pub(super) fn summary_key(&self) -> SummaryKey {
        SummaryKey {
            is_ended: self.fold.summary.ended_at.is_some(),
            is_paused: self.fold.is_paused,
            is_compensating: self.fold.is_compensating,
            halted: self.fold.halted,
            is_idle: self.fold.is_idle(),
        }
    }

    /// Writes the summary alone, when a busy run has said nothing else for a while.
    pub(super) fn flush_summary(&mut self) {
        self.fold.summarize();
        self.summary.is_behind = false;
        self.summary.at = Instant::now();
        let summary = Some(Box::new(self.fold.summary.clone()));
        let append =
            Append { run: self.run, first: self.fold.summary.events + 1, body: String::new(), summary };
        // A summary that cannot be written is no loss: it is recomputed from the journal.
        self.engine.journal.append(append, Box::new(drop));
    }
}

/// Halves a list of events until it fits into one append.
fn largest_prefix(run: RunId, first: u64, events: &[Event]) -> Result<(Append, usize), Error> {
    let mut count = events.len();
    loop {
        count = count.div_ceil(2);
        match Append::new(run, first, &events[..count], None) {
            Err(Error::TooLarge { .. }) if count > 1 => {}
            append => return append.map(|append| (append, count)),
        }
    }
}
