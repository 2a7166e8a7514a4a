//! What the ledger's lock protects.

use std::collections::VecDeque;

use super::effect::Effects;
use super::{Entry, Summary};

#[derive(Debug)]
pub(crate) struct State {
    /// In order of closing, newest last.
    pub(crate) entries: VecDeque<Entry>,
    entries_max: usize,
    pub(crate) summary: Summary,
    pub(crate) effects: Effects,
}

impl State {
    pub(crate) fn new(entries_max: usize) -> Self {
        State {
            entries: VecDeque::new(),
            entries_max,
            summary: Summary::default(),
            effects: Effects::default(),
        }
    }

    pub(crate) fn close(&mut self, entry: Entry) {
        self.summary.count_closed(&entry);
        if self.entries.len() >= self.entries_max {
            self.entries.pop_front();
            self.summary.entries_dropped += 1;
        }
        self.entries.push_back(entry);
    }
}
