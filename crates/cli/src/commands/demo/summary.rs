//! The result: everything that the demo found out, as data and as a page for people.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use midwatch::Prices;
use midwatch_books::{self as books, Balance};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery, RunSummary, Status};
use midwatch_simulator::{Endpoint, Entry, Ledger};
use midwatch_workflow::{Class, Ended, Event, EventKind, Money, Timestamp};
use serde::Serialize;

use super::effects;
use super::plan::{Model, Plan};
use super::supervisor::Supervised;

/// What the demo found out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) seed: u64,
    pub(super) seconds: f64,
    /// Runs that were to be carried out.
    pub(super) runs: usize,
    pub(super) completed: usize,
    /// Runs that failed and whose steps were undone.
    pub(super) compensated: usize,
    /// Runs that failed and had nothing to undo.
    pub(super) failed: usize,
    /// Runs that never ended.
    pub(super) lost: usize,
    pub(super) attempts: u64,
    /// How attempts ended: `ok`, or the class of the failure.
    pub(super) attempts_by_class: BTreeMap<String, u64>,
    /// How often the process was killed while it worked.
    pub(super) kills: u32,
    pub(super) signals: u32,
    pub(super) operator_retries: u32,
    pub(super) effects: u64,
    pub(super) effects_done_twice: u64,
    pub(super) effects_undone: u64,
    /// Effects that still stand, of runs that did not complete.
    pub(super) effects_left: u64,
    /// Known to the token, or counted along a stream that broke.
    pub(super) tokens_booked: u64,
    /// How many of them were counted along a stream that broke.
    pub(super) tokens_estimated: u64,
    /// What was billed for those streams.
    pub(super) tokens_billed_estimated: u64,
    /// The most that they could use.
    pub(super) tokens_estimated_bound: u64,
    /// The most that attempts used which were killed, or never answered, in the middle of a call.
    pub(super) tokens_unknown_bound: u64,
    /// How many such attempts there were.
    pub(super) attempts_unknown: u64,
    pub(super) tokens_billed: u64,
    /// How many of them were billed for attempts of unknown use.
    pub(super) tokens_billed_unknown: u64,
    pub(super) usd_booked: f64,
    pub(super) usd_estimated: f64,
    pub(super) usd_billed_estimated: f64,
    pub(super) usd_unknown_bound: f64,
    pub(super) usd_billed: f64,
    pub(super) usd_billed_unknown: f64,
    /// Booked for calls to a real provider, whose bill is not here.
    pub(super) usd_not_compared: f64,
    /// Who answered the research agent; books are compared only with the simulator's.
    pub(super) model: &'static str,
    /// Whether effects and books agree and no run is lost.
    pub(super) agree: bool,
    pub(super) disagreements: Vec<String>,
    /// Runs worth a look, by their workflow id.
    pub(super) worth_a_look: Vec<String>,
}

