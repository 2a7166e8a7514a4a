//! The embedded engine behind the front door: one SQLite file, no server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_embedded::{Embedded, Options};
use midwatch_workflow::EngineError;

use crate::builder::sealed::{Inbox, Opened, Opens, Setup};
use crate::builder::{Builder, Kind};
use crate::front::Midwatch;

/// What is particular to the embedded engine.
pub struct InProcess(Options);

/// An embedded engine before it opens.
pub type EmbeddedBuilder = Builder<InProcess>;

impl Midwatch {
    /// Prepares the embedded engine on a journal file, which is made if it is not there.
    pub fn embedded(path: impl Into<PathBuf>) -> EmbeddedBuilder {
        Builder::new(path, InProcess(Options::new("")))
    }
}

impl Builder<InProcess> {
    /// How long a run that only waits stays in memory; 100 ms by default.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.kind.0.linger = limit;
        self
    }
}

impl Kind for InProcess {}

impl Opens for InProcess {
    fn open(self, setup: Setup) -> BoxFuture<'static, Result<Opened, EngineError>> {
        let Setup { journal, registry, worker, drain, queues, gates, budgets } = setup;
        let options = Options { worker, drain, queues, gates, budgets, ..self.0 };
        Box::pin(async move {
            let engine = Arc::new(Embedded::open(journal, registry, options).await?);
            let known = Arc::clone(&engine);
            Ok(Opened { engine, gates: Box::new(move || known.gates()), inbox: Inbox::Heard })
        })
    }
}
