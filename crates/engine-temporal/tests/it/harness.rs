//! Temporal's part in the conformance suite: a worker on a real server, and a journal in memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_conformance::{Code, Harness, Trouble};
use midwatch_engine_temporal::{Options, QueueOptions, Server, Temporal};
use midwatch_journal::Journal;
use midwatch_journal::memory::MemoryJournal;
use midwatch_workflow::{Engine, Registry};

/// An engine on a server that outlives it.
pub(crate) struct TemporalHarness {
    url: String,
    namespace: String,
    journal: Arc<dyn Journal>,
    engine: Option<Arc<Temporal>>,
    lives: u32,
}

impl TemporalHarness {
    /// In a namespace of its own: all exercises use the same workflow ids.
    pub(crate) fn new(url: String, namespace: &str) -> Self {
        let journal = Arc::new(MemoryJournal::new());
        Self { url, namespace: namespace.to_owned(), journal, engine: None, lives: 0 }
    }

    pub(crate) fn options(url: &str, namespace: &str, worker: String) -> Options {
        Options {
            lost_after: Duration::from_secs(2),
            sticky: Duration::from_millis(500),
            drain: Duration::from_secs(1),
            ..Options::new(Server::At { url: url.to_owned(), namespace: namespace.to_owned() }, worker)
        }
    }
}

impl Harness for TemporalHarness {
    fn open(&mut self, code: Code) -> BoxFuture<'_, Result<(), Trouble>> {
        self.lives += 1;
        let options = Self::options(&self.url, &self.namespace, format!("life {}", self.lives));
        let mut registry = Registry::default();
        code.workflows.into_iter().for_each(|workflow| registry.add_workflow(workflow));
        code.steps.into_iter().for_each(|step| registry.add_step(step));
        let queues = code.queues.into_iter().map(|(name, limit)| (name, QueueOptions::concurrency(limit)));
        let options = Options { queues: queues.collect(), ..options };
        Box::pin(async move {
            let engine = Temporal::open(Arc::clone(&self.journal), registry, options).await;
            self.engine = Some(Arc::new(engine.map_err(|error| Trouble::new(format!("open: {error}")))?));
            Ok(())
        })
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        self.engine = None;
        Box::pin(async {})
    }

    fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(self.engine.as_ref().expect("an open engine")) as _
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal)
    }
}
