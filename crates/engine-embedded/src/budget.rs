//! What a run and its attempts draw on, as its driver knows it.

use std::sync::Arc;

use midwatch_engine_attempt::{Account, OwnBudget};
use midwatch_workflow::{Amount, Attempt, Money};

use crate::run::Driver;

impl Driver {
    /// The account of an attempt; none if no budget concerns it.
    pub(crate) fn account(&mut self, attempt: &Attempt) -> Option<Arc<Account>> {
        let run = match &self.account {
            Some(run) => Arc::clone(run),
            None => {
                let execution = self.execution.as_ref();
                let own = OwnBudget {
                    budget: execution.and_then(|execution| execution.budget()),
                    cleared: execution.and_then(|execution| execution.cleared()),
                    spent: Amount::from(&self.fold.summary.spent),
                };
                let run = self.engine.admissions.account(&self.info, own, attempt.budget.as_ref())?;
                Arc::clone(self.account.insert(run))
            }
        };
        Some(run.attempt(&attempt.step, attempt.budget, attempt.undoes.is_some()))
    }

    /// A person lets the run spend more.
    pub(crate) fn budget_raised(&self, usd: Money, tokens: u64) {
        if let Some(account) = &self.account {
            account.raise(usd, tokens);
        }
    }
}
