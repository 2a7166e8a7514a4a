//! Kills, as `kill -9` does, of the process, of the server with its storage on disk, and of both, in the middle of a step,
//! of a timer and of a compensation: no run is lost, nothing is done twice, and the journal tells the same story.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_conformance::check_laws;
use midwatch_engine_conformance::server::{RestateServer, free_ports};
use midwatch_engine_restate::{Options, Restate};
use midwatch_journal::spool::SpooledJournal;
use midwatch_journal::sqlite::{self, SqliteJournal};
use midwatch_journal::story::story_without_crashes;
use midwatch_journal::{Journal, RunQuery};
use midwatch_workflow::{
    Backoff, Class, Context, Engine as _, Event, EventKind, Failure, Jitter, NewRun, Payload, Registry,
    RetryPolicy, RunResult, StepContext, StepDefinition, StepOptions, WorkflowDefinition, WorkflowId,
    step_fn, workflow_fn,
};

/// Set for the process that a test starts from its own program: the folder that it works in.
const FOLDER: &str = "MIDWATCH_TEST_FOLDER";

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Worker,
    Server,
    Both,
}

/// Lines of the story during which somebody is killed.
const MOMENTS: [&str; 3] = ["step slow given 2", "sleep", "step undo given 2, undoing step slow"];

#[tokio::test]
async fn a_killed_process_is_replaced_by_another_that_goes_on() {
    survive(Victim::Worker).await;
}

#[tokio::test]
async fn a_killed_server_goes_on_from_its_disk() {
    survive(Victim::Server).await;
}

#[tokio::test]
async fn both_killed_at_once_go_on_together() {
    survive(Victim::Both).await;
}

async fn survive(victim: Victim) {
    let Some(mut server) = RestateServer::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let [port] = free_ports();
    let settings = format!("{}\n{}\n{port}", server.ingress(), server.admin());
    std::fs::write(folder.path().join("settings"), settings).expect("write the worker's settings");
    let mut worker = Worker::start(folder.path());
    for moment in MOMENTS {
        until(folder.path(), moment).await;
        // In the middle: what was asked for takes half a second.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Victim::Worker | Victim::Both = victim {
            worker.kill();
        }
        match victim {
            Victim::Worker => {}
            Victim::Server | Victim::Both => server.kill_and_restart(),
        }
        if let Victim::Worker | Victim::Both = victim {
            worker = Worker::start(folder.path());
        }
    }
    let events = until(folder.path(), "ended: server: no way on, 2 undone").await;
    let told = story_without_crashes(&events);
    assert_eq!(told, STORY, "{victim:?}");
    check_laws(&events).unwrap_or_else(|law| panic!("{victim:?}: {law}"));
    let lost = events.iter().filter(|event| is_lost(&event.kind)).count();
    assert!(lost >= 2, "{victim:?}: the attempts under way were lost and told as such: {lost}");
    let expected = ["book 1", "slow 2", "undo 1", "undo 2"].map(str::to_owned);
    assert_eq!(effects(folder.path()), BTreeSet::from(expected), "{victim:?}");
}

const STORY: &[&str] = &[
    "saga started",
    "step book given 1",
    "step book gave 1",
    "step slow given 2",
    "step slow gave 2",
    "sleep",
    "sleep is over",
    "compensating [undo, undo] because server: no way on",
    "step undo given 2, undoing step slow",
    "step undo gave 2",
    "step undo#2 given 1, undoing step book",
    "step undo#2 gave 1",
    "ended: server: no way on, 2 undone",
];

fn is_lost(kind: &EventKind) -> bool {
    matches!(kind, EventKind::AttemptEnded { result: midwatch_workflow::Ended::Failed(failure), .. }
        if failure.class == Class::Lost)
}

