//! Expensive: what a run paid for beyond what is usual.

use std::collections::BTreeMap;

use midwatch_workflow::{Class, Money};

use super::case::{Case, Finding};
use super::{Cause, Verdict};
use crate::baseline::{Baselines, cached_share, calls, target_shares, tokens_per_call};
use crate::cost::{Booking, sum};
use crate::timeline::{Attempt, Step};
use crate::words::{counted, percent, times, tokens, usd};

/// A run is expensive beyond so many medians.
pub const MEDIANS: u64 = 3;

/// Says why a run is expensive, if it is.
pub(super) fn find<'f>(case: &Case<'f>) -> Option<Finding<'f>> {
    let cost = case.timeline.spent.cost;
    let usual = case.facts.baselines.cost?.if_enough()?;
    let line = usual.median.times(MEDIANS);
    if cost <= line || cost <= usual.p95 {
        return None;
    }
    let excess = cost.minus(usual.median);
    let usually_wasted = case.facts.baselines.wasted.map_or(Money::ZERO, |wasted| wasted.median);
    let wasted = case.timeline.wasted;
    let is_waste = wasted.minus(usually_wasted).times(2) >= excess;
    let found = if is_waste { Some(waste(case, wasted)) } else { compared(case, wasted) };
    let ratio = cost.as_usd() / usual.median.as_usd().max(f64::MIN_POSITIVE);
    let mut finding = found.unwrap_or_else(|| {
        let headline = "cost more than usual, and no one thing explains it";
        Finding::new(Verdict::Expensive, Cause::Unknown, headline)
    });
    let says = format!(
        "{} = {} the median of {} (p95 {}, n={})",
        usd(cost),
        times(cost.as_usd(), usual.median.as_usd()),
        usd(usual.median),
        usd(usual.p95),
        usual.n
    );
    finding.evidence.insert(0, super::Evidence::of([], says));
    Some(Finding { ratio, ..finding })
}

fn expensive<'f>(cause: Cause, headline: String) -> Finding<'f> {
    Finding::new(Verdict::Expensive, cause, headline)
}

/// Most of it went into attempts that failed.
fn waste<'f>(case: &Case<'f>, wasted: Money) -> Finding<'f> {
    let failed = || case.profile.bookings.iter().filter(|booking| booking.failed.is_some());
    let of = |fits: &dyn Fn(&Booking) -> bool| sum(failed().filter(|booking| fits(booking))).cost;
    let is_most = |cost: Money| cost.times(2) >= wasted;
    let share = percent(wasted.as_usd(), case.timeline.spent.cost.as_usd());
    let events = |fits: &dyn Fn(&Booking) -> bool| -> Vec<u64> {
        failed().filter(|booking| fits(booking)).map(|booking| booking.event).collect()
    };
    let is_lost = |booking: &Booking| booking.failed == Some(Class::Lost);
    if is_most(of(&is_lost)) {
        let headline = format!(
            "{} ({share}) went to failed attempts, most of it to attempts that were lost with their process",
            usd(wasted)
        );
        return expensive(Cause::LostAttempts, headline).shown_by(events(&is_lost), "ends of lost attempts");
    }
    let hopeless = hopeless_steps(case);
    let is_hopeless = |booking: &Booking| hopeless.contains_key(booking.step.as_str());
    if is_most(of(&is_hopeless)) {
        let (name, (count, why)) = hopeless
            .iter()
            .max_by_key(|(_, (count, _))| *count)
            .map_or(("", (0, String::new())), |(name, found)| (*name, found.clone()));
        let headline = format!(
            "{} ({share}) went to {name}, tried {count} times although it cannot succeed: {why}",
            usd(wasted)
        );
        let finding = expensive(Cause::HopelessRetries, headline)
            .shown_by(events(&is_hopeless), format!("the same failure {count} times: {why}"));
        return about_named(case, finding, name);
    }
    let costliest = costliest_step(failed());
    let name = costliest.as_ref().map_or("", |(name, _)| name.as_str());
    let headline = format!("{} ({share}) went to failed attempts, most of it to step {name}", usd(wasted));
    let finding = expensive(Cause::FailedAttempts, headline)
        .shown_by(events(&|_| true), counted(failed().count() as u64, "failed and paid attempt"));
    about_named(case, finding, name)
}

fn about_named<'f>(case: &Case<'f>, finding: Finding<'f>, name: &str) -> Finding<'f> {
    let step = case.timeline.steps().filter(|step| step.name == name).last();
    Finding { step, ..finding }
}

