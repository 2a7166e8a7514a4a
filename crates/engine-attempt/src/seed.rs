//! What was spent of shared budgets before this start, read from the journal.

use midwatch_journal::{Error, Journal, RunQuery};
use midwatch_workflow::{Amount, Timestamp};

use crate::budget::{Payers, Rule, day_of};

const MICROS_A_DAY: u64 = 24 * 3600 * 1_000_000;

/// What each rule's payers have spent, today or ever.
///
/// # Errors
/// If the journal cannot be read.
pub(crate) fn spent(journal: &dyn Journal, rules: &[Rule], now: Timestamp) -> Result<Vec<Amount>, Error> {
    rules.iter().map(|rule| spent_of(journal, rule, now)).collect()
}

fn spent_of(journal: &dyn Journal, rule: &Rule, now: Timestamp) -> Result<Amount, Error> {
    let from = match rule.is_daily {
        true => Timestamp::from_micros(day_of(now) * MICROS_A_DAY),
        false => Timestamp::from_micros(0),
    };
    let query = match &rule.payers {
        Payers::Workflow(name) => RunQuery { workflow: Some(name.to_string()), ..RunQuery::default() },
        Payers::Tenant(name) => RunQuery { tenant: Some(name.clone()), ..RunQuery::default() },
    };
    midwatch_journal::spent(journal, query, from)
}
