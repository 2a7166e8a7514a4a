//! Finding the run that somebody means: by id, short id, first digits, or workflow id.

use midwatch_journal::{Journal, RunQuery, RunSummary};
use midwatch_workflow::RunId;

use crate::error::Error;
use crate::output::text::clean;

/// The fewest hex digits that are taken for the beginning of an id.
const DIGITS_MIN: usize = 4;
/// So many runs are looked at; more of a name are as good as ambiguous.
const LOOK_MAX: usize = 1_000;
/// So many candidates are told.
const TELL_MAX: usize = 8;

/// Finds the one run that `asked` names.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Ambiguous`], or what the journal says.
pub(crate) fn find(journal: &dyn Journal, asked: &str, db: &str) -> anyhow::Result<RunSummary> {
    if let Ok(run) = asked.parse::<RunId>()
        && let Some(found) = journal.run(run)?
    {
        return Ok(found);
    }
    let by_workflow_id =
        RunQuery { workflow_id: Some(asked.to_owned()), limit: LOOK_MAX, ..RunQuery::default() };
    let mut found = journal.runs(&by_workflow_id)?;
    if found.is_empty() && is_part_of_id(asked) {
        let text = RunQuery { text: Some(asked.to_owned()), limit: LOOK_MAX, ..RunQuery::default() };
        found = journal.runs(&text)?;
        found.retain(|run| is_named(run.run, asked));
    }
    match found.len() {
        0 => Err(Error::NotFound { asked: clean(asked).into_owned(), db: db.to_owned() }.into()),
        1 => Ok(found.remove(0)),
        _ => {
            Err(Error::Ambiguous { asked: clean(asked).into_owned(), candidates: candidates(&found) }.into())
        }
    }
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

fn candidates(found: &[RunSummary]) -> Vec<String> {
    let line = |run: &RunSummary| {
        let origin = match (run.forked_from, run.parent) {
            (Some(fork), _) => format!(", fork of {}", fork.run.short()),
            (None, Some(parent)) => format!(", child of {}", parent.run.short()),
            (None, None) => String::new(),
        };
        let (workflow, id) = (clean(&run.workflow), clean(run.workflow_id.as_str()));
        format!("{}  {workflow} {id}, {}{origin}", run.run, run.status)
    };
    let mut lines: Vec<String> = found.iter().take(TELL_MAX).map(line).collect();
    if found.len() > TELL_MAX {
        lines.push(format!("… and {} more", found.len() - TELL_MAX));
    }
    lines
}
