//! Workers that are killed for real, as `kill -9` does it, in the middle of a step, a wait and a compensation.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use midwatch_engine_conformance::server::TemporalServer;
use midwatch_engine_temporal::Temporal;
use midwatch_journal::Journal;
use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_workflow::{
    Class, Context, Ended, Engine, Event, EventKind, Failure, NewRun, Payload, Registry, RunId, RunResult,
    StepContext, StepDefinition, WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};

use crate::harness::TemporalHarness;

const URL: &str = "MIDWATCH_TEST_TEMPORAL";
const FOLDER: &str = "MIDWATCH_TEST_FOLDER";
const NAMESPACE: &str = "crash";

/// Leaves a line for every attempt; the first one at a step stays at work until it is killed.
async fn attempt(cx: StepContext, name: String) -> Result<String, Failure> {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap_or_default());
    let mark = folder.join(&name);
    let is_first = !mark.exists();
    std::fs::write(&mark, cx.idempotency_key()).map_err(|e| Failure::new(Class::Bug, "mark").source(e))?;
    if is_first && name.ends_with("slow") {
        cx.heartbeat(&"half way")?;
        std::future::pending::<()>().await;
    }
    Ok(name)
}

fn registry() -> Registry {
    let work = || step_fn("work", attempt);
    let undo = || step_fn("undo", attempt);
    let trip = workflow_fn("trip", move |cx: Context, (): ()| async move {
        cx.step(work(), &"step slow".to_owned()).compensate(undo(), |_| "undo slow".to_owned()).await?;
        cx.sleep(Duration::from_secs(3)).await?;
        Err::<(), _>(Failure::new(Class::InvalidRequest, "not possible"))
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(trip));
    registry.add_step(StepDefinition::of(work()));
    registry.add_step(StepDefinition::of(undo()));
    registry
}

/// Not a test: the program that is killed. It works until then.
#[test]
#[ignore = "started by the test that kills it"]
fn worker() {
    let Ok(url) = std::env::var(URL) else { return };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a folder"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let journal = SqliteJournal::open(folder.join("journal.db"), Options::default()).expect("a journal");
        let options = TemporalHarness::options(&url, NAMESPACE, format!("pid-{}", std::process::id()));
        let engine = Temporal::open(Arc::new(journal), registry(), options).await.expect("an engine");
        let mut new = NewRun::new("trip", Payload::null());
        new.workflow_id = WorkflowId::new("crash").ok();
        let started = engine.start(new).await.expect("a run");
        std::fs::write(folder.join("run"), started.run.to_string()).expect("a note");
        let result = engine.result(started.run).await.expect("an end");
        let json = serde_json::to_string(&result).expect("JSON");
        // Whoever waits for it reads it as a whole.
        std::fs::write(folder.join("result.new"), json).expect("a note");
        std::fs::rename(folder.join("result.new"), folder.join("result")).expect("a note");
    });
}

struct Killed(Child);

impl Killed {
    fn start(url: &str, folder: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let child = Command::new(program)
            .args(["crash::worker", "--exact", "--ignored"])
            .env(URL, url)
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("a worker starts"))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn events(folder: &Path) -> Vec<Event> {
    let run: RunId = std::fs::read_to_string(folder.join("run")).expect("a run").parse().expect("its id");
    let journal = SqliteJournal::open(folder.join("journal.db"), Options::default()).expect("a journal");
    journal.events(run, 0).expect("its events")
}

/// Who is killed each time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victims {
    Worker,
    WorkerAndServer,
}

#[test]
fn a_run_goes_on_after_its_worker_was_killed_in_a_step_a_wait_and_a_compensation() {
    survive(Victims::Worker);
}

#[test]
fn a_run_goes_on_after_its_worker_and_its_server_were_killed_at_once() {
    survive(Victims::WorkerAndServer);
}

fn survive(victims: Victims) {
    let Some(mut server) = TemporalServer::start_on_disk(&[NAMESPACE]) else { return };
    let url = server.url();
    let mut kill = |worker: Killed| {
        drop(worker);
        if victims == Victims::WorkerAndServer {
            server.kill_and_restart();
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();

    let in_step = Killed::start(&url, folder);
    until("the step is at work", || folder.join("step slow").exists());
    std::thread::sleep(Duration::from_millis(500));
    kill(in_step);

    let in_wait = Killed::start(&url, folder);
    let is_slept = |event: &Event| {
        matches!(
            &event.kind,
            EventKind::TimerStarted { purpose: midwatch_workflow::event::TimerPurpose::Sleep, .. }
        )
    };
    until("the run sleeps", || events(folder).iter().any(is_slept));
    kill(in_wait);

    let in_undo = Killed::start(&url, folder);
    until("the compensation is at work", || folder.join("undo slow").exists());
    kill(in_undo);

    let _last = Killed::start(&url, folder);
    until("the run ends", || folder.join("result").exists());
    let result = std::fs::read_to_string(folder.join("result")).expect("a result");
    let result: RunResult = serde_json::from_str(&result).expect("a result");
    let is_compensated = matches!(
        &result,
        RunResult::Failed { failure, compensated: 1, .. } if failure.class == Class::InvalidRequest
    );
    assert!(is_compensated, "{result:?}");

    let events = events(folder);
    midwatch_engine_conformance::check_laws(&events).expect("the laws of a journal");
    let lost: Vec<bool> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::AttemptEnded { result: Ended::Failed(failure), .. } => {
                Some(failure.class == Class::Lost && failure.ambiguous)
            }
            _ => None,
        })
        .collect();
    assert_eq!(lost, [true, true], "one attempt at the step and one at its compensation are lost");
    assert!(events.iter().any(|event| matches!(&event.kind,
        EventKind::Heartbeat { progress, .. } if progress.as_str() == "\"half way\"")));
    assert!(matches!(&events.last().map(|event| &event.kind), Some(EventKind::RunEnded { .. })));
}
