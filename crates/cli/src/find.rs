//! The run that somebody means, or what to say instead.

use midwatch_inspect::Found;
use midwatch_journal::RunSummary;

use crate::error::Error;
use crate::output::text::clean;
use crate::source::Source;

/// So many candidates are told.
const TELL_MAX: usize = 8;

/// Finds the one run that `asked` names.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Ambiguous`], or what the journal says.
pub(crate) fn find(source: &Source, asked: &str) -> anyhow::Result<RunSummary> {
    match midwatch_inspect::find(source.journal(), asked)? {
        Found::One(run) => Ok(*run),
        Found::None => {
            Err(Error::NotFound { asked: clean(asked).into_owned(), place: source.name().to_owned() }.into())
        }
        Found::Several(runs) => {
            let candidates = candidates(&runs);
            Err(Error::Ambiguous { asked: clean(asked).into_owned(), candidates }.into())
        }
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