/// Waits until the run's story has this line.
async fn until(folder: &Path, line: &str) -> Vec<Event> {
    for _ in 0..1_200 {
        let events = events(folder);
        if story_without_crashes(&events).iter().any(|told| told == line) {
            return events;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "waited in vain for `{line}`; the run says\n{}",
        story_without_crashes(&events(folder)).join("\n")
    );
}

fn events(folder: &Path) -> Vec<Event> {
    let Ok(journal) = SqliteJournal::open_reader(folder.join("journal.db")) else { return Vec::new() };
    let run = journal.runs(&RunQuery::default()).unwrap_or_default().first().map(|run| run.run);
    run.and_then(|run| journal.events(run, 0).ok()).unwrap_or_default()
}

/// What a receiver that honours keys has done.
fn effects(folder: &Path) -> BTreeSet<String> {
    let ledger = std::fs::read_to_string(folder.join("ledger")).unwrap_or_default();
    let mut by_key = std::collections::BTreeMap::new();
    for line in ledger.lines() {
        let (key, what) = line.split_once('\t').expect("a key and what was done");
        let before = by_key.insert(key.to_owned(), what.to_owned());
        assert!(before.is_none_or(|before| before == what), "a key stands for one effect");
    }
    let done: Vec<String> = by_key.into_values().collect();
    let once: BTreeSet<String> = done.iter().cloned().collect();
    assert_eq!(once.len(), done.len(), "nothing was done under two keys");
    once
}

/// A process of its own that carries runs out.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let process = Command::new(program)
            .args(["--exact", "the_worker_itself", "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(process.expect("start a worker"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("kill the worker");
        self.0.wait().expect("the worker is gone");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the worker's process does; as a test of its own it has nothing to do.
#[test]
fn the_worker_itself() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let settings = std::fs::read_to_string(folder.join("settings")).expect("the settings");
        let mut settings = settings.lines();
        let mut next = || settings.next().expect("a setting").to_owned();
        let (ingress, admin, port) = (next(), next(), next());
        let port = port.parse().expect("a port");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let worker = format!("process {}", std::process::id());
        let options = Options { ingress, admin, listen, ..Options::new(worker) };
        // As the front door opens it.
        let path = folder.join("journal.db");
        let kept = sqlite::Options { patience: Options::JOURNAL_PATIENCE, ..Default::default() };
        let journal = Arc::new(SqliteJournal::open(&path, kept).expect("the journal"));
        let journal = SpooledJournal::over(journal, &path).expect("the spool");
        let engine = Restate::open(Arc::new(journal), registry(&folder), options).await.expect("open");
        let id = WorkflowId::new("the-saga").expect("a workflow id");
        let new = NewRun { workflow_id: Some(id), ..NewRun::new("saga", Payload::null()) };
        let started = engine.start(new).await.expect("start");
        // The end is written in the journal; the test kills this process once it has read it.
        let ended = engine.result(started.run).await;
        assert!(matches!(ended, Ok(RunResult::Failed { .. })), "{ended:?}");
        std::future::pending::<()>().await;
    });
}

fn registry(folder: &Path) -> Registry {
    let mut registry = Registry::default();
    let saga = workflow_fn("saga", |cx: Context, (): ()| async move {
        cx.step(patient("book"), &1).compensate(patient("undo"), |done| done).await?;
        cx.step(patient("slow"), &2).compensate(patient("undo"), |done| done).await?;
        cx.sleep(Duration::from_millis(500)).await?;
        Err::<(), _>(Failure::new(Class::Server, "no way on"))
    });
    registry.add_workflow(WorkflowDefinition::of(saga));
    for name in ["book", "slow", "undo"] {
        let ledger = folder.join("ledger");
        let step = step_fn(name, move |cx: StepContext, n: u32| {
            let ledger = ledger.clone();
            async move {
                write(&ledger, &format!("{}\t{} {n}\n", cx.idempotency_key(), cx.step()));
                if cx.step() != "book" {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Ok(n)
            }
        });
        registry.add_step(StepDefinition::of(step));
    }
    registry
}

/// The step of this name as the workflow asks for it.
fn patient(name: &'static str) -> impl midwatch_workflow::Step<Input = u32, Output = u32> {
    let retry =
        RetryPolicy::default().backoff(Backoff::Fixed(Duration::from_millis(100))).jitter(Jitter::None);
    let only_named = |_: StepContext, _: u32| async { Err(Failure::new(Class::Bug, "only named here")) };
    step_fn(name, only_named).with(StepOptions { retry, ..StepOptions::default() })
}

fn write(ledger: &Path, line: &str) {
    use std::io::Write as _;
    let file = std::fs::File::options().create(true).append(true).open(ledger);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("write the ledger");
}
