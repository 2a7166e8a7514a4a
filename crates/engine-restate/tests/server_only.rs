//! What only an engine on a server can be asked: its own cancellation, its memory, its journal, many attempts at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use midwatch_engine_conformance::check_laws;
use midwatch_engine_conformance::server::RestateServer;
use midwatch_engine_restate::{Options, Restate};
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::story::story;
use midwatch_journal::{Append, Done, Error, Journal, Letter, Row, RunQuery, RunSummary};
use midwatch_workflow::{
    Class, Context, Engine, EngineError, Event, Message, NewRun, Payload, Registry, RunId, RunResult,
    StepContext, StepDefinition, Timestamp, WorkflowDefinition, step_fn, workflow_fn,
};

fn options(server: &RestateServer) -> Options {
    Options { ingress: server.ingress(), admin: server.admin(), ..Options::new("worker") }
}

/// `trip` books and waits for an approval; `many` asks for forty steps at once.
fn registry() -> Registry {
    let book = || step_fn("book", |_: StepContext, n: u32| async move { Ok(n) });
    let undo = || step_fn("undo", |_: StepContext, n: u32| async move { Ok(n) });
    let work = || {
        step_fn("work", |_: StepContext, n: u64| async move {
            tokio::time::sleep(Duration::from_millis(n * 7 % 120)).await;
            Ok(n)
        })
    };
    let trip = workflow_fn("trip", move |cx: Context, (): ()| async move {
        cx.step(book(), &1).compensate(undo(), |booked| booked).await?;
        cx.signal::<bool>("approve").await
    });
    let many = workflow_fn("many", move |cx: Context, (): ()| async move {
        let all: Vec<u64> = cx.join_all((0..40).map(|n| cx.step(work(), &n).into_future())).await?;
        Ok(all.into_iter().sum::<u64>())
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(trip));
    registry.add_workflow(WorkflowDefinition::of(many));
    registry.add_step(StepDefinition::of(book()));
    registry.add_step(StepDefinition::of(undo()));
    registry.add_step(StepDefinition::of(work()));
    registry
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_named_with_what_to_do() {
    let [port] = midwatch_engine_conformance::server::free_ports();
    let admin = format!("http://127.0.0.1:{port}");
    let options = Options { admin: admin.clone(), ..Options::new("worker") };
    let opened = Restate::open(Arc::new(MemoryJournal::new()), registry(), options).await;
    let text = opened.err().expect("nobody is there").to_string();
    for part in ["[MW0107] Restate was not reached at", admin.as_str(), "refused", "`.admin(url)`"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

async fn start(engine: &Restate, workflow: &'static str) -> RunId {
    engine.start(NewRun::new(workflow, Payload::null())).await.expect("start").run
}

/// Waits until the journal tells this of a run.
async fn until(journal: &dyn Journal, run: RunId, line: &str) {
    for _ in 0..600 {
        if story(&journal.events(run, 0).expect("read the journal")).iter().any(|told| told == line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for `{line}`");
}

fn approve() -> Message {
    Message::Signal {
        name: "approve".to_owned(),
        payload: Payload::of(&true).expect("a payload"),
        id: Some("letter 1".to_owned()),
    }
}

#[tokio::test]
async fn a_cancellation_by_restates_own_means_undoes_the_steps() {
    let Some(server) = RestateServer::start() else { return };
    let journal = Arc::new(MemoryJournal::new());
    let engine = Restate::open(Arc::clone(&journal) as _, registry(), options(&server)).await.expect("open");
    let run = start(&engine, "trip").await;
    until(&*journal, run, "signal approve is awaited").await;
    let invocation = engine.invocation(run).await.expect("ask").expect("it is there");
    server.patch(&format!("/invocations/{}/cancel", invocation.id));
    let RunResult::Failed { failure, compensated, .. } = engine.result(run).await.expect("the end") else {
        panic!("a cancelled run fails");
    };
    assert_eq!((failure.class, compensated), (Class::Cancelled, 1));
    check_laws(&journal.events(run, 0).expect("read the journal")).expect("the laws hold");
}

#[tokio::test]
async fn a_run_that_waits_leaves_memory_and_comes_back_for_a_signal() {
    let Some(server) = RestateServer::start() else { return };
    let journal = Arc::new(MemoryJournal::new());
    let options = Options { linger: Duration::from_millis(50), ..options(&server) };
    let engine = Restate::open(Arc::clone(&journal) as _, registry(), options).await.expect("open");
    let run = start(&engine, "trip").await;
    until(&*journal, run, "signal approve is awaited").await;
    while engine.runs_in_memory() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.send(run, approve()).await.expect("send");
    // The same letter twice is one signal.
    drop(engine.send(run, approve()).await);
    assert!(
        matches!(engine.result(run).await, Ok(RunResult::Completed(output)) if output.as_str() == "true")
    );
    let told = story(&journal.events(run, 0).expect("read the journal"));
    let expected = [
        "trip started",
        "step book given 1",
        "step book gave 1",
        "signal approve is awaited",
        "signal approve received: true",
        "completed: true",
    ];
    assert_eq!(told, expected, "leaving memory leaves no trace");
}

#[tokio::test]
async fn forty_attempts_at_once_all_end() {
    let Some(server) = RestateServer::start() else { return };
    let journal = Arc::new(MemoryJournal::new());
    let engine = Restate::open(Arc::clone(&journal) as _, registry(), options(&server)).await.expect("open");
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(start(&engine, "many").await);
    }
    for run in runs {
        let ended = tokio::time::timeout(Duration::from_secs(30), engine.result(run)).await;
        let ended = ended.expect("no run hangs").expect("the end");
        assert_eq!(ended, RunResult::Completed(Payload::of(&780).expect("a payload")));
        let events = journal.events(run, 0).expect("read the journal");
        check_laws(&events).expect("the laws hold");
        assert_eq!(events.len(), 82, "a start, forty attempts and their ends, an end");
    }
}

#[tokio::test]
async fn a_server_that_does_not_sign_is_refused() {
    let Some(server) = RestateServer::start() else { return };
    let key = "publickeyv1_ChjENKeMvCtRnqG2mrBK1HmPKufgFUc98K8B3ononQvp".to_owned();
    let options = Options { identity_keys: vec![key], ..options(&server) };
    let opened = Restate::open(Arc::new(MemoryJournal::new()), registry(), options).await;
    assert!(matches!(opened.err(), Some(EngineError::Unavailable(_))), "discovery is not answered either");
}

#[tokio::test]
async fn a_journal_that_is_away_for_a_while_has_every_event_in_the_end() {
    let Some(server) = RestateServer::start() else { return };
    let journal = Arc::new(Watched::new(AWAY));
    let engine = Restate::open(Arc::clone(&journal) as _, registry(), options(&server)).await.expect("open");
    let run = start(&engine, "trip").await;
    until(&*journal, run, "signal approve is awaited").await;
    engine.send(run, approve()).await.expect("send");
    assert!(matches!(engine.result(run).await, Ok(RunResult::Completed(_))));
    let events = journal.events(run, 0).expect("read the journal");
    check_laws(&events).expect("the laws hold");
    assert_eq!(story(&events).last().map(String::as_str), Some("completed: true"));
    assert!(journal.appends.load(Ordering::Relaxed) > AWAY, "it was away");
}

#[tokio::test]
async fn a_run_is_first_taken_up_without_reading_the_journal_and_then_from_what_it_says() {
    let Some(server) = RestateServer::start() else { return };
    let journal = Arc::new(Watched::new(0));
    let options = Options { linger: Duration::from_millis(50), ..options(&server) };
    let engine = Restate::open(Arc::clone(&journal) as _, registry(), options).await.expect("open");
    let run = start(&engine, "trip").await;
    until(&journal.journal, run, "signal approve is awaited").await;
    while engine.runs_in_memory() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(journal.reads.load(Ordering::Relaxed), 0, "nothing was to be found there");
    engine.send(run, approve()).await.expect("send");
    assert!(matches!(engine.result(run).await, Ok(RunResult::Completed(_))));
    assert!(
        journal.reads.load(Ordering::Relaxed) > 0,
        "the second life goes on from what the first has written"
    );
}

/// How many appends fail.
const AWAY: u32 = 3;

/// A journal that refuses its first appends, and counts what is asked of it.
struct Watched {
    journal: MemoryJournal,
    away: u32,
    appends: AtomicU32,
    reads: AtomicU32,
}

impl Watched {
    fn new(away: u32) -> Self {
        Self { journal: MemoryJournal::new(), away, appends: AtomicU32::new(0), reads: AtomicU32::new(0) }
    }
}

impl Journal for Watched {
    fn append(&self, append: Append, done: Done) {
        if self.appends.fetch_add(1, Ordering::Relaxed) < self.away {
            return done(Err(Error::Closed));
        }
        self.journal.append(append, done);
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.journal.events(run, after)
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        self.journal.run(run)
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        self.journal.runs(query)
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        self.journal.since(after, limit)
    }

    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error> {
        self.journal.post(run, message, at)
    }

    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error> {
        self.journal.letters(answered, limit)
    }
}
