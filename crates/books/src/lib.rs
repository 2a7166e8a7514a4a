//! The books: what the journal says was spent, attempt by attempt, beside what the provider bills.
//!
//! Pure functions. The rule: what an attempt booked exactly must be what was billed, to the token. Where the provider's
//! word never came (a cut stream, a killed process), the attempt has a bound in the journal from before its call, and the
//! bill must lie within it.
//!
//! What this crate is not: no part of production. It is for the demo, tests and benchmarks, which know both sides.

use std::collections::HashMap;

use midwatch_simulator::{Entry, Tokens};
use midwatch_workflow::event::AttemptScheduled;
use midwatch_workflow::{
    Certainty, Charge, Event, EventKind, Money, OpId, RunId, SpanId, SpanOf, Spent, Traceparent, Usage,
};

/// Who an attempt is on the wire: the span of its `traceparent`; `None` for whoever sent a request without one.
pub type Span = Option<SpanId>;

/// What an attempt booked.
#[derive(Clone, Debug, Default)]
pub struct Booked {
    /// Who it was, for people.
    pub name: String,
    /// What it booked in the end.
    pub charges: Vec<Charge>,
    /// The most that it said beforehand that it could cost.
    pub bound: Spent,
}

/// What the provider bills for one attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Billed {
    /// Input and output.
    pub tokens: u64,
    /// At the provider's prices.
    pub cost: Money,
}

/// Both sides, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Balance {
    /// Booked for certain or counted along a stream; bounds are not in here.
    pub booked: Sum,
    /// How much of it was counted here because the provider's last word never came.
    pub estimated: Sum,
    /// The most that those attempts could cost.
    pub estimated_bound: Sum,
    /// The most that attempts cost whose spend nobody can know.
    pub unknown: Sum,
    /// What the provider bills in all.
    pub billed: Sum,
    /// How much of it falls on attempts that counted along a stream that broke.
    pub billed_estimated: Sum,
    /// How much of it falls on attempts whose spend nobody here can know.
    pub billed_unknown: Sum,
    /// Where the two sides do not fit together, for people.
    pub disagreements: Vec<String>,
}

/// Tokens and dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Of how many attempts.
    pub attempts: u64,
    /// Input and output.
    pub tokens: u64,
    /// Dollars.
    pub cost: Money,
}

impl Sum {
    fn add(&mut self, tokens: u64, cost: Money) {
        self.attempts += 1;
        self.tokens += tokens;
        self.cost += cost;
    }
}

/// Collects what each attempt of a run booked.
pub fn booked(run: RunId, events: &[Event]) -> HashMap<Span, Booked> {
    let mut open: HashMap<OpId, (Span, Booked)> = HashMap::new();
    let mut done = HashMap::new();
    let mut rewinds = 0;
    for event in events {
        match &event.kind {
            EventKind::Rewound { .. } => rewinds += 1,
            EventKind::AttemptScheduled(attempt) => {
                open.insert(
                    attempt.op,
                    (span(run, rewinds, attempt), Booked { name: name(run, attempt), ..Booked::default() }),
                );
            }
            EventKind::Heartbeat { op, charges, .. } => {
                if let Some((_, booked)) = open.get_mut(op) {
                    booked.raise_bound(charges);
                }
            }
            EventKind::AttemptEnded { op, charges, .. } => {
                if let Some((span, mut booked)) = open.remove(op) {
                    booked.raise_bound(charges);
                    booked.charges.clone_from(charges);
                    done.insert(span, booked);
                }
            }
            _ => {}
        }
    }
    done.extend(open.into_values());
    done
}

fn span(run: RunId, rewinds: u32, attempt: &AttemptScheduled) -> Span {
    let AttemptScheduled { step, nth, attempt, .. } = attempt;
    Some(SpanId::of(run, rewinds, SpanOf::Attempt { step, nth: *nth, attempt: *attempt }))
}

fn name(run: RunId, attempt: &AttemptScheduled) -> String {
    format!("{} {}#{} attempt {}", run.short(), attempt.step, attempt.nth, attempt.attempt)
}

impl Booked {
    fn raise_bound(&mut self, charges: &[Charge]) {
        let mut bound = Spent::default();
        bound.add_all(charges);
        if bound.usage.tokens() > self.bound.usage.tokens() {
            self.bound = bound;
        }
    }

    fn of(&self, certainty: Certainty) -> Option<(u64, Money)> {
        let mut some = self.charges.iter().filter(|charge| charge.certainty == certainty).peekable();
        some.peek()?;
        let mut spent = Spent::default();
        some.for_each(|charge| spent.add(charge));
        Some((spent.usage.tokens(), spent.cost))
    }
}

/// Adds up the provider's bill by attempt; `price` says what one request costs.
pub fn billed(entries: &[Entry], price: impl Fn(&Entry) -> Money) -> HashMap<Span, Billed> {
    let mut bills: HashMap<Span, Billed> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.billed != Tokens::default()) {
        let bill = bills.entry(entry.traceparent.as_deref().and_then(span_of)).or_default();
        bill.tokens += entry.billed.input + entry.billed.output;
        bill.cost += price(entry);
    }
    bills
}

