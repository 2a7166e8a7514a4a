//! Tasks of the project: tests, benchmarks, soak runs.
fn main() {}
