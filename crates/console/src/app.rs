//! What all requests share: the journal, what earlier requests found out, and how the console is set up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use midwatch_inspect::{CostQuery, Inspector, Memory, gates, owner};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_observe::cost::{By, Report};
use midwatch_observe::why::Answer;
use midwatch_workflow::{RunId, Timestamp};

use crate::access::Door;
use crate::error::Trouble;
use crate::keep::Kept;
use crate::live::Live;
use crate::pages::cost::CostView;
use crate::pages::notes::Notes;
use crate::pages::now::Snapshot;
use crate::pages::stalls::Board;
use crate::pages::workflows::Workflows;
use crate::settings::Settings;
use crate::shelf::{Shelf, Told};
use crate::shown::Shown;
use crate::verdicts::Verdicts;

/// What all requests share.
pub(crate) struct App {
    pub(crate) journal: SqliteJournal,
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) door: Door,
    pub(crate) memory: Arc<Memory>,
    pub(crate) shelf: Shelf,
    pub(crate) live: Live,
    pub(crate) notes: Notes,
    pub(crate) answers: Kept<(RunId, u64), Answer>,
    pub(crate) verdicts: Verdicts,
    pub(crate) snapshot: Kept<(), Snapshot>,
    pub(crate) board: Kept<(), Board>,
    pub(crate) workflows: Kept<(), Workflows>,
    pub(crate) costs: Kept<CostView, (Report, bool)>,
    pub(crate) pages: Kept<String, Shown>,
}

/// The answer about a run that has not changed is asked for again after so long: time passes.
const ANSWER_AGE: Duration = Duration::from_secs(5);
const SNAPSHOT_AGE: Duration = Duration::from_secs(1);
const REPORT_AGE: Duration = Duration::from_secs(15);

impl App {
    pub(crate) fn new(journal: SqliteJournal, settings: Settings, door: Door) -> Self {
        Self {
            path: journal.path().to_owned(),
            journal,
            settings,
            door,
            memory: Arc::default(),
            shelf: Shelf::default(),
            live: Live::new(),
            notes: Notes::default(),
            answers: Kept::new(ANSWER_AGE, 500),
            verdicts: Verdicts::default(),
            snapshot: Kept::new(SNAPSHOT_AGE, 1),
            board: Kept::new(SNAPSHOT_AGE, 1),
            workflows: Kept::new(REPORT_AGE, 1),
            costs: Kept::new(REPORT_AGE, 100),
            pages: Kept::new(Duration::ZERO, 500),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    /// Asks as the command line does, with what was found out before.
    pub(crate) fn inspector(&self) -> Inspector<'_> {
        Inspector::new(&self.journal, self.now(), owner(&self.path))
            .with_gates(gates(&self.path))
            .with_memory(Arc::clone(&self.memory))
    }

    /// Why a run is as it is.
    pub(crate) fn why(self: &Arc<Self>, told: &Arc<Told>) -> Result<Arc<Answer>, Trouble> {
        let key = (told.summary.run, told.events.len() as u64);
        let told = Arc::clone(told);
        self.answers.get(self, key, move |app, _| Ok(app.inspector().why_of(told.events.to_vec())?))
    }

    /// What runs cost.
    pub(crate) fn cost(self: &Arc<Self>, view: &CostView) -> Result<Arc<(Report, bool)>, Trouble> {
        self.costs.get(self, view.clone(), |app, view| {
            let since = view.since(app.now());
            let (workflow, tenant) = (view.workflow.clone(), view.tenant.clone());
            let looked_at_max = if view.by == By::Step { 300 } else { 0 };
            let query = CostQuery { workflow, tenant, since, looked_at_max, ..CostQuery::default() };
            Ok(midwatch_inspect::cost(&app.journal, &query, view.by)?)
        })
    }
}
