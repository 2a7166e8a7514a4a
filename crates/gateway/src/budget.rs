//! What may still be spent: by each run, each tenant's day, and everybody's day, together with all calls under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use midwatch_workflow::pool::{Lifted, Refusal as Held, ask_all};
use midwatch_workflow::{Amount, Budget, Charge, Pool, RunId, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::config::Unpriced;
use crate::refusal::Refusal;
use midwatch_gates::Clock;

/// How long a call waits for others to give back what they reserved.
const HELD_MAX: Duration = Duration::from_secs(10);
/// So many runs are kept; what one has spent is read from its summary when it comes again.
const RUNS_MAX: usize = 10_000;

/// Whose money it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Payer {
    Run(RunId),
    TenantDay(String),
    Day,
}

/// A budget that a call draws on, and what was spent of it before it is first asked for.
pub(crate) struct Claim {
    pub(crate) payer: Payer,
    /// The lowest that any call names is the one that holds.
    pub(crate) budget: Budget,
    /// By how much people have raised it.
    pub(crate) raised: Amount,
    pub(crate) spent: Amount,
}

/// All budgets in use.
pub(crate) struct Budgets {
    clock: Clock,
    unpriced: Unpriced,
    state: Mutex<State>,
    /// Rings when a call settles.
    settled: Notify,
}

struct State {
    day: u64,
    purses: HashMap<Payer, Purse>,
}

/// A pool, and the lowest limits that were named for it.
struct Purse {
    lowest: Budget,
    pool: Pool,
}

impl Purse {
    fn new(payer: &Payer, spent: Amount) -> Self {
        let none = Budget::default();
        Self { lowest: none, pool: Pool::new(payer.name(), none, spent) }
    }

    fn limit(&mut self, budget: Budget, raised: Amount) {
        let lowest = &mut self.lowest;
        lowest.usd = [lowest.usd, budget.usd].into_iter().flatten().min();
        lowest.tokens = [lowest.tokens, budget.tokens].into_iter().flatten().min();
        lowest.on_reached = budget.on_reached;
        let mut limit = *lowest;
        limit.raise(raised.usd, raised.tokens);
        self.pool.limit(limit);
    }
}

/// What is set aside for a call. Dropped unsettled it counts as spent: nobody knows better.
pub(crate) struct Reservation {
    budgets: Arc<Budgets>,
    payers: Vec<Payer>,
    amount: Amount,
}

impl Budgets {
    /// Budgets by the day are here from the start, with what is spent of them already; those of runs as they come.
    pub(crate) fn new(clock: Clock, unpriced: Unpriced, daily: Vec<Claim>) -> Arc<Self> {
        let purse = |claim: Claim| {
            let mut purse = Purse::new(&claim.payer, claim.spent);
            purse.limit(claim.budget, claim.raised);
            (claim.payer, purse)
        };
        let state = State { day: day_of(clock.now()), purses: daily.into_iter().map(purse).collect() };
        Arc::new(Self { clock, unpriced, state: Mutex::new(state), settled: Notify::new() })
    }

    /// No foreign code runs under the lock, so a poisoned one still holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let today = day_of(self.clock.now());
        if std::mem::replace(&mut state.day, today) != today {
            let daily = state.purses.iter_mut().filter(|(payer, _)| !matches!(payer, Payer::Run(_)));
            daily.for_each(|(_, purse)| purse.pool.begin_again());
        }
        state
    }

    /// Sets aside what a call may take of every budget; waits a while if only what other calls reserved is in the way.
    ///
    /// # Errors
    /// 402 if a budget is spent or would be; 429 if it is held by other calls.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        claims: Vec<Claim>,
        bound: &Charge,
    ) -> Result<Reservation, Refusal> {
        let amount = Amount::from(bound);
        if !claims.is_empty() {
            self.check_price(&claims, bound)?;
            let until = Instant::now() + HELD_MAX;
            loop {
                // Before the look, so that no settling between the two goes unheard.
                let mut settled = std::pin::pin!(self.settled.notified());
                settled.as_mut().enable();
                match self.try_reserve(&claims, amount) {
                    Ok(()) => break,
                    Err(held) if !held.is_held => return Err(Refusal::budget(held.message)),
                    Err(held) if Instant::now() >= until => {
                        let refusal =
                            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "budget_held", held.message);
                        return Err(refusal.after(HELD_MAX));
                    }
                    Err(_) => {}
                }
                // Whichever comes first, the next look tells.
                let _ = timeout_at(until, settled).await;
            }
        }
        let payers = claims.into_iter().map(|claim| claim.payer).collect();
        Ok(Reservation { budgets: Arc::clone(self), payers, amount })
    }

    fn check_price(&self, claims: &[Claim], bound: &Charge) -> Result<(), Refusal> {
        let is_in_dollars = claims.iter().any(|claim| claim.budget.usd.is_some());
        if bound.cost.is_some() || !is_in_dollars || self.unpriced == Unpriced::Pass {
            return Ok(());
        }
        let what = "no price is known, and a budget in dollars applies: give one in a price file, or set budgets.unpriced = \"pass\"";
        Err(Refusal::budget(format!("{}: {what}", bound.target)))
    }

    fn try_reserve(&self, claims: &[Claim], amount: Amount) -> Result<(), Held> {
        let mut state = self.lock();
        for claim in claims {
            if !state.purses.contains_key(&claim.payer) {
                state.make_room();
                state.purses.insert(claim.payer.clone(), Purse::new(&claim.payer, claim.spent));
            }
            if let Some(purse) = state.purses.get_mut(&claim.payer) {
                purse.limit(claim.budget, claim.raised);
            }
        }
        let purses = claims.iter().filter_map(|claim| state.purses.get(&claim.payer));
        ask_all(purses.map(|purse| (&purse.pool, Lifted::default())), amount)?;
        for claim in claims {
            if let Some(purse) = state.purses.get_mut(&claim.payer) {
                purse.pool.reserve(amount);
            }
        }
        Ok(())
    }

    fn settle(&self, payers: &[Payer], reserved: Amount, spent: Amount) {
        if payers.is_empty() {
            return;
        }
        let mut state = self.lock();
        for payer in payers {
            if let Some(purse) = state.purses.get_mut(payer) {
                purse.pool.settle(reserved, spent);
            }
        }
        drop(state);
        self.settled.notify_waiters();
    }
}

