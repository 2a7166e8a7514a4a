//! A crash at every append, and what must be the same after each.

use std::fmt;
use std::sync::Arc;

use midwatch_engine_embedded::Clock;
use midwatch_journal::Journal;
use midwatch_journal::memory::{CrashingJournal, MemoryJournal, When};
use midwatch_journal::story::{story, story_without_crashes};
use midwatch_workflow::{Engine as _, EngineError, Name, NewRun, Payload, RunId, RunResult, WorkflowId};

use super::image::{Life, NEVER, answer_signals, clock, open, runtime, told};
use super::setup::TestSetup;

/// What a workflow survived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Survived {
    /// At how many appends its process was killed.
    pub appends: u64,
    /// How many crashes that makes: one before and one after each append's write.
    pub crashes: u64,
}

/// A crash that changed something.
#[derive(Clone, PartialEq, Eq)]
pub struct Difference {
    /// At which append the process was killed, from 1.
    pub append: u64,
    /// Whether the append was still written.
    pub written: bool,
    /// The last that the journal said before the crash.
    pub last_event: String,
    /// What was otherwise, for people.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.written { "just after" } else { "just before" };
        write!(
            f,
            "killed {when} append {} was written, when the journal's last line was `{}`: {}",
            self.append, self.last_event, self.what
        )
    }
}

impl fmt::Debug for Difference {
    /// As it is displayed: `unwrap` shows this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Difference {}

/// How a run ended, and what its journal says.
struct Trial {
    result: RunResult,
    story: Vec<String>,
    appends: u64,
    /// The last line before the crash, if there was one.
    last_event: String,
}

pub(super) fn crash_everywhere(
    setup: &TestSetup,
    workflow: Name,
    input: Payload,
) -> Result<Survived, Difference> {
    let new =
        NewRun { workflow_id: WorkflowId::new("crash-everywhere").ok(), ..NewRun::new(workflow, input) };
    let calm = match attempt(setup, &new, None) {
        Ok(trial) => trial,
        Err(what) => panic!("the run does not end, although nothing crashes: {what}"),
    };
    for append in 1..=calm.appends {
        for when in [When::BeforeWrite, When::AfterWrite] {
            let difference = |last_event: String, what: String| Difference {
                append,
                written: when == When::AfterWrite,
                last_event,
                what,
            };
            let trial = attempt(setup, &new, Some((append, when)))
                .map_err(|what| difference("unknown".to_owned(), what))?;
            if let Some(what) = differs(&calm, &trial) {
                return Err(difference(trial.last_event, what));
            }
        }
    }
    Ok(Survived { appends: calm.appends, crashes: 2 * calm.appends })
}

/// Carries a run out, through a crash if one is planned; the error is a run that does not end.
fn attempt(setup: &TestSetup, new: &NewRun, crash: Option<(u64, When)>) -> Result<Trial, String> {
    let runtime = runtime();
    let clock = clock(&runtime);
    runtime.block_on(async {
        let disk = MemoryJournal::new();
        let journal = CrashingJournal::new(disk.clone());
        let journal = Arc::new(match crash {
            Some((append, when)) => journal.crash_at(append, when),
            None => journal,
        });
        let life = open(setup, &disk, Arc::clone(&journal) as _, clock, 1).await;
        let (run, result, last_event) = match carry_out(setup, &disk, &life, new).await {
            Ok((run, result)) if !journal.is_crashed() => (run, result, String::new()),
            Err(error) if !journal.is_crashed() => return Err(error),
            _ => {
                drop(life);
                let last_event = last_line(&disk);
                let (run, result) = second_life(setup, &disk, clock, new).await?;
                (run, result, last_event)
            }
        };
        let story = disk.events(run, 0).map(|events| story_without_crashes(&events)).unwrap_or_default();
        Ok(Trial { result, story, appends: journal.appends(), last_event })
    })
}

async fn second_life(
    setup: &TestSetup,
    disk: &MemoryJournal,
    clock: Clock,
    new: &NewRun,
) -> Result<(RunId, RunResult), String> {
    let life = open(setup, disk, Arc::new(disk.clone()), clock, 2).await;
    carry_out(setup, disk, &life, new).await
}

/// Starts the run, or finds it, and waits for its end.
async fn carry_out(
    setup: &TestSetup,
    disk: &MemoryJournal,
    life: &Life,
    new: &NewRun,
) -> Result<(RunId, RunResult), String> {
    let run = async {
        let say = |error: EngineError| error.to_string();
        let run = life.engine.start(new.clone()).await.map_err(say)?.run;
        match tokio::time::timeout(NEVER, life.engine.result(run)).await {
            Ok(result) => Ok((run, result.map_err(say)?)),
            Err(_) => Err(format!("the run never ends:\n  {}", told(disk, run))),
        }
    };
    tokio::select! {
        biased;
        ended = run => ended,
        () = answer_signals(setup, disk, life) => Err("signals are no longer answered".to_owned()),
    }
}

/// The last line of the journal of all runs.
fn last_line(disk: &MemoryJournal) -> String {
    let last = disk.since(disk.appends().saturating_sub(1), 1).ok().and_then(|mut rows| rows.pop());
    let last = last.or_else(|| disk.since(0, usize::MAX).ok()?.pop());
    let line = last.and_then(|row| story(&disk.events(row.run, 0).ok()?).pop());
    line.unwrap_or_else(|| "nothing".to_owned())
}

fn differs(calm: &Trial, trial: &Trial) -> Option<String> {
    if outcome(&calm.result) != outcome(&trial.result) {
        return Some(format!("the run ended as {:?} instead of {:?}", trial.result, calm.result));
    }
    // What runs side by side may end in another order after a crash.
    let sorted = |story: &[String]| {
        let mut lines = story.to_vec();
        lines.sort();
        lines
    };
    if sorted(&calm.story) == sorted(&trial.story) {
        return None;
    }
    let same = calm.story.iter().zip(&trial.story).take_while(|(a, b)| a == b).count();
    let line = |story: &[String]| story.get(same).cloned().unwrap_or_else(|| "nothing".to_owned());
    Some(format!(
        "line {} of its story became `{}` instead of `{}`",
        same + 1,
        line(&trial.story),
        line(&calm.story)
    ))
}

/// A result without what a lost attempt adds to it.
fn outcome(result: &RunResult) -> RunResult {
    let mut result = result.clone();
    if let RunResult::Failed { failure, .. } = &mut result {
        failure.attempts = 0;
        failure.ambiguous = false;
    }
    result
}
