//! Finding the run that somebody means: by id, short id, first digits, or workflow id.

use midwatch_journal::{Error, Journal, RunQuery, RunSummary};
use midwatch_workflow::RunId;

/// The fewest hex digits that are taken for the beginning of an id.
const DIGITS_MIN: usize = 4;
/// So many runs are looked at; more of a name are as good as ambiguous.
const LOOK_MAX: usize = 1_000;

/// What a name means.
#[derive(Clone, Debug)]
pub enum Found {
    /// This run.
    One(Box<RunSummary>),
    /// No run.
    None,
    /// Several runs, the newest first.
    Several(Vec<RunSummary>),
}

/// Finds the runs that `asked` names.
///
/// # Errors
/// What the journal says.
pub fn find(journal: &dyn Journal, asked: &str) -> Result<Found, Error> {
    if let Ok(run) = asked.parse::<RunId>()
        && let Some(found) = journal.run(run)?
    {
        return Ok(Found::One(Box::new(found)));
    }
    let by_workflow_id =
        RunQuery { workflow_id: Some(asked.to_owned()), limit: LOOK_MAX, ..RunQuery::default() };
    let mut found = journal.runs(&by_workflow_id)?;
    if found.is_empty() && is_part_of_id(asked) {
        let text = RunQuery { text: Some(asked.to_owned()), limit: LOOK_MAX, ..RunQuery::default() };
        found = journal.runs(&text)?;
        found.retain(|run| is_named(run.run, asked));
    }
    Ok(match found.len() {
        0 => Found::None,
        1 => Found::One(Box::new(found.remove(0))),
        _ => Found::Several(found),
    })
}

fn is_part_of_id(asked: &str) -> bool {
    let digits = asked.strip_prefix("r_").unwrap_or(asked);
    digits.len() >= DIGITS_MIN && digits.len() <= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the run's id ends with the digits after `r_`, or begins with the digits.
fn is_named(run: RunId, asked: &str) -> bool {
    let (id, asked) = (run.to_string(), asked.to_ascii_lowercase());
    match asked.strip_prefix("r_") {
        Some(digits) => id.ends_with(digits),
        None => id.starts_with(&asked),
    }
}