/// Steps that failed three times or more with what no retry cures, or with the very same words, and never went well.
fn hopeless_steps<'f>(case: &Case<'f>) -> BTreeMap<&'f str, (usize, String)> {
    let mut steps: BTreeMap<&'f str, Vec<&'f Step>> = BTreeMap::new();
    for step in case.timeline.steps() {
        steps.entry(step.name.as_str()).or_default().push(step);
    }
    let mut hopeless = BTreeMap::new();
    for (name, steps) in steps {
        let failures: Vec<_> =
            steps.iter().flat_map(|step| &step.attempts).filter_map(Attempt::failure).collect();
        let Some(last) = failures.last() else { continue };
        let same = failures
            .iter()
            .filter(|failure| failure.class == last.class && failure.message == last.message)
            .count();
        let incurable = failures
            .iter()
            .filter(|failure| !failure.class.is_retried() && failure.class != Class::Cancelled)
            .count();
        let is_same_unknown = last.class == Class::Unknown && same >= 3;
        let is_most = |count: usize| count >= 3 && count * 2 > failures.len();
        if is_most(incurable) || (is_same_unknown && is_most(same)) {
            hopeless.insert(name, (incurable.max(same), crate::words::brief(&last.to_string())));
        }
    }
    hopeless
}

/// What went well cost more: more calls, larger ones, or dearer ones.
fn compared<'f>(case: &Case<'f>, wasted: Money) -> Option<Finding<'f>> {
    let baseline = &case.facts.baselines;
    let (usual_cost, usual_calls, usual_tokens) =
        (baseline.cost?.median, baseline.calls?.if_enough()?.median, baseline.tokens?.if_enough()?.median);
    let good: Vec<&Booking> =
        case.profile.bookings.iter().filter(|booking| booking.failed.is_none()).collect();
    let count = calls(good.iter().copied());
    let spent = sum(good.iter().copied());
    let cost = case.timeline.spent.cost.minus(wasted);
    if usual_calls == 0 || usual_tokens == 0 || spent.usage.tokens() == 0 || cost == Money::ZERO {
        return None;
    }
    if let Some(huge) = one_huge_call(case, &good, cost) {
        return Some(huge);
    }
    let figures = Figures {
        calls: ratio(count, usual_calls),
        tokens: ratio(spent.usage.tokens(), usual_tokens) / ratio(count, usual_calls),
        price: (cost.as_usd() / usual_cost.as_usd()) / ratio(spent.usage.tokens(), usual_tokens),
    };
    if figures.share(figures.tokens) >= 0.35
        && let Some(growth) = context_growth(case, &good)
    {
        return Some(growth);
    }
    let most = 0.5;
    if figures.share(figures.calls) >= most {
        return Some(more_calls(case, &good, count, usual_calls));
    }
    if figures.share(figures.tokens) >= most {
        let per_call = spent.usage.tokens() / count.max(1);
        let headline = format!(
            "its calls are {} larger than usual: {} tokens each, usually {}",
            times(figures.tokens, 1.0),
            tokens(per_call),
            tokens(usual_tokens / usual_calls)
        );
        return Some(
            expensive(Cause::LargerCalls, headline)
                .shown_by(good.iter().map(|booking| booking.event), "its calls"),
        );
    }
    (figures.share(figures.price) >= most).then(|| dearer(baseline, &good, figures.price))
}

#[allow(clippy::cast_precision_loss)] // a ratio needs no more
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// How many times more calls, larger calls and dearer tokens there were than usual; the product is how much dearer it was.
struct Figures {
    calls: f64,
    tokens: f64,
    price: f64,
}

impl Figures {
    /// Which share of the whole factor one of them is.
    fn share(&self, of: f64) -> f64 {
        of.ln() / (self.calls.ln() + self.tokens.ln() + self.price.ln()).max(f64::EPSILON)
    }
}

/// One call that cost at least half, and much more than its like.
fn one_huge_call<'f>(case: &Case<'f>, good: &[&Booking], cost: Money) -> Option<Finding<'f>> {
    let per_call = |booking: &Booking| {
        Money::from_picos(booking.cost.unwrap_or_default().as_picos() / booking.usage.calls.max(1))
    };
    let huge = good.iter().max_by_key(|booking| per_call(booking))?;
    let paid = per_call(huge);
    let baseline = &case.facts.baselines;
    let usual = baseline.step.get(&huge.step).and_then(|step| step.cost_per_call).map(|spread| spread.p95);
    let usual_tokens =
        baseline.step.get(&huge.step).and_then(|step| step.tokens_per_call).map(|spread| spread.p95);
    let is_larger =
        usual_tokens.is_none_or(|usual| tokens_per_call(huge).unwrap_or(0) >= usual.saturating_mul(2));
    if paid.times(2) < cost
        || good.len() < 2
        || !is_larger
        || usual.is_some_and(|usual| paid < usual.times(4))
    {
        return None;
    }
    let headline = format!(
        "{} ({}) went to one call of {}: {} tokens in, {} out, to {}",
        usd(paid),
        percent(paid.as_usd(), cost.as_usd()),
        huge.step,
        tokens(huge.usage.input),
        tokens(huge.usage.output),
        huge.target
    );
    Some(expensive(Cause::OneHugeCall, headline).shown_by([huge.event], "the call"))
}