/// Reads both sides and compares them.
///
/// # Errors
/// If the journal cannot be read.
pub(super) fn reconcile(
    plan: &Plan,
    journal: &SqliteJournal,
    ledger: &Ledger,
    supervised: Supervised,
    took: Duration,
) -> anyhow::Result<Summary> {
    let runs = journal.runs(&RunQuery { limit: plan.runs + 1, ..RunQuery::default() })?;
    let mut booked = HashMap::new();
    let mut by_class = BTreeMap::new();
    let mut lost_attempts: HashMap<&str, u64> = HashMap::new();
    let mut not_compared = Money::ZERO;
    for run in &runs {
        let events = journal.events(run.run, 0)?;
        let lost = count_classes(&events, &mut by_class);
        lost_attempts.insert(run.workflow_id.as_str(), lost);
        if plan.model == Model::Played || run.workflow != "research" {
            booked.extend(books::booked(run.run, &events));
        } else {
            not_compared += run.spent.cost;
        }
    }
    let prices = Prices::bundled();
    let billed = books::billed(&ledger.entries(), |entry| price(&prices, entry));
    let balance = books::balance(&booked, &billed);
    let findings = effects::check(&runs, &ledger.effects());
    let done = ledger.summary();
    let count = |wanted: &[Status]| runs.iter().filter(|run| wanted.contains(&run.status)).count();
    let ended = runs.iter().filter(|run| run.status.is_ended()).count();
    let lost = plan.runs.saturating_sub(ended);
    let worth_a_look = worth_a_look(&runs, &lost_attempts);
    let disagreements = [findings.disagreements, balance.disagreements.clone()].concat();
    let Balance {
        booked,
        estimated,
        estimated_bound,
        unknown,
        billed,
        billed_estimated,
        billed_unknown,
        disagreements: _,
    } = balance;
    Ok(Summary {
        seed: plan.seed,
        seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
        runs: plan.runs,
        completed: count(&[Status::Completed]),
        compensated: count(&[Status::Compensated]),
        failed: count(&[Status::Failed, Status::Cancelled]),
        lost,
        attempts: runs.iter().map(|run| run.attempts).sum(),
        attempts_by_class: by_class,
        kills: supervised.kills,
        signals: supervised.signals,
        operator_retries: supervised.retries,
        effects: done.effects,
        effects_done_twice: done.effects_done_twice,
        effects_undone: findings.undone,
        effects_left: findings.left,
        tokens_booked: booked.tokens,
        tokens_estimated: estimated.tokens,
        tokens_billed_estimated: billed_estimated.tokens,
        tokens_estimated_bound: estimated_bound.tokens,
        tokens_unknown_bound: unknown.tokens,
        attempts_unknown: unknown.attempts,
        tokens_billed: billed.tokens,
        tokens_billed_unknown: billed_unknown.tokens,
        usd_booked: booked.cost.as_usd(),
        usd_estimated: estimated.cost.as_usd(),
        usd_billed_estimated: billed_estimated.cost.as_usd(),
        usd_unknown_bound: unknown.cost.as_usd(),
        usd_billed: billed.cost.as_usd(),
        usd_billed_unknown: billed_unknown.cost.as_usd(),
        usd_not_compared: not_compared.as_usd(),
        model: plan.model.provider(),
        agree: disagreements.is_empty() && done.effects_done_twice == 0 && lost == 0,
        disagreements,
        worth_a_look,
    })
}

/// Counts how attempts ended; gives how many were lost with their process.
fn count_classes(events: &[Event], by_class: &mut BTreeMap<String, u64>) -> u64 {
    let mut lost = 0;
    for event in events {
        let EventKind::AttemptEnded { result, .. } = &event.kind else { continue };
        let class = match result {
            Ended::Ok(_) => "ok",
            Ended::Failed(failure) => failure.class.as_str(),
        };
        lost += u64::from(class == Class::Lost.as_str());
        *by_class.entry(class.to_owned()).or_default() += 1;
    }
    lost
}

/// What one request costs by the provider's price list.
fn price(prices: &Prices, entry: &Entry) -> Money {
    let provider = if entry.endpoint == Endpoint::Messages { "anthropic" } else { "openai" };
    let usage = books::usage(&entry.billed);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let report = midwatch_providers::Report { usage, ..midwatch_providers::Report::default() };
    let quote =
        prices.quote(&format!("{provider}:{}", entry.model), &report, Timestamp::from_micros(0) + since);
    quote.map_or(Money::ZERO, |quote| quote.cost)
}

/// Of each kind of end the run with the most to tell.
fn worth_a_look(runs: &[RunSummary], lost: &HashMap<&str, u64>) -> Vec<String> {
    let tells = |run: &&RunSummary| (lost.get(run.workflow_id.as_str()).copied(), run.failures);
    let of = |status: Status| runs.iter().filter(move |run| run.status == status);
    [Status::Compensated, Status::Completed, Status::Failed]
        .into_iter()
        .filter_map(|status| of(status).max_by_key(tells))
        .map(|run| run.workflow_id.to_string())
        .collect()
}
