//! What an engine needs to take part: a way to open it on something that survives a crash, and the journal that it writes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use midwatch_journal::Journal;
use midwatch_workflow::Engine;

use crate::Code;

/// An engine under test, on an image that outlives crashes.
pub trait Harness: Send {
    /// Opens the engine with this code on the image, where an earlier one may have left runs.
    fn open(&mut self, code: Code) -> BoxFuture<'_, Result<(), Trouble>>;

    /// Ends the engine as `kill -9` would; the image stays.
    fn crash(&mut self) -> BoxFuture<'_, ()>;

    /// Whether the engine has crashed by itself since it was opened, because the exercise is done with a planned crash.
    fn has_crashed(&self) -> bool {
        false
    }

    /// The open engine.
    fn engine(&self) -> Arc<dyn Engine>;

    /// The journal that it writes or mirrors to; readable whether it is open or not.
    fn journal(&self) -> Arc<dyn Journal>;
}

/// Why an exercise was not done as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble(pub String);

impl Trouble {
    /// Says what is wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}
