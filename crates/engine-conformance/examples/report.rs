//! Prints which promises the embedded engine keeps, as one JSON object; ends with 1 if it breaks one.

use std::process::ExitCode;

use midwatch_engine_conformance::report;

#[allow(clippy::print_stdout)] // the report is the output
fn main() -> ExitCode {
    // Exercises panic on purpose; what matters of that is in the report.
    std::panic::set_hook(Box::new(|_| ()));
    let embedded = report();
    let is_whole = embedded.failures.is_empty();
    println!("{}", serde_json::json!(embedded));
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
