//! The suite that every engine performs.

use crate::promises::report;

#[test]
fn temporal_keeps_every_promise_but_those_it_names() {
    let Some(report) = report() else { return };
    let failures: Vec<String> =
        report.failures.iter().map(|failure| format!("{}: {}", failure.exercise, failure.why)).collect();
    assert!(failures.is_empty(), "{} of {} passed\n{}", report.passed, report.total, failures.join("\n\n"));
    assert_eq!(report.passed + report.exceptions.len(), report.total);
}
