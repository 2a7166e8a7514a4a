//! Raise a run's budget.

use midwatch_journal::{Error, Journal, RunSummary};
use midwatch_observe::tell::amount;
use midwatch_workflow::{Event, EventKind, Message, Money, ParkReason};

use crate::{Judgement, Order, Request, Sent, state};

/// A run may spend more; one that is parked for its budget goes on.
#[derive(Clone, Debug)]
pub struct RaiseBudget {
    /// By how many dollars.
    pub usd: Option<Money>,
    /// By how many tokens.
    pub tokens: Option<u64>,
    /// Who.
    pub by: String,
}

impl Order for RaiseBudget {
    fn done(&self) -> String {
        let usd = self.usd.map(amount::money);
        let tokens = self.tokens.map(|tokens| format!("{} tokens", amount::count(tokens)));
        let more: Vec<String> = usd.into_iter().chain(tokens).collect();
        format!("budget raised by {}", more.join(" and "))
    }

    fn request(&self) -> Request<'_> {
        Request { usd: self.usd, tokens: self.tokens, ..Request::new("budget") }
    }

    fn is_for_calls(&self) -> bool {
        true
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error> {
        if run.status.is_ended() {
            return Ok(Judgement::ended(run));
        }
        let (events, fold) = state(run, journal)?;
        let budget = events.iter().find_map(|event| match &event.kind {
            EventKind::RunStarted(start) => start.budget,
            _ => None,
        });
        let refused = |why: &str| Ok(Judgement::look(run, why));
        if fold.summary.parked != Some(ParkReason::Budget) {
            match budget {
                None => return refused("has no budget of its own, and is not parked for one"),
                Some(budget) if budget.usd.is_none() && self.tokens.is_none() => {
                    return refused("has a budget of tokens, not of dollars");
                }
                Some(budget) if budget.tokens.is_none() && self.usd.is_none() => {
                    return refused("has a budget of dollars, not of tokens");
                }
                Some(_) => {}
            }
        }
        Ok(Judgement::Send(Message::RaiseBudget {
            usd: self.usd.unwrap_or_default(),
            tokens: self.tokens.unwrap_or_default(),
            by: self.by.clone(),
        }))
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::BudgetRaised { .. })
    }
}
