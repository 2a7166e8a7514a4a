//! Which promises of the suite Restate keeps: the same stories as on every engine, on a real server.

use midwatch_engine_conformance::server::RestateServer;
use midwatch_engine_conformance::{Exercise, Report, exercises};

use crate::harness::RestateHarness;

/// Exercises that Restate does not pass, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("fork", "an invocation cannot begin with another one's history"),
    ("rewind", "an invocation that has ended cannot go on"),
    (
        "mismatch",
        "a signal that comes while the code does not fit is kept by Restate, and recorded when it fits again",
    ),
];

/// Performs all exercises; `None` if there is no server.
pub(crate) fn report() -> Option<Report> {
    let server = RestateServer::start()?;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut report = Report::default();
    for exercise in exercises::ALL {
        match EXCEPTIONS.iter().find(|(name, _)| *name == exercise.name) {
            Some((_, why)) => report.except(exercise.name, *why),
            None => report.count(exercise.name, runtime.block_on(check(&server, exercise))),
        }
    }
    Some(report)
}

async fn check(server: &RestateServer, exercise: &Exercise) -> Result<(), String> {
    let harness = RestateHarness::new(server, exercise.name);
    exercise.check(Box::new(harness)).await.map(drop).map_err(|trouble| trouble.to_string())
}
