//! How a journal stands, read within fixed bounds whatever its size.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Board, Error, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::baseline::Spread;
use midwatch_observe::standing::{BudgetUse, Standing, budget, share};
use midwatch_observe::why::Owner;
use midwatch_workflow::{Budget, Money, RunId, Timestamp};

use crate::facts::owner;
use crate::row::{row, status};

/// So many open runs of each status are counted.
const COUNTED_MAX: usize = 1_000_000;
/// So many runs are looked at: those silent for longest, parked ones, and those that ended lately.
const QUIET_MAX: usize = 2_000;
const PARKED_MAX: usize = 1_000;
const ENDED_MAX: usize = 2_000;
/// So many of the costliest open runs, and the events of so many of them.
const COSTLY_MAX: usize = 200;
const BUDGETS_MAX: usize = 50;
const BUDGET_EVENTS_MAX: u64 = 2_000;
/// So many completed runs say what is usual for a workflow, for so many workflows, and that is kept for so long.
const USUAL_MAX: usize = 300;
const WORKFLOWS_MAX: usize = 50;
const USUAL_KEPT: Duration = Duration::from_secs(60);
/// What `lately` means: the first of these in which no more runs ended than are looked at.
const LATELY: [Duration; 3] = [Duration::from_secs(3_600), Duration::from_secs(600), Duration::from_secs(60)];
/// So many letters are counted.
const LETTERS_MAX: usize = 10_000;

/// Reads how a journal stands, again and again; what seldom changes is kept in between.
#[derive(Debug, Default)]
pub struct Surveyor {
    usual: HashMap<String, (Timestamp, Option<Spread<Money>>)>,
    budgets: HashMap<RunId, (u64, Option<Budget>)>,
}

impl Surveyor {
    /// Reads how the journal stands now.
    ///
    /// # Errors
    /// What the journal says.
    pub fn survey(&mut self, journal: &SqliteJournal, now: Timestamp) -> Result<Standing, Error> {
        use Status::{Compensating, Parked, Paused, Running, Waiting};
        let list = |statuses: Vec<Status>, order, limit| {
            journal.runs(&RunQuery { statuses, order, limit, ..RunQuery::default() })
        };
        let mut quiet = list(vec![Running, Compensating], Order::Stalest, QUIET_MAX)?;
        quiet.extend(list(vec![Waiting], Order::Stalest, QUIET_MAX)?);
        let parked = list(vec![Parked], Order::Oldest, PARKED_MAX)?;
        let open = vec![Running, Waiting, Compensating, Paused, Parked];
        let costly = list(open, Order::Costliest, COSTLY_MAX)?;
        let (ended, lately) = ended_lately(journal, now)?;
        let budgets = self.budgets(journal, &costly)?;
        let spenders: Vec<&RunSummary> =
            costly.iter().chain(&ended).filter(|run| run.spent.cost > Money::ZERO).collect();
        let usual = self.usual(journal, &spenders, now)?;
        let counts = journal.open_runs(COUNTED_MAX)?;
        let letters = journal.letters(&[], LETTERS_MAX)?;
        let owner = owner(journal.path());
        // What a process that is gone showed of its gates holds no longer.
        let board = match owner {
            Owner::Nobody => None,
            Owner::Process { .. } | Owner::Unknown => Board::read(journal.path()).ok().flatten(),
        };
        Ok(Standing {
            now,
            owner,
            open: counts.into_iter().map(|(workflow, at, runs)| (workflow, status(at), runs)).collect(),
            quiet: quiet.iter().map(row).collect(),
            parked: parked.iter().map(row).collect(),
            spenders: spenders.into_iter().map(row).collect(),
            lately,
            usual,
            budgets,
            gates: board.map(|board| board.gates).unwrap_or_default(),
            letters: letters.len() as u64,
            oldest_letter: letters.first().map(|letter| letter.at),
        })
    }

    /// What the costliest open runs have spent of their budgets. A budget is in the events alone.
    fn budgets(&mut self, journal: &SqliteJournal, costly: &[RunSummary]) -> Result<Vec<BudgetUse>, Error> {
        let mut found = Vec::new();
        let mut kept = HashMap::new();
        for run in costly.iter().take(BUDGETS_MAX).filter(|run| run.events <= BUDGET_EVENTS_MAX) {
            let known = self.budgets.remove(&run.run).filter(|(events, _)| *events == run.events);
            let (events, limit) = match known {
                Some(known) => known,
                None => (run.events, budget(&journal.events(run.run, 0)?)),
            };
            if let Some(limit) = &limit {
                let share = share(limit, &run.spent);
                found.push(BudgetUse { run: run.run, workflow: run.workflow.clone(), share });
            }
            kept.insert(run.run, (events, limit));
        }
        self.budgets = kept;
        Ok(found)
    }

    fn usual(
        &mut self,
        journal: &SqliteJournal,
        spenders: &[&RunSummary],
        now: Timestamp,
    ) -> Result<BTreeMap<String, Spread<Money>>, Error> {
        let mut found = BTreeMap::new();
        let mut kept = HashMap::new();
        for run in spenders {
            if kept.contains_key(&run.workflow) || kept.len() == WORKFLOWS_MAX {
                continue;
            }
            let known = self.usual.remove(&run.workflow).filter(|(at, _)| now.since(*at) < USUAL_KEPT);
            let (at, spread) = match known {
                Some(known) => known,
                None => (now, cost_of(journal, &run.workflow)?),
            };
            found.extend(spread.map(|spread| (run.workflow.clone(), spread)));
            kept.insert(run.workflow.clone(), (at, spread));
        }
        self.usual = kept;
        Ok(found)
    }
}

/// What the latest completed runs of a workflow cost, where everything was priced.
fn cost_of(journal: &SqliteJournal, workflow: &str) -> Result<Option<Spread<Money>>, Error> {
    let runs = journal.runs(&RunQuery {
        workflow: Some(workflow.to_owned()),
        statuses: vec![Status::Completed],
        limit: USUAL_MAX,
        ..RunQuery::default()
    })?;
    let priced = runs.iter().filter(|run| run.spent.unpriced == 0 && run.spent.cost > Money::ZERO);
    Ok(Spread::of(priced.map(|run| run.spent.cost).collect()).and_then(Spread::if_enough))
}

/// The runs that ended lately, and what that means.
fn ended_lately(journal: &SqliteJournal, now: Timestamp) -> Result<(Vec<RunSummary>, Duration), Error> {
    let statuses: Vec<Status> = Status::ALL.into_iter().filter(|status| status.is_ended()).collect();
    let mut found = (Vec::new(), LATELY[0]);
    for lately in LATELY {
        let micros = u64::try_from(lately.as_micros()).unwrap_or(u64::MAX);
        let from = Timestamp::from_micros(now.as_micros().saturating_sub(micros));
        let ended = journal.runs(&RunQuery {
            statuses: statuses.clone(),
            updated_from: Some(from),
            order: Order::Stalest,
            limit: ENDED_MAX,
            ..RunQuery::default()
        })?;
        let is_all = ended.len() < ENDED_MAX;
        found = (ended, lately);
        if is_all {
            break;
        }
    }
    Ok(found)
}