fn span_of(traceparent: &str) -> Option<SpanId> {
    Traceparent::read(traceparent).map(|parent| parent.span)
}

/// The usage that is on the invoice.
pub fn usage(tokens: &Tokens) -> Usage {
    Usage {
        calls: 1,
        input: tokens.input,
        output: tokens.output,
        cached: tokens.cached,
        cache_write: tokens.cache_write,
        reasoning: tokens.reasoning,
    }
}

/// Puts both sides beside each other.
pub fn balance(booked: &HashMap<Span, Booked>, billed: &HashMap<Span, Billed>) -> Balance {
    let mut balance = Balance::default();
    for (span, bill) in billed {
        balance.billed.add(bill.tokens, bill.cost);
        if !booked.contains_key(span) {
            balance.disagreements.push(format!("{} tokens billed that no attempt asked for", bill.tokens));
        }
    }
    for (span, booked) in booked {
        let bill = billed.get(span).copied().unwrap_or_default();
        balance.weigh(booked, bill);
    }
    balance.disagreements.sort();
    balance
}

impl Balance {
    fn weigh(&mut self, booked: &Booked, bill: Billed) {
        let [exact, estimated, bound] =
            [Certainty::Exact, Certainty::Estimated, Certainty::Bound].map(|certainty| booked.of(certainty));
        let known = exact.unwrap_or_default();
        if let Some((tokens, cost)) = exact {
            self.booked.add(tokens, cost);
        }
        if let Some((tokens, cost)) = estimated {
            self.booked.add(tokens, cost);
            self.estimated.add(tokens, cost);
            let bound = booked.bound;
            self.estimated_bound.add(bound.usage.tokens().saturating_sub(known.0), bound.cost.minus(known.1));
            self.billed_estimated.add(bill.tokens.saturating_sub(known.0), bill.cost.minus(known.1));
        }
        if let Some((tokens, cost)) = bound {
            self.unknown.add(tokens, cost);
            self.billed_unknown.add(bill.tokens.saturating_sub(known.0), bill.cost.minus(known.1));
        }
        let agrees = match (estimated, bound) {
            (None, None) => (bill.tokens, bill.cost) == known,
            _ => bill.tokens >= known.0 && bill.tokens <= booked.bound.usage.tokens().max(known.0),
        };
        if !agrees {
            let booked_as = match (estimated, bound) {
                (None, None) => format!("booked {} {}", known.0, known.1),
                _ => format!("bounded by {}", booked.bound.usage.tokens()),
            };
            self.disagreements
                .push(format!("{}: {booked_as}, billed {} {}", booked.name, bill.tokens, bill.cost));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        SpanId::from_bytes([1; 8])
    }

    fn charge(input: u64, certainty: Certainty) -> Charge {
        let usage = Usage { input, ..Usage::default() };
        Charge { usage, certainty, cost: Some(Money::from_picos(input)), ..Charge::default() }
    }

    fn weigh(charges: &[Charge], bound: u64, bill: u64) -> Balance {
        let mut booked = Booked { charges: charges.to_vec(), ..Booked::default() };
        booked.raise_bound(&[charge(bound, Certainty::Bound)]);
        let billed = Billed { tokens: bill, cost: Money::from_picos(bill) };
        balance(&HashMap::from([(span(), booked)]), &HashMap::from([(span(), billed)]))
    }

    #[test]
    fn what_was_booked_exactly_must_be_billed_to_the_token() {
        assert_eq!(weigh(&[charge(70, Certainty::Exact)], 100, 70).disagreements, [""; 0]);
        assert_eq!(weigh(&[charge(70, Certainty::Exact)], 100, 71).disagreements.len(), 1);
        assert_eq!(weigh(&[], 100, 1).disagreements.len(), 1, "spend that was not booked");
    }

    #[test]
    fn what_nobody_knows_must_lie_within_its_bound() {
        let lost = weigh(&[charge(100, Certainty::Bound)], 100, 60);
        assert_eq!((lost.disagreements.len(), lost.unknown.tokens, lost.billed_unknown.tokens), (0, 100, 60));
        assert_eq!(lost.booked.tokens, 0, "a bound is never booked as if it were known");
        assert_eq!(weigh(&[charge(100, Certainty::Bound)], 100, 101).disagreements.len(), 1);
        assert_eq!(weigh(&[charge(55, Certainty::Estimated)], 100, 60).disagreements.len(), 0);
    }

    #[test]
    fn a_bill_that_no_attempt_asked_for_is_a_disagreement() {
        let billed = HashMap::from([(span(), Billed { tokens: 5, cost: Money::ZERO })]);
        assert_eq!(balance(&HashMap::new(), &billed).disagreements.len(), 1);
    }
}