/// A step that is used in a loop, and whose calls grow with the turns.
fn context_growth<'f>(case: &Case<'f>, good: &[&Booking]) -> Option<Finding<'f>> {
    const TURNS_MIN: usize = 4;
    let mut turns: BTreeMap<&str, Vec<&Booking>> = BTreeMap::new();
    for booking in good {
        turns.entry(booking.step.as_str()).or_default().push(booking);
    }
    let (name, turns) = turns.into_iter().max_by_key(|(_, turns)| sum(turns.iter().copied()).cost)?;
    let sizes: Vec<u64> =
        turns.iter().map(|booking| booking.usage.input / booking.usage.calls.max(1)).collect();
    let grows = sizes.windows(2).filter(|pair| pair[1] >= pair[0]).count();
    let (first, last) = (*sizes.first()?, *sizes.last()?);
    let is_growth =
        sizes.len() >= TURNS_MIN && last >= first.saturating_mul(3) && grows * 4 >= (sizes.len() - 1) * 3;
    if !is_growth {
        return None;
    }
    let headline = format!(
        "{name} ×{}: its input grew from {} to {} tokens over the loop",
        sizes.len(),
        tokens(first),
        tokens(last)
    );
    let steps = case.timeline.steps().filter(|step| step.name == name).last();
    let finding = expensive(Cause::ContextGrowth, headline)
        .shown_by(turns.iter().map(|booking| booking.event), "the turns of the loop");
    Some(Finding { step: steps, ..finding })
}

fn more_calls<'f>(case: &Case<'f>, good: &[&Booking], count: u64, usual: u64) -> Finding<'f> {
    const BRANCHES_MIN: u64 = 4;
    let at_once = case.profile.at_once;
    let usually = case.facts.baselines.at_once.map_or(1, |at_once| at_once.p95);
    let events = good.iter().map(|booking| booking.event);
    let of = costliest_step(good.iter().copied()).map(|(name, _)| name).unwrap_or_default();
    if at_once >= BRANCHES_MIN && at_once >= usually.saturating_mul(2) {
        let headline = format!(
            "{at_once} branches of {of} side by side, usually at most {usually}: {count} paid calls, usually {usual}"
        );
        return expensive(Cause::FanOut, headline).shown_by(events, "the calls of the branches");
    }
    let headline = format!("{count} paid calls, usually {usual}, most of them by {of}");
    expensive(Cause::MoreCalls, headline).shown_by(events, "the calls")
}

/// The same tokens for more money.
fn dearer<'f>(baseline: &Baselines, good: &[&Booking], factor: f64) -> Finding<'f> {
    let shares = target_shares(good.iter().copied());
    let is_new = |target: &str| baseline.targets.get(target).copied().unwrap_or(0.0) < 0.05;
    let new: f64 = shares.iter().filter(|(target, _)| is_new(target)).map(|(_, share)| share).sum();
    let events = || good.iter().map(|booking| booking.event);
    if new >= 0.3 {
        let names: Vec<&str> = shares.keys().map(String::as_str).filter(|target| is_new(target)).collect();
        let usual: Vec<&str> = baseline
            .targets
            .iter()
            .filter(|(_, share)| **share >= 0.3)
            .map(|(target, _)| target.as_str())
            .collect();
        let headline = format!(
            "{} of its tokens went to {}, usually {}",
            percent(new, 1.0),
            names.join(", "),
            usual.join(", ")
        );
        let events = good.iter().filter(|booking| is_new(&booking.target)).map(|booking| booking.event);
        return expensive(Cause::ModelChange, headline).shown_by(events, "calls of the unusual model");
    }
    let cached = cached_share(good.iter().copied());
    if baseline.cached >= 0.2 && cached < baseline.cached / 2.0 {
        let headline = format!(
            "{} of its input came from the cache, usually {}",
            percent(cached, 1.0),
            percent(baseline.cached, 1.0)
        );
        return expensive(Cause::NoCacheHits, headline).shown_by(events(), "its calls");
    }
    if is_same_mix(baseline, &shares) {
        let headline = format!("the same tokens of the same models at {} the price", times(factor, 1.0));
        return expensive(Cause::PriceChange, headline).shown_by(events(), "its calls");
    }
    expensive(
        Cause::Unknown,
        "its tokens cost more than usual, and neither models nor cache explain it".to_owned(),
    )
}

fn is_same_mix(baseline: &Baselines, shares: &BTreeMap<String, f64>) -> bool {
    shares
        .iter()
        .all(|(target, share)| (baseline.targets.get(target).copied().unwrap_or(0.0) - share).abs() < 0.15)
}

fn costliest_step<'b>(bookings: impl Iterator<Item = &'b Booking>) -> Option<(String, Money)> {
    let mut costs: BTreeMap<&str, Money> = BTreeMap::new();
    for booking in bookings {
        *costs.entry(booking.step.as_str()).or_default() += booking.cost.unwrap_or_default();
    }
    costs.into_iter().max_by_key(|(_, cost)| *cost).map(|(name, cost)| (name.to_owned(), cost))
}
