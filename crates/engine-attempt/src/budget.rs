//! Budgets while attempts run: what each may still spend, together with all others that draw on the same budgets.
//!
//! A run's own budget is shared by its steps; those of a workflow's day and of a tenant by many runs. What an attempt
//! reserves, books and settles is counted in all of them at once. Nothing of it is stored: the journal has every charge,
//! and a start reads from there what is spent already ([`seed`](crate::seed)).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use midwatch_workflow::pool::{Lifted, Refusal, ask_all};
use midwatch_workflow::{Amount, Budget, Charge, Failure, Money, Name, Pool, RunInfo, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::Clock;

/// How long a call waits for others to give back what they reserved.
const HELD_MAX: Duration = Duration::from_secs(60);
/// How often a call that waits says that it is alive.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// Budgets that many runs share. Days are those of UTC: a day's budget is whole again at midnight.
#[derive(Clone, Debug, Default)]
pub struct SharedBudgets {
    /// What all runs of a workflow together may spend in a day.
    pub workflow_day: HashMap<Name, Budget>,
    /// What all runs for a tenant together may spend in a day.
    pub tenant_day: HashMap<String, Budget>,
    /// What all runs for a tenant together may spend, ever.
    pub tenant: HashMap<String, Budget>,
}

/// Whose spend a shared budget counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Payers {
    Workflow(Name),
    Tenant(String),
}

/// One shared budget.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) payers: Payers,
    pub(crate) is_daily: bool,
    budget: Budget,
}

impl SharedBudgets {
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let workflow = self.workflow_day.iter().map(|(name, budget)| Rule {
            payers: Payers::Workflow(name.clone()),
            is_daily: true,
            budget: *budget,
        });
        let tenant = |budgets: &HashMap<String, Budget>, is_daily| -> Vec<Rule> {
            let rule = |(name, budget): (&String, &Budget)| Rule {
                payers: Payers::Tenant(name.clone()),
                is_daily,
                budget: *budget,
            };
            budgets.iter().map(rule).collect()
        };
        workflow.chain(tenant(&self.tenant_day, true)).chain(tenant(&self.tenant, false)).collect()
    }
}

impl Rule {
    fn name(&self) -> String {
        match (&self.payers, self.is_daily) {
            (Payers::Workflow(name), _) => format!("workflow {name}, today (UTC)"),
            (Payers::Tenant(name), true) => format!("tenant {name}, today (UTC)"),
            (Payers::Tenant(name), false) => format!("tenant {name}, in all"),
        }
    }

    fn concerns(&self, run: &RunInfo) -> bool {
        match &self.payers {
            Payers::Workflow(name) => *name == run.workflow,
            Payers::Tenant(name) => run.tenant.as_ref() == Some(name),
        }
    }
}

/// The shared budgets of an engine, in use.
pub(crate) struct Budgets {
    rules: Vec<Rule>,
    clock: Clock,
    shared: Mutex<Shared>,
    /// Rings when a call settles.
    settled: Notify,
}

struct Shared {
    day: u64,
    /// One for each rule.
    pools: Vec<Pool>,
}

impl Budgets {
    /// `spent` is what was spent of each rule's budget before.
    pub(crate) fn new(rules: Vec<Rule>, spent: &[Amount], clock: Clock) -> Arc<Self> {
        let pools = rules.iter().zip(spent).map(|(rule, spent)| Pool::new(rule.name(), rule.budget, *spent));
        let shared = Mutex::new(Shared { day: day_of(clock.now()), pools: pools.collect() });
        Arc::new(Self { rules, clock, shared, settled: Notify::new() })
    }

    /// No foreign code runs under the lock, so a poisoned one still holds a whole state.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let today = day_of(self.clock.now());
        if shared.day != today {
            shared.day = today;
            let daily = shared.pools.iter_mut().zip(&self.rules).filter(|(_, rule)| rule.is_daily);
            daily.for_each(|(pool, _)| pool.begin_again());
        }
        shared
    }

    /// The places of the budgets that concern a run.
    fn concerning(&self, run: &RunInfo) -> Vec<usize> {
        self.rules.iter().enumerate().filter(|(_, rule)| rule.concerns(run)).map(|(place, _)| place).collect()
    }
}

/// The day, in days since 1970 UTC.
pub(crate) fn day_of(at: Timestamp) -> u64 {
    at.as_micros() / (24 * 3600 * 1_000_000)
}

/// What one run has spent and may spend.
pub struct RunAccount {
    budgets: Arc<Budgets>,
    /// Its places in `budgets`.
    shared: Vec<usize>,
    own: Mutex<Own>,
}

struct Own {
    /// Without a limit if the run has no budget of its own.
    pool: Pool,
    /// How far the run may go whatever the shared budgets say.
    cleared: Option<Amount>,
}

/// What one attempt draws on.
pub struct Account {
    run: Arc<RunAccount>,
    step: Option<Mutex<Pool>>,
    /// Undoing costs what it costs: it is counted and never refused.
    is_exempt: bool,
}

