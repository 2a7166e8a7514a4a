//! What `why` needs of a run and its surroundings, read within fixed bounds.

use std::path::Path;
use std::sync::Arc;

use midwatch_journal::{Board, Error, Journal, Lease, Order, RunQuery, RunSummary, Status};
use midwatch_observe::why::{Answer, Facts, Gate, Owner, Relative, ShortAnswer, why};
use midwatch_observe::{Baselines, Profile, Run, Timeline};
use midwatch_workflow::{Event, EventKind, RunId, Timestamp};

use crate::memory::{Memory, Samples};
use crate::row::row;

/// So many completed runs of a workflow are compared with, the latest.
const USUAL_MAX: usize = 300;
/// So many of them are looked at event by event.
const PROFILES_MAX: usize = 30;
/// And so many events of them at most.
const PROFILE_EVENTS_MAX: u64 = 3_000;
/// So many other open runs are looked at: the newest, those that have been silent for longest, and parked ones.
const NEWEST_MAX: usize = 200;
const SILENT_MAX: usize = 100;
const PARKED_MAX: usize = 50;
/// So many children are asked in turn, and so deep.
const CHILDREN_MAX: usize = 10;
const DEPTH_MAX: u32 = 3;

/// Asks a journal about runs at one moment. What is usual for a workflow is read once.
pub struct Inspector<'j> {
    journal: &'j dyn Journal,
    now: Timestamp,
    owner: Owner,
    gates: Vec<Gate>,
    memory: Arc<Memory>,
}

impl<'j> Inspector<'j> {
    /// Asks at `now`; `owner` is who owns the journal.
    pub fn new(journal: &'j dyn Journal, now: Timestamp, owner: Owner) -> Self {
        Self { journal, now, owner, gates: Vec::new(), memory: Arc::default() }
    }

    /// With what earlier questions found out, as far as it is fresh enough.
    #[must_use]
    pub fn with_memory(self, memory: Arc<Memory>) -> Self {
        Self { memory, ..self }
    }

    /// With what is known of gates; see [`gates`].
    #[must_use]
    pub fn with_gates(self, gates: Vec<Gate>) -> Self {
        Self { gates, ..self }
    }

    /// Says why a run is as it is.
    ///
    /// # Errors
    /// What the journal says.
    pub fn why(&self, run: RunId) -> Result<Answer, Error> {
        self.facts(run).map(|facts| why(&facts))
    }

    /// Reads what an answer is computed from.
    ///
    /// # Errors
    /// What the journal says.
    pub fn facts(&self, run: RunId) -> Result<Facts, Error> {
        self.facts_of(self.journal.events(run, 0)?, 0)
    }

    /// Says why the run of these events, all of them, is as it is.
    ///
    /// # Errors
    /// What the journal says.
    pub fn why_of(&self, events: Vec<Event>) -> Result<Answer, Error> {
        self.facts_of(events, 0).map(|facts| why(&facts))
    }

    fn facts_of(&self, events: Vec<Event>, depth: u32) -> Result<Facts, Error> {
        let Some(EventKind::RunStarted(start)) = events.first().map(|event| &event.kind) else {
            return Ok(Facts::new(events, self.now));
        };
        let run = start.run;
        let baselines = self.samples(&start.workflow)?.usual(Some(run));
        let neighbours = if depth == 0 { self.neighbours(run)? } else { Vec::new() };
        let children = self.children(&events, depth)?;
        let (owner, gates) = (self.owner.clone(), self.gates.clone());
        Ok(Facts { owner, gates, baselines, neighbours, children, ..Facts::new(events, self.now) })
    }

    /// What is usual for a workflow: its latest completed runs.
    ///
    /// # Errors
    /// What the journal says.
    pub fn usual(&self, workflow: &str) -> Result<Baselines, Error> {
        Ok(self.samples(workflow)?.usual(None))
    }

    fn samples(&self, workflow: &str) -> Result<Arc<Samples>, Error> {
        match self.memory.samples(workflow, self.now) {
            Some(known) => Ok(known),
            None => Ok(self.memory.keep_samples(workflow, self.find_samples(workflow)?, self.now)),
        }
    }

