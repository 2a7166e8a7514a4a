//! Restate's part in the conformance suite: a host on a real server, and a journal in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use midwatch_engine_conformance::server::{RestateServer, free_ports};
use midwatch_engine_conformance::{Code, Harness, Trouble};
use midwatch_engine_restate::{Options, QueueOptions, Restate};
use midwatch_journal::Journal;
use midwatch_journal::memory::MemoryJournal;
use midwatch_workflow::{Engine, EngineError, Message, NewRun, Registry, RunId, RunResult, Started};

/// A host on a server that several exercises share, each under a prefix of its own.
pub(crate) struct RestateHarness {
    options: Options,
    journal: MemoryJournal,
    engine: Option<Arc<Restate>>,
    lives: u32,
}

impl RestateHarness {
    pub(crate) fn new(server: &RestateServer, exercise: &str) -> Self {
        let [port] = free_ports();
        let options = Options {
            ingress: server.ingress(),
            admin: server.admin(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            prefix: format!("{exercise}."),
            ..Options::new("")
        };
        Self { options, journal: MemoryJournal::new(), engine: None, lives: 0 }
    }
}

impl Harness for RestateHarness {
    fn open(&mut self, code: Code) -> BoxFuture<'_, Result<(), Trouble>> {
        self.lives += 1;
        let mut options = self.options.clone();
        options.worker = format!("life {}", self.lives);
        let mut registry = Registry::default();
        code.workflows.into_iter().for_each(|workflow| registry.add_workflow(workflow));
        code.steps.into_iter().for_each(|step| registry.add_step(step));
        let queues = code.queues.into_iter().map(|(name, limit)| (name, QueueOptions::concurrency(limit)));
        options.queues.extend(queues);
        Box::pin(async move {
            let engine = Restate::open(Arc::new(self.journal.clone()), registry, options).await;
            self.engine = Some(Arc::new(engine.map_err(|error| Trouble::new(format!("open: {error}")))?));
            Ok(())
        })
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        self.engine = None;
        // The listener is closed when its task is dropped, which the runtime does in its own time.
        Box::pin(async {
            for _ in 0..100 {
                if std::net::TcpListener::bind(self.options.listen).is_ok() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
    }

    fn engine(&self) -> Arc<dyn Engine> {
        match &self.engine {
            Some(engine) => Arc::clone(engine) as _,
            None => Arc::new(Closed),
        }
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.journal.clone())
    }
}

/// What is there between a crash and the next start.
struct Closed;

impl Engine for Closed {
    fn start(&self, _: NewRun) -> BoxFuture<'_, Result<Started, EngineError>> {
        Box::pin(async { Err(EngineError::Stopped) })
    }

    fn send(&self, _: RunId, _: Message) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async { Err(EngineError::Stopped) })
    }

    fn result(&self, _: RunId) -> BoxFuture<'_, Result<RunResult, EngineError>> {
        Box::pin(async { Err(EngineError::Stopped) })
    }

    fn host<'a>(&'a self, _: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async { Err(EngineError::Stopped) })
    }
}
