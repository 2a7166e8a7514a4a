//! What came of actions, to be told once on the next page: addresses carry a number and no text.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The last so many are kept.
const NOTES_MAX: usize = 200;

/// What came of actions.
#[derive(Default)]
pub(crate) struct Notes {
    notes: Mutex<(u64, VecDeque<(u64, String)>)>,
}

impl Notes {
    /// Keeps a text, and gives the number that leads to it.
    pub(crate) fn keep(&self, text: String) -> String {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.0 += 1;
        let number = notes.0;
        notes.1.push_back((number, text));
        if notes.1.len() > NOTES_MAX {
            notes.1.pop_front();
        }
        number.to_string()
    }

    /// The text of a number.
    pub(crate) fn read(&self, number: &str) -> Option<String> {
        let number: u64 = number.parse().ok()?;
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.1.iter().find(|(other, _)| *other == number).map(|(_, text)| text.clone())
    }
}