/// What a run may spend by itself, and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OwnBudget {
    /// Its budget, if it has any.
    pub budget: Option<Budget>,
    /// How far it may go whatever the shared budgets say: see [`Execution::cleared`](midwatch_workflow::Execution::cleared).
    pub cleared: Option<Amount>,
    /// What it has spent already.
    pub spent: Amount,
}

impl Budgets {
    /// The account of a run for an attempt of it; none if no budget concerns it.
    pub(crate) fn account(
        self: &Arc<Self>,
        run: &RunInfo,
        own: OwnBudget,
        attempt: Option<&Budget>,
    ) -> Option<Arc<RunAccount>> {
        let shared = self.concerning(run);
        if shared.is_empty() && own.budget.is_none() && attempt.is_none() {
            return None;
        }
        let pool = Pool::new("run", own.budget.unwrap_or_default(), own.spent);
        let own = Mutex::new(Own { pool, cleared: own.cleared });
        Some(Arc::new(RunAccount { budgets: Arc::clone(self), shared, own }))
    }
}

impl RunAccount {
    /// The account of an attempt of the run at a step that may still spend `left`. Undoing is counted and never refused.
    pub fn attempt(self: &Arc<Self>, step: &str, left: Option<Budget>, is_undoing: bool) -> Arc<Account> {
        let step = left.map(|left| Mutex::new(Pool::new(format!("step {step}"), left, Amount::default())));
        Arc::new(Account { run: Arc::clone(self), step, is_exempt: is_undoing })
    }

    /// A person lets the run spend more.
    pub fn raise(&self, usd: Money, tokens: u64) {
        let mut own = self.own();
        own.pool.raise(usd, tokens);
        own.cleared = Some(Amount { usd, tokens }.clears(own.cleared, own.pool.spent()));
        drop(own);
        self.budgets.settled.notify_waiters();
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes all shared budgets of the run; those of others are not touched.
    fn change_shared(&self, change: impl Fn(&mut Pool)) {
        if !self.shared.is_empty() {
            let mut shared = self.budgets.lock();
            self.shared.iter().for_each(|place| change(&mut shared.pools[*place]));
        }
    }

    fn change(&self, change: impl Fn(&mut Pool)) {
        self.change_shared(&change);
        change(&mut self.own().pool);
    }
}

impl Account {
    fn change(&self, change: impl Fn(&mut Pool)) {
        self.run.change(&change);
        if let Some(step) = &self.step {
            change(&mut step.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The gate before an attempt: says which budget of the run or beyond is spent.
    pub fn reached(&self) -> Option<Failure> {
        if self.is_exempt {
            return None;
        }
        let shared = self.run.budgets.lock();
        let own = self.run.own();
        let lifted = Amount { usd: Money::from_picos(1), tokens: 1 }.lifts(own.cleared, own.pool.taken());
        let shared = || self.run.shared.iter().find_map(|place| shared.pools[*place].reached(lifted));
        own.pool.reached(Lifted::default()).or_else(shared).map(Failure::from)
    }

    /// Sets aside what a call may take; waits while only what other calls reserved stands in the way.
    ///
    /// # Errors
    /// Class `budget`.
    pub(crate) async fn reserve(&self, bound: &Charge, alive: impl Fn()) -> Result<(), Failure> {
        let amount = Amount::from(bound);
        let until = Instant::now() + HELD_MAX;
        loop {
            // Before the look, so that no settling between the two goes unheard.
            let mut settled = std::pin::pin!(self.run.budgets.settled.notified());
            settled.as_mut().enable();
            match self.try_reserve(amount) {
                Ok(()) => return Ok(()),
                Err(refusal) if !refusal.is_held || Instant::now() >= until => return Err(refusal.into()),
                Err(_) => {}
            }
            alive();
            // Whichever comes first, the next look tells.
            let _ = timeout(SIGN_EVERY, settled).await;
        }
    }

    fn try_reserve(&self, amount: Amount) -> Result<(), Refusal> {
        // Locked in this order everywhere: shared, run, step.
        let mut shared = self.run.budgets.lock();
        let mut own = self.run.own();
        let mut step = self.step.as_ref().map(|step| step.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.is_exempt {
            let lifted = amount.lifts(own.cleared, own.pool.taken());
            let beyond = self.run.shared.iter().map(|place| (&shared.pools[*place], lifted));
            let within = step.as_deref().into_iter().chain([&own.pool]).map(|pool| (pool, Lifted::default()));
            ask_all(within.chain(beyond), amount)?;
        }
        self.run.shared.iter().for_each(|place| shared.pools[*place].reserve(amount));
        own.pool.reserve(amount);
        if let Some(step) = &mut step {
            step.reserve(amount);
        }
        Ok(())
    }

    /// Counts what was spent without a reservation.
    pub(crate) fn spend(&self, charge: &Charge) {
        self.change(|pool| pool.spend(charge.into()));
    }

    /// Puts what a call took in the place of what was set aside for it.
    pub(crate) fn settle(&self, reserved: &Charge, spent: Option<&Charge>) {
        let (reserved, spent) = (Amount::from(reserved), spent.map(Amount::from).unwrap_or_default());
        self.change(|pool| pool.settle(reserved, spent));
        self.run.budgets.settled.notify_waiters();
    }
}
