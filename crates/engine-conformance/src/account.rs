//! What came of an exercise: the journals of all its runs, and what was done to the world.

use midwatch_journal::Fold;
use midwatch_journal::story::{story, story_without_crashes};
use midwatch_workflow::{Event, EventKind, RunId};

use crate::{Code, Stage, Trouble, check_laws};

/// What came of an exercise.
#[derive(Clone, Debug)]
pub struct Account {
    /// The events of each run: those that were started, their children, forks.
    pub runs: Vec<Vec<Event>>,
    /// What was done in the world, each under its key once.
    pub effects: Vec<String>,
    /// How many requests the receivers had seen before.
    pub repeats: usize,
    /// The code that the engine had at the end.
    pub code: Code,
}

impl Account {
    /// Takes stock of a stage, and checks the laws of the journal and that lists show what the journal says.
    pub(crate) fn of(stage: &Stage) -> Result<Self, Trouble> {
        let mut runs: Vec<RunId> = stage.started().to_vec();
        let mut accounts = Vec::new();
        let mut next = 0;
        while let Some(run) = runs.get(next).copied() {
            next += 1;
            let events = stage.events_of(run)?;
            check_laws(&events)
                .map_err(|why| Trouble::new(format!("{why}\n{}", story(&events).join("\n"))))?;
            check_summary(stage, run, &events)?;
            runs.extend(children(&events).filter(|child| !runs.contains(child)).collect::<Vec<_>>());
            accounts.push(events);
        }
        Ok(Self {
            runs: accounts,
            effects: stage.world.effects(),
            repeats: stage.world.repeats(),
            code: stage.code().clone(),
        })
    }

    /// The journals as lines, a blank line between runs.
    pub fn story(&self) -> String {
        self.tell(story)
    }

    /// The same without the traces of crashes.
    pub fn story_without_crashes(&self) -> String {
        self.tell(story_without_crashes)
    }

    fn tell(&self, tell: impl Fn(&[Event]) -> Vec<String>) -> String {
        let stories: Vec<String> = self.runs.iter().map(|events| tell(events).join("\n")).collect();
        stories.join("\n\n") + "\n"
    }
}

fn children(events: &[Event]) -> impl Iterator<Item = RunId> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::ChildStarted { run, .. } => Some(*run),
        _ => None,
    })
}

/// The summary of an idle or ended run is exact, not only soon to be.
fn check_summary(stage: &Stage, run: RunId, events: &[Event]) -> Result<(), Trouble> {
    let Some(fold) = Fold::of(events) else { return Err(Trouble::new(format!("run {run} has no start"))) };
    let listed = stage.harness().journal().run(run).map_err(|error| Trouble::new(error.to_string()))?;
    let is_still = fold.is_idle() || fold.summary.ended_at.is_some();
    if is_still && listed.as_ref() != Some(&fold.summary) {
        let what = format!("lists show {listed:#?}\nbut the journal says {:#?}", fold.summary);
        return Err(Trouble::new(what));
    }
    Ok(())
}
