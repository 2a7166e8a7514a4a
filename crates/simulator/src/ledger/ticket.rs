//! The entry of a request that is under way.

use std::time::Duration;

use crate::sync::locked;

use super::{Entry, Ledger, Tokens};

/// Holds a request's entry while it is worked on. Dropping it books it, so every request is booked exactly once.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// What is known so far.
    pub(crate) entry: Box<Entry>,
    ledger: Ledger,
}

impl Ticket {
    pub(super) fn open(ledger: Ledger, mut entry: Entry) -> Self {
        entry.at_us = micros(ledger.now());
        {
            let mut state = locked(&ledger.shared.state);
            state.summary.count_arrival();
            entry.number = state.summary.requests;
        }
        Ticket { entry: Box::new(entry), ledger }
    }

    /// Puts tokens on the invoice; `reported` is what of them the client is told.
    pub(crate) fn bill(&mut self, billed: Tokens, reported: Tokens) {
        self.entry.billed = billed;
        self.entry.reported = reported;
        self.entry.usage_reported = billed == reported;
    }

    /// Notes that the client is gone: it was told nothing more than `reported`.
    pub(crate) fn client_gone(&mut self, reported: Tokens) {
        self.entry.client_gone = true;
        self.bill(self.entry.billed, reported);
    }

    /// Books the entry.
    pub(crate) fn close(self) {
        drop(self);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let blank = Entry::new(self.entry.endpoint, Default::default());
        let mut entry = std::mem::replace(&mut *self.entry, blank);
        entry.took_us = micros(self.ledger.now()).saturating_sub(entry.at_us);
        locked(&self.ledger.shared.state).close(entry);
        self.ledger.shared.closed.notify_waiters();
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