    fn find_samples(&self, workflow: &str) -> Result<Samples, Error> {
        let runs = self.journal.runs(&RunQuery {
            workflow: Some(workflow.to_owned()),
            statuses: vec![Status::Completed],
            limit: USUAL_MAX,
            ..RunQuery::default()
        })?;
        let mut profiles = Vec::new();
        let mut left = PROFILE_EVENTS_MAX;
        for run in runs.iter().take(PROFILES_MAX) {
            if run.events > left {
                continue;
            }
            left -= run.events;
            let events = self.journal.events(run.run, 0)?;
            let profile = Timeline::of(&events).map(|told| Profile::of(&told, &events, self.now));
            profiles.extend(profile.map(|profile| (run.run, profile)));
        }
        Ok(Samples { runs: runs.iter().map(row).collect(), profiles })
    }

    fn neighbours(&self, run: RunId) -> Result<Vec<Run>, Error> {
        let known = match self.memory.neighbours(self.now) {
            Some(known) => known,
            None => self.memory.keep_neighbours(self.find_neighbours()?, self.now),
        };
        Ok(known.iter().filter(|other| other.run != run).cloned().collect())
    }

    fn find_neighbours(&self) -> Result<Vec<Run>, Error> {
        use Status::{Compensating, Parked, Running, Waiting};
        let mut found: Vec<Run> = Vec::new();
        for (statuses, order, limit) in [
            (vec![Running, Waiting, Compensating], Order::Newest, NEWEST_MAX),
            (vec![Running, Compensating], Order::Stalest, SILENT_MAX),
            (vec![Parked], Order::Newest, PARKED_MAX),
        ] {
            let query = RunQuery { statuses, order, limit, ..RunQuery::default() };
            found.extend(self.journal.runs(&query)?.iter().map(row));
        }
        found.sort_by_key(|run| run.run);
        found.dedup_by_key(|run| run.run);
        Ok(found)
    }

    /// The children that were started and not told as ended.
    fn children(&self, events: &[Event], depth: u32) -> Result<Vec<Relative>, Error> {
        let ended = |op| {
            events.iter().any(|event| matches!(event.kind, EventKind::ChildEnded { op: id, .. } if id == op))
        };
        let open = events.iter().filter_map(|event| match &event.kind {
            EventKind::ChildStarted { op, run, .. } if !ended(*op) => Some(*run),
            _ => None,
        });
        let mut children = Vec::new();
        for child in open.take(CHILDREN_MAX) {
            let Some(summary) = self.journal.run(child)? else { continue };
            let answer = if depth < DEPTH_MAX { Some(self.in_short(&summary, depth)?) } else { None };
            children.push(Relative { run: row(&summary), answer });
        }
        Ok(children)
    }

    fn in_short(&self, child: &RunSummary, depth: u32) -> Result<ShortAnswer, Error> {
        let answer = why(&self.facts_of(self.journal.events(child.run, 0)?, depth + 1)?);
        Ok(ShortAnswer { verdict: answer.verdict, cause: answer.cause, headline: answer.headline })
    }
}

/// Says how the gates stand in the process that owns the journal in a file. What cannot be read is not known.
pub fn gates(path: impl AsRef<Path>) -> Vec<Gate> {
    gates_of(Board::read(path.as_ref()).ok().flatten())
}

/// Says how gates stand by what an owner shows of them.
pub fn gates_of(board: Option<Board>) -> Vec<Gate> {
    let gates = board.map(|board| board.gates).unwrap_or_default();
    gates
        .into_iter()
        .map(|gate| Gate {
            target: gate.target.into_owned(),
            closed_until: gate.state.closed.map(|closed| closed.until),
        })
        .collect()
}

/// Says who owns the journal in a file.
pub fn owner(path: impl AsRef<Path>) -> Owner {
    owner_of(Lease::owner(path))
}

/// Says who owns a journal by the words of its lease.
pub fn owner_of(lease: Option<String>) -> Owner {
    let Some(name) = lease else { return Owner::Nobody };
    let since = name.rsplit_once(" since ").and_then(|(_, since)| since.parse::<jiff::Timestamp>().ok());
    let since =
        since.and_then(|since| u64::try_from(since.as_microsecond()).ok()).map(Timestamp::from_micros);
    let name = name.split(" since ").next().unwrap_or(&name).to_owned();
    Owner::Process { name, since }
}
