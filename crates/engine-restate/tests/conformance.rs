//! The Restate engine keeps the promises of all engines, on a real server.
//!
//! What it cannot do is named here and in `docs/engines.md`, each with its reason.

mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use midwatch_engine_conformance::{Code, Exercise, Harness, Report, Trouble, exercises};
use midwatch_engine_restate::{Options, Restate};
use midwatch_journal::Journal;
use midwatch_journal::memory::MemoryJournal;
use midwatch_workflow::{Engine, EngineError, Message, NewRun, Registry, RunId, RunResult, Started};
use server::Server;

/// Exercises that Restate does not pass, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("fork", "an invocation cannot begin with another one's history"),
    ("rewind", "an invocation that has ended cannot go on"),
    (
        "mismatch",
        "a signal that comes while the code does not fit is kept by Restate, and recorded when it fits again",
    ),
];

/// A host on a server that several exercises share, each under a prefix of its own.
struct RestateHarness {
    options: Options,
    journal: MemoryJournal,
    engine: Option<Arc<Restate>>,
    lives: u32,
}

impl RestateHarness {
    fn new(server: &Server, exercise: &str) -> Self {
        let [port] = server::free_ports();
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
        options.queues.extend(code.queues);
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

async fn check(server: &Server, exercise: &Exercise) -> Result<(), String> {
    let harness = RestateHarness::new(server, exercise.name);
    exercise.check(Box::new(harness)).await.map(drop).map_err(|trouble| trouble.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restate_keeps_every_promise_but_those_it_names() {
    let Some(server) = Server::start() else { return };
    let mut report = Report::default();
    for exercise in exercises::ALL {
        if let Some((_, why)) = EXCEPTIONS.iter().find(|(name, _)| *name == exercise.name) {
            report.except(exercise.name, *why);
            continue;
        }
        report.count(exercise.name, check(&server, exercise).await);
    }
    let failures: Vec<String> =
        report.failures.iter().map(|failure| format!("{}: {}", failure.exercise, failure.why)).collect();
    assert!(failures.is_empty(), "{} of {}\n{}", report.passed, report.total, failures.join("\n\n"));
}