impl State {
    /// Forgets runs that have nothing under way.
    fn make_room(&mut self) {
        if self.purses.len() >= RUNS_MAX {
            let is_used = |purse: &Purse| purse.pool.taken() != purse.pool.spent();
            self.purses.retain(|payer, purse| !matches!(payer, Payer::Run(_)) || is_used(purse));
        }
    }
}

impl Payer {
    fn name(&self) -> String {
        match self {
            Payer::Run(run) => format!("run {}", run.short()),
            Payer::TenantDay(tenant) => format!("tenant {tenant}, today (UTC)"),
            Payer::Day => "everybody, today (UTC)".to_owned(),
        }
    }
}

impl Reservation {
    /// Puts what was spent in the place of what was set aside.
    pub(crate) fn settle(mut self, spent: &[Charge]) {
        let spent = spent.iter().map(Amount::from).fold(Amount::default(), Amount::plus);
        self.budgets.settle(&std::mem::take(&mut self.payers), self.amount, spent);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budgets.settle(&self.payers, self.amount, self.amount);
    }
}

const MICROS_A_DAY: u64 = 24 * 3600 * 1_000_000;

/// When the day began.
pub(crate) fn midnight(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(day_of(now) * MICROS_A_DAY)
}

/// The day, in days since 1970 UTC.
fn day_of(at: Timestamp) -> u64 {
    at.as_micros() / MICROS_A_DAY
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::{Money, Usage};

    use super::*;

    fn charge(cents: u64) -> Charge {
        let usage = Usage { input: cents, ..Usage::default() };
        Charge {
            target: "openai:m".to_owned(),
            usage,
            cost: Some(Money::from_cents(cents)),
            ..Charge::default()
        }
    }

    fn claims() -> Vec<Claim> {
        let budget = |cents| Budget::usd(Money::from_cents(cents));
        let run = Payer::Run(RunId::from_bytes([1; 16]));
        vec![
            Claim {
                payer: run,
                budget: budget(100),
                raised: Amount::default(),
                spent: Amount::from(&charge(90)),
            },
            Claim {
                payer: Payer::Day,
                budget: budget(1_000),
                raised: Amount::default(),
                spent: Amount::default(),
            },
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_refuses_for_good_and_what_is_only_reserved_for_a_while() {
        let budgets = Budgets::new(
            Clock::runtime(Timestamp::from_micros(1_790_000_000_000_000)),
            Unpriced::Refuse,
            Vec::new(),
        );
        let refused = budgets.reserve(claims(), &charge(11)).await.err().unwrap();
        assert_eq!(refused.status, 402);
        let first = budgets.reserve(claims(), &charge(8)).await.unwrap();
        let held = budgets.reserve(claims(), &charge(8)).await.err().unwrap();
        assert_eq!((held.status, held.code), (StatusCode::TOO_MANY_REQUESTS, "budget_held"));
        let next = charge(8);
        let (second, ()) =
            tokio::join!(budgets.reserve(claims(), &next), async { first.settle(&[charge(1)]) });
        drop(second.unwrap());
        assert_eq!(
            budgets.reserve(claims(), &charge(2)).await.err().unwrap().status,
            402,
            "8 of it were lost with the drop"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_lowest_limit_that_any_call_names_holds_and_people_raise_it() {
        let clock = Clock::runtime(Timestamp::from_micros(1_790_000_000_000_000));
        let budgets = Budgets::new(clock, Unpriced::Refuse, Vec::new());
        let claim = |cents, raised| Claim {
            payer: Payer::Run(RunId::from_bytes([1; 16])),
            budget: Budget::usd(Money::from_cents(cents)),
            raised: Amount { usd: Money::from_cents(raised), tokens: 0 },
            spent: Amount::default(),
        };
        let ask = async |cents, raised, cost| match budgets
            .reserve(vec![claim(cents, raised)], &charge(cost))
            .await
        {
            Ok(reserved) => {
                reserved.settle(&[charge(cost)]);
                200
            }
            Err(refusal) => refusal.status.as_u16(),
        };
        assert_eq!(ask(100, 0, 40).await, 200);
        assert_eq!(ask(50, 0, 20).await, 402, "a later call may name less");
        assert_eq!(ask(100, 0, 20).await, 402, "and the next one does not take that back");
        assert_eq!(ask(100, 10, 20).await, 200, "a person does");
        assert_eq!(ask(100, 10, 1).await, 402);
    }

    #[tokio::test]
    async fn a_call_without_a_price_is_no_free_call() {
        let budgets = Budgets::new(
            Clock::runtime(Timestamp::from_micros(1_790_000_000_000_000)),
            Unpriced::Refuse,
            Vec::new(),
        );
        let unpriced = Charge { cost: None, ..charge(1) };
        assert_eq!(budgets.reserve(claims(), &unpriced).await.err().unwrap().status, 402);
        assert!(budgets.reserve(Vec::new(), &unpriced).await.is_ok());
    }
}
