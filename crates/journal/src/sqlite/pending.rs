//! The answer to an append: given exactly once, whatever happens to the append on its way.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Appended, Done, Error};

/// A [`Done`] that is called even if it gets lost on the way.
pub(super) struct Pending(Option<Done>);

impl Pending {
    pub(super) fn new(done: Done) -> Self {
        Self(Some(done))
    }

    pub(super) fn answer(mut self, outcome: Result<Appended, Error>) {
        self.call(outcome);
    }

    fn call(&mut self, outcome: Result<Appended, Error>) {
        if let Some(done) = self.0.take() {
            let outer = IS_ANSWERING.replace(true);
            // A panic in there is not the writer's: the other runs of the batch must still hear.
            let _ = catch_unwind(AssertUnwindSafe(|| done(outcome)));
            IS_ANSWERING.set(outer);
        }
    }
}

/// Whether this thread is inside of an answer.
pub(super) fn is_answering() -> bool {
    IS_ANSWERING.get()
}

thread_local! {
    /// Whether this thread is inside of an answer. What an answer appends is not written there and then: its answer would
    /// append from deeper down the stack, and so on to the end of it.
    static IS_ANSWERING: Cell<bool> = const { Cell::new(false) };
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.call(Err(Error::Closed));
    }
}
