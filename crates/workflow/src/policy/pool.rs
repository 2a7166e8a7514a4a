//! A budget that several parties draw on at once.
//!
//! Whoever is about to spend reserves the most that it may take; what is reserved counts like what is spent, so that a
//! thousand calls at once cannot jointly overrun what each alone would keep to. Pure: who waits, and when a day begins, is
//! the engine's matter.

use serde::{Deserialize, Serialize};

use crate::{Budget, Charge, Class, Failure, Money, OnReached, Spent};

/// What counts towards a budget. What has no price counts in tokens alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Dollars.
    pub usd: Money,
    /// Tokens, input and output together.
    pub tokens: u64,
}

impl Amount {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { usd: self.usd + other.usd, tokens: self.tokens.saturating_add(other.tokens) }
    }

    /// What is left after taking `other` away, nothing if that is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { usd: self.usd.minus(other.usd), tokens: self.tokens.saturating_sub(other.tokens) }
    }

    /// How far a run may go that was given so much more: from what it has spent, or from how far it might go already.
    #[must_use]
    pub fn clears(self, before: Option<Self>, spent: Self) -> Self {
        let before = before.unwrap_or_default();
        let from = Self { usd: before.usd.max(spent.usd), tokens: before.tokens.max(spent.tokens) };
        Self {
            usd: if self.usd == Money::ZERO { before.usd } else { from.usd + self.usd },
            tokens: match self.tokens {
                0 => before.tokens,
                more => from.tokens.saturating_add(more),
            },
        }
    }

    /// Which limits do not hold for a run that has `taken` and wants this much more, if it was cleared to go so far.
    pub fn lifts(self, cleared: Option<Self>, taken: Self) -> Lifted {
        let after = taken.plus(self);
        cleared.map_or(Lifted::default(), |cleared| Lifted {
            usd: after.usd <= cleared.usd,
            tokens: after.tokens <= cleared.tokens,
        })
    }
}

impl From<&Charge> for Amount {
    fn from(charge: &Charge) -> Self {
        Self { usd: charge.cost.unwrap_or_default(), tokens: charge.usage.tokens() }
    }
}

impl From<&Spent> for Amount {
    fn from(spent: &Spent) -> Self {
        Self { usd: spent.cost, tokens: spent.usage.tokens() }
    }
}

/// Limits that do not hold for whoever asks: a person said that it may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lifted {
    /// The limit of dollars.
    pub usd: bool,
    /// The limit of tokens.
    pub tokens: bool,
}

/// A budget with its name, what was spent of it and what is reserved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    name: String,
    budget: Budget,
    spent: Amount,
    reserved: Amount,
}

/// Why a pool gives nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The pool, the amount and what is left, for people.
    pub message: String,
    /// What the budget wants to happen.
    pub on_reached: OnReached,
    /// Whether only what others reserved stands in the way: they may use less than that, so asking again can help.
    pub is_held: bool,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { on_reached: Some(refusal.on_reached), ..Failure::new(Class::Budget, refusal.message) }
    }
}

impl Pool {
    /// A pool of which so much is spent already; `name` is how refusals call it.
    pub fn new(name: impl Into<String>, budget: Budget, spent: Amount) -> Self {
        Self { name: name.into(), budget, spent, reserved: Amount::default() }
    }

    /// What was spent.
    pub fn spent(&self) -> Amount {
        self.spent
    }

    /// What is spent or may be, as far as anybody said.
    pub fn taken(&self) -> Amount {
        self.spent.plus(self.reserved)
    }

    /// Says whether `more` fits: what is spent, what is reserved and that together stay within the limits.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn ask(&self, more: Amount, lifted: Lifted) -> Result<(), Refusal> {
        let limits = self.limits(lifted);
        let fits = |taken: Amount| {
            let after = taken.plus(more);
            limits.usd.is_none_or(|limit| after.usd <= limit)
                && limits.tokens.is_none_or(|limit| after.tokens <= limit)
        };
        match fits(self.taken()) {
            true => Ok(()),
            false => Err(self.refusal(more, limits, fits(self.spent))),
        }
    }

    fn refusal(&self, more: Amount, limits: Budget, is_held: bool) -> Refusal {
        let left = |of: Amount| match (limits.usd, limits.tokens) {
            (Some(usd), Some(tokens)) => {
                format!(
                    "{} of {usd} and {} of {tokens} tokens",
                    usd.minus(of.usd),
                    tokens.saturating_sub(of.tokens)
                )
            }
            (Some(usd), None) => format!("{} of {usd}", usd.minus(of.usd)),
            (None, Some(tokens)) => format!("{} of {tokens} tokens", tokens.saturating_sub(of.tokens)),
            (None, None) => "nothing".to_owned(),
        };
        let why = match is_held {
            true => format!("is left beside what other calls may still take, {} of it", self.reserved.usd),
            false => "is left".to_owned(),
        };
        let price = match more.usd {
            Money::ZERO => String::new(),
            usd => format!("{usd}, "),
        };
        let taken = if is_held { self.taken() } else { self.spent };
        let message = format!(
            "{}: the call may take {price}{} tokens and {} {why}",
            self.name,
            more.tokens,
            left(taken)
        );
        Refusal { message, on_reached: self.budget.on_reached, is_held }
    }

    /// Says that the budget is spent, if it is; what is only reserved does not count here.
    pub fn reached(&self, lifted: Lifted) -> Option<Refusal> {
        let said = self.limits(lifted).reached(self.spent)?;
        let message = format!("{}: {said}", self.name);
        Some(Refusal { message, on_reached: self.budget.on_reached, is_held: false })
    }

    fn limits(&self, lifted: Lifted) -> Budget {
        Budget {
            usd: self.budget.usd.filter(|_| !lifted.usd),
            tokens: self.budget.tokens.filter(|_| !lifted.tokens),
            ..self.budget
        }
    }

    /// Sets an amount aside, whether or not it fits.
    pub fn reserve(&mut self, amount: Amount) {
        self.reserved = self.reserved.plus(amount);
    }

    /// Puts what was really spent in the place of what was reserved for it.
    pub fn settle(&mut self, reserved: Amount, spent: Amount) {
        self.reserved = self.reserved.minus(reserved);
        self.spent = self.spent.plus(spent);
    }

    /// Counts what was spent without a reservation.
    pub fn spend(&mut self, amount: Amount) {
        self.spent = self.spent.plus(amount);
    }

    /// Sets other limits.
    pub fn limit(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Raises the limits that exist.
    pub fn raise(&mut self, usd: Money, tokens: u64) {
        self.budget.raise(usd, tokens);
    }

    /// Begins anew, e.g. with a new day; what is reserved stays so.
    pub fn begin_again(&mut self) {
        self.spent = Amount::default();
    }
}

