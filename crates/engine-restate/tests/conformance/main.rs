//! The Restate engine keeps the promises of all engines, on a real server.
//!
//! What it cannot do is named in `promises` and in `docs/engines.md`, each with its reason.

mod harness;
mod promises;

#[test]
fn restate_keeps_every_promise_but_those_it_names() {
    let Some(report) = promises::report() else { return };
    let failures: Vec<String> =
        report.failures.iter().map(|failure| format!("{}: {}", failure.exercise, failure.why)).collect();
    assert!(failures.is_empty(), "{} of {}\n{}", report.passed, report.total, failures.join("\n\n"));
}
