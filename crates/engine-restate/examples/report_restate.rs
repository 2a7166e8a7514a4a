//! Prints which promises the engine keeps on a real server, as one JSON object; ends with 1 if it breaks one.

#[path = "../tests/conformance/harness.rs"]
mod harness;
#[path = "../tests/conformance/promises.rs"]
mod promises;

use std::process::ExitCode;

#[allow(clippy::print_stdout)] // the report is the output
fn main() -> ExitCode {
    // Exercises panic on purpose; what matters of that is in the report.
    std::panic::set_hook(Box::new(|_| ()));
    let Some(report) = promises::report() else { return ExitCode::FAILURE };
    println!("{}", serde_json::json!(report));
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
