//! Which exercises an engine passes.

use serde::Serialize;

/// An engine's report.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// How many exercises there are.
    pub total: usize,
    /// How many it passed.
    pub passed: usize,
    /// What it passed, with a journal that tells it otherwise than the golden one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told_otherwise: Vec<Exception>,
    /// What it cannot do, and says so.
    pub exceptions: Vec<Exception>,
    /// What it failed, with what went wrong.
    pub failures: Vec<Exception>,
}

/// An exercise that an engine does not pass.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Exception {
    /// The exercise.
    pub exercise: String,
    /// Why.
    pub why: String,
}

impl Report {
    /// Counts an exercise.
    pub fn count(&mut self, exercise: &str, outcome: Result<(), String>) {
        self.total += 1;
        match outcome {
            Ok(()) => self.passed += 1,
            Err(why) => self.failures.push(Exception { exercise: exercise.to_owned(), why }),
        }
    }

    /// Says of an exercise that the journal tells it otherwise, for a documented reason.
    pub fn tells_otherwise(&mut self, exercise: &str, why: impl Into<String>) {
        self.told_otherwise.push(Exception { exercise: exercise.to_owned(), why: why.into() });
    }

    /// Counts an exercise that the engine cannot do, for a documented reason.
    pub fn except(&mut self, exercise: &str, why: impl Into<String>) {
        self.total += 1;
        self.exceptions.push(Exception { exercise: exercise.to_owned(), why: why.into() });
    }
}
