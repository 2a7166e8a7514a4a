//! The embedded engine keeps its promises on a real file and by a real clock too, where a commit takes time and runs on
//! other threads. Crashes at every append are for the journal in memory: here the engine is killed where exercises say.

use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_conformance::{EmbeddedHarness, Exercise, Report, exercises};
use midwatch_engine_embedded::Clock;
use midwatch_journal::sqlite::{Options, SqliteJournal};
use tokio::sync::Semaphore;

/// How many exercises are done at once: most of them wait most of the time.
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let checks: Vec<_> = exercises::ALL
        .iter()
        .map(|exercise| {
            let (places, path) = (Arc::clone(&places), folder.path().join(exercise.name));
            let check = tokio::spawn(async move {
                let _place = places.acquire().await;
                check(exercise, &path).await
            });
            (exercise.name, check)
        })
        .collect();
    let mut report = Report::default();
    for (name, check) in checks {
        report.count(name, check.await.unwrap_or_else(|panic| Err(panic.to_string())));
    }
    let failures: Vec<String> =
        report.failures.iter().map(|failure| format!("{}: {}", failure.exercise, failure.why)).collect();
    assert_eq!(report.passed, exercises::ALL.len(), "{}", failures.join("\n\n"));
}

async fn check(exercise: &Exercise, path: &std::path::Path) -> Result<(), String> {
    let journal = SqliteJournal::open(path, Options::default()).map_err(|error| error.to_string())?;
    let linger = Duration::from_millis(100);
    let harness = EmbeddedHarness::on(Arc::new(journal), Clock::system(), linger);
    exercise.check(Box::new(harness)).await.map(drop).map_err(|trouble| trouble.to_string())
}
