//! Which promises of the suite Temporal keeps: the same stories as on every engine, on a real server.

use std::time::Duration;

use futures_util::StreamExt as _;
use midwatch_engine_conformance::server::TemporalServer;
use midwatch_engine_conformance::{Exercise, Report, exercises};

use crate::harness::TemporalHarness;

/// What does not hold on Temporal, and why; `docs/engines.md` says the same to users.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("fork", "a run cannot be forked on Temporal"),
    ("rewind", "a run that has ended at the server stays ended"),
    (
        "panic_in_workflow",
        "a run whose code panics hears no message; the server itself tries it again and again",
    ),
];

const QUEUES: &str = "an attempt waits for its places in the worker, and counts as begun meanwhile";

/// Whose promise holds, but whose journal tells it otherwise.
const OTHER_STORIES: &[(&str, &str)] = &[
    ("queue_concurrency", QUEUES),
    ("queue_timeout", QUEUES),
    ("duplicate_start", "what comes with one task is told signals first"),
    ("pause_resume", QUEUES),
    ("mismatch", HALT),
    ("stray", HALT),
    ("unknown_step", HALT),
];

const HALT: &str =
    "the server takes a task that failed back, so the journal shows the park before what led to it";

/// How many exercises are done side by side: their time is mostly waiting.
const AT_ONCE: usize = 4;

/// How long an exercise may take, all in all.
const LIMIT: Duration = Duration::from_secs(90);

/// Performs all exercises; `None` if there is no server.
pub(crate) fn report() -> Option<Report> {
    let names: Vec<String> = exercises::ALL.iter().map(namespace).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = TemporalServer::start(&names)?;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcomes = runtime.block_on(async {
        let all = exercises::ALL.iter().filter(|exercise| why_not(exercise).is_none());
        let outcomes = all.map(|exercise| perform(exercise, server.url()));
        futures_util::stream::iter(outcomes).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await
    });
    let mut report = Report::default();
    for (exercise, why) in exercises::ALL.iter().filter_map(|e| Some((e, why_not(e)?))) {
        report.except(exercise.name, why);
    }
    for (name, outcome) in outcomes {
        report.count(name, outcome);
    }
    for (name, why) in OTHER_STORIES {
        report.tells_otherwise(name, *why);
    }
    Some(report)
}

fn why_not(exercise: &Exercise) -> Option<&'static str> {
    EXCEPTIONS.iter().find(|(name, _)| *name == exercise.name).map(|(_, why)| *why)
}

fn tells_otherwise(exercise: &Exercise) -> bool {
    OTHER_STORIES.iter().any(|(name, _)| *name == exercise.name)
}

/// All exercises use the same workflow ids, so each has a namespace of its own.
fn namespace(exercise: &Exercise) -> String {
    exercise.name.replace('_', "-")
}

async fn perform(exercise: &Exercise, url: String) -> (&'static str, Result<(), String>) {
    let harness = Box::new(TemporalHarness::new(url, &namespace(exercise)));
    let performed = async {
        match tells_otherwise(exercise) {
            true => midwatch_engine_conformance::perform(exercise, harness).await,
            false => exercise.check(harness).await,
        }
    };
    let outcome = match tokio::time::timeout(LIMIT, performed).await {
        Ok(outcome) => outcome.map(drop).map_err(|trouble| trouble.to_string()),
        Err(_) => Err(format!("takes longer than {LIMIT:?}")),
    };
    (exercise.name, outcome)
}
