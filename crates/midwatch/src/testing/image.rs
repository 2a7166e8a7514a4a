//! One life of an engine on a journal in memory, in a runtime of its own whose clock is virtual.

use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_embedded::{Clock, Embedded, Options};
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::story::story;
use midwatch_journal::{Fold, Journal, Open, RunQuery, Status};
use midwatch_workflow::{Engine as _, Message, RunId, Timestamp};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::setup::TestSetup;
use super::watched::Watched;

/// When every test begins: 2026-09-21T13:46:40Z.
const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// How long an undisturbed run may take by the virtual clock before the test is told that it never ends.
pub(super) const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Makes a runtime whose clock moves only when there is nothing left to do.
pub(super) fn runtime() -> Runtime {
    assert!(
        tokio::runtime::Handle::try_current().is_err(),
        "midwatch::testing has a runtime of its own: write #[test] instead of #[tokio::test]"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap_or_else(|error| panic!("no runtime for the test: {error}"))
}

/// The clock of a runtime: it goes on from life to life.
pub(super) fn clock(runtime: &Runtime) -> Clock {
    runtime.block_on(async { Clock::runtime(START) })
}

/// One life of an engine.
pub(super) struct Life {
    pub(super) engine: Embedded,
    appended: Arc<Notify>,
}

/// Opens an engine that writes to `journal`.
pub(super) async fn open(
    setup: &TestSetup,
    disk: &MemoryJournal,
    journal: Arc<dyn Journal>,
    clock: Clock,
    number: u32,
) -> Arc<Life> {
    let reading: Arc<dyn Journal> = Arc::new(disk.clone());
    let options = Options { clock, ..setup.options(format!("life {number}")) };
    let appended = Arc::new(Notify::new());
    // What an earlier life left may wait for a signal already.
    appended.notify_one();
    let journal = Watched::over(journal, &appended);
    match Embedded::open(journal, setup.registry(&reading), options).await {
        Ok(engine) => Arc::new(Life { engine, appended }),
        Err(error) => panic!("the engine does not open: {error}"),
    }
}

/// Sends signals to runs that wait for them, until it is dropped.
pub(super) async fn answer_signals(setup: &TestSetup, disk: &MemoryJournal, life: &Life) {
    if setup.answers.is_empty() {
        return std::future::pending().await;
    }
    loop {
        life.appended.notified().await;
        for (run, op, name) in awaited(disk) {
            if let Some(payload) = setup.answers.get(&name) {
                let id = Some(format!("answer {op}"));
                let message = Message::Signal { name, payload: payload.clone(), id };
                // An engine that dies here is asked again in its next life, and knows a repeat by its id.
                let _ = life.engine.send(run, message).await;
            }
        }
    }
}

/// All waits for signals of open runs.
fn awaited(disk: &MemoryJournal) -> Vec<(RunId, u32, String)> {
    let statuses = Status::ALL.into_iter().filter(|status| !status.is_ended()).collect();
    let runs = disk.runs(&RunQuery { statuses, limit: 10_000, ..RunQuery::default() }).unwrap_or_default();
    let folds = runs.iter().filter_map(|run| Some((run.run, Fold::of(&disk.events(run.run, 0).ok()?)?)));
    folds
        .flat_map(|(run, fold)| {
            fold.open.into_iter().filter_map(move |(op, open)| match open {
                Open::Signal { name } => Some((run, op.0, name)),
                _ => None,
            })
        })
        .collect()
}

/// A run's journal as lines, for messages.
pub(super) fn told(disk: &MemoryJournal, run: RunId) -> String {
    disk.events(run, 0).map(|events| story(&events).join("\n  ")).unwrap_or_default()
}