/// Asks several pools: the amount must fit into each. A refusal for good goes before one that may pass.
///
/// # Errors
/// [`Refusal`].
pub fn ask_all<'p>(pools: impl IntoIterator<Item = (&'p Pool, Lifted)>, more: Amount) -> Result<(), Refusal> {
    let mut held = Ok(());
    for (pool, lifted) in pools {
        match pool.ask(more, lifted) {
            Err(refusal) if !refusal.is_held => return Err(refusal),
            Err(refusal) if held.is_ok() => held = Err(refusal),
            Ok(()) | Err(_) => {}
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Lifted = Lifted { usd: false, tokens: false };

    fn cents(cents: u64) -> Amount {
        Amount { usd: Money::from_cents(cents), tokens: 10 * cents }
    }

    fn pool(limit: u64, spent: u64) -> Pool {
        Pool::new("run", Budget::usd(Money::from_cents(limit)), cents(spent))
    }

    #[test]
    fn whatever_order_calls_reserve_and_settle_in_they_never_spend_more_than_the_limit() {
        for seed in 0..500 {
            let mut rng: u64 = seed;
            let mut draw = |below: u64| {
                rng = (rng + 1).wrapping_mul(6_364_136_223_846_793_005_u64).wrapping_add(1_442_695);
                (rng >> 33) % below
            };
            let mut pool = pool(100, 0);
            let mut open = Vec::new();
            for _ in 0..400 {
                if draw(2) == 0 && !open.is_empty() {
                    let at = usize::try_from(draw(open.len() as u64)).expect("small");
                    let bound = open.swap_remove(at);
                    pool.settle(cents(bound), cents(draw(bound + 1)));
                } else {
                    let bound = 1 + draw(9);
                    if pool.ask(cents(bound), NONE).is_ok() {
                        pool.reserve(cents(bound));
                        open.push(bound);
                    }
                }
                assert!(pool.spent().usd <= Money::from_cents(100), "seed {seed}");
                assert!(pool.taken().usd <= Money::from_cents(100), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_was_asked_and_what_is_left() {
        let refusal = pool(100, 95).ask(cents(7), NONE).expect_err("crosses the line");
        assert_eq!(refusal.message, "run: the call may take $0.07, 70 tokens and $0.05 of $1.00 is left");
        assert!(!refusal.is_held);
        assert_eq!(pool(100, 95).ask(cents(5), NONE), Ok(()), "the very limit is allowed");
        let failure = Failure::from(refusal);
        assert_eq!((failure.class, failure.on_reached), (Class::Budget, Some(OnReached::Park)));
    }

    #[test]
    fn what_others_only_reserved_refuses_for_now_and_what_is_spent_for_good() {
        let mut shared = pool(100, 50);
        shared.reserve(cents(48));
        assert!(shared.ask(cents(7), NONE).expect_err("held").is_held);
        shared.settle(cents(48), cents(1));
        assert_eq!(shared.ask(cents(7), NONE), Ok(()));
        let (mut held, full) = (pool(100, 0), pool(100, 100));
        held.reserve(cents(100));
        let refusal = ask_all([(&held, NONE), (&full, NONE)], cents(1)).expect_err("refused");
        assert!(!refusal.is_held, "a refusal for good goes first");
    }

    #[test]
    fn a_limit_that_was_lifted_refuses_nothing() {
        let full = pool(100, 100);
        assert!(full.reached(NONE).is_some_and(|refusal| refusal.message == "run: $1.00 of $1.00 are spent"));
        let lifted = Lifted { usd: true, tokens: false };
        assert_eq!((full.ask(cents(7), lifted), full.reached(lifted)), (Ok(()), None));
    }
}
