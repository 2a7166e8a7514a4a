//! What stands before the attempts of a process: queues, gates of targets, budgets that many runs share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use midwatch_gates::{Gates, TargetGate};
use midwatch_journal::{Error, Journal};
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{Budget, Class, Failure, Name, RunInfo};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::budget::{Budgets, OwnBudget, RunAccount, SharedBudgets};
use crate::place::{Places, Wish};
use crate::queue::Queues;
use crate::{AdmissionOptions, Clock, board, seed};

/// What all attempts of a process share before they start.
pub struct Admissions {
    pub(crate) queues: Queues,
    pub(crate) gates: Gates,
    budgets: Arc<Budgets>,
    pub(crate) clock: Clock,
    pub(crate) worker: String,
    pub(crate) board: Option<PathBuf>,
}

impl Admissions {
    /// Opens them, with what the journal tells of budgets and the board beside it of gates. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn open(journal: &Arc<dyn Journal>, options: AdmissionOptions) -> Result<Self, Error> {
        let AdmissionOptions { worker, clock, queues, gates, budgets } = options;
        let (known, board) = (board::known(&gates), gates.board.clone());
        Ok(Self {
            queues: Queues::new(&queues),
            budgets: open_budgets(journal, &budgets, clock).await?,
            board,
            gates: Gates::new(move |target| gates.policy(target), clock, known),
            clock,
            worker,
        })
    }

    /// The gates of all targets that turned up: what they know of their targets, and how many attempts wait at them.
    pub fn gates(&self) -> Vec<GateView> {
        self.gates.views()
    }

    /// The account of a run for an attempt that may still spend `attempt`; none if no budget concerns it.
    pub fn account(
        &self,
        run: &RunInfo,
        own: OwnBudget,
        attempt: Option<&Budget>,
    ) -> Option<Arc<RunAccount>> {
        self.budgets.account(run, own, attempt)
    }

    /// The gate of a target, unless it has none.
    pub fn gate(&self, target: Option<&Name>) -> Option<Arc<TargetGate>> {
        self.gates.of(target)
    }

    /// Waits for all places that an attempt needs, for an engine that has nothing else to do for it meanwhile.
    ///
    /// # Errors
    /// Class `timeout`, if they were not there within `limit`.
    pub async fn admit(&self, wish: Wish<'_>, limit: Duration) -> Result<Places, Failure> {
        let mut places = Places::default();
        let admitted = timeout(limit, async {
            while let Some(waits) = places.take(self, wish) {
                let (admit, admitted) = oneshot::channel();
                places.wait(self, wish, waits, move |place| drop(admit.send(place)));
                if let Ok(place) = admitted.await {
                    places.add(place);
                }
            }
        });
        match admitted.await {
            Ok(()) => Ok(places),
            Err(_) => {
                let message = format!("{} within {limit:?}", places.missing(wish));
                Err(Failure::new(Class::Timeout, message))
            }
        }
    }

    /// Shows other processes how the gates stand, for ever; if nobody asked for that, it does nothing.
    pub async fn show(&self) {
        if self.board.is_some() {
            board::show(self).await;
        }
    }

    /// Shows it for the last time.
    pub fn show_last(&self) {
        board::show_last(self);
    }
}

/// Reads what was spent of the budgets that many runs share; without any, nothing is read.
async fn open_budgets(
    journal: &Arc<dyn Journal>,
    budgets: &SharedBudgets,
    clock: Clock,
) -> Result<Arc<Budgets>, Error> {
    let rules = budgets.rules();
    if rules.is_empty() {
        return Ok(Budgets::new(rules, &[], clock));
    }
    let journal = Arc::clone(journal);
    let spent = tokio::task::spawn_blocking(move || {
        let spent = seed::spent(&*journal, &rules, clock.now())?;
        Ok(Budgets::new(rules, &spent, clock))
    });
    spent.await.unwrap_or(Err(Error::Closed))
}
