//! What answers look like, for the description. The values themselves are the journal's and the views' own.

// Nothing is ever made of these shapes.
#![allow(dead_code)]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// Runs, and where the next page begins.
#[derive(ToSchema)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// Whether there are more; of a verdict, whether there are more to ask.
    has_more: bool,
    /// What to ask with as `after` for more; none if there are none, or if some were skipped.
    next: Option<String>,
    /// How many runs were asked for their verdict.
    looked: Option<u64>,
}

/// A run in a list.
#[derive(ToSchema)]
pub(super) struct Run {
    /// 32 hex digits; the run's trace id too.
    run: String,
    workflow: String,
    workflow_id: String,
    tenant: Option<String>,
    /// running, waiting, compensating, paused, parked, completed, failed, compensated, cancelled
    status: String,
    /// Microseconds since 1970.
    started_at: u64,
    updated_at: u64,
    ended_at: Option<u64>,
    /// When something is due next.
    wake_at: Option<u64>,
    events: u64,
    /// Steps that succeeded.
    steps: u64,
    attempts: u64,
    /// Attempts that failed.
    failures: u64,
    spent: Spent,
    /// What failed attempts cost, in pico-dollars.
    wasted: u64,
    /// By `provider:model`.
    spent_by: Option<BTreeMap<String, Spent>>,
    children: u32,
    doing: Option<String>,
    status_text: Option<String>,
    parked: Option<String>,
    class: Option<String>,
    message: Option<String>,
    compensated: u32,
    parent: Option<Value>,
    forked_from: Option<Value>,
    worker: Option<String>,
    target: Option<String>,
    queue: Option<String>,
    held: Option<String>,
}

/// What was spent.
#[derive(ToSchema)]
pub(super) struct Spent {
    /// Tokens and calls by kind; what is zero is left out.
    usage: BTreeMap<String, u64>,
    /// In pico-dollars.
    cost: u64,
    /// Charges without a known price.
    unpriced: u64,
}

/// A run as its events tell it.
#[derive(ToSchema)]
pub(super) struct Told {
    summary: Run,
    /// Steps, sleeps, signals, children, questions and happenings, told apart by `kind`.
    timeline: Value,
}

/// Why a run is as it is.
#[derive(ToSchema)]
pub(super) struct Answer {
    /// slow, stuck, expensive, failed, parked, waiting, healthy, unknown
    verdict: String,
    cause: String,
    headline: String,
    evidence: Vec<Evidence>,
    next: Vec<Next>,
    /// Of a run that midwatch only watches: who carries it out.
    carried_out_by: Option<String>,
}

/// Something that the journal says.
#[derive(ToSchema)]
pub(super) struct Evidence {
    events: Vec<u64>,
    says: String,
}

/// Something to do.
#[derive(ToSchema)]
pub(super) struct Next {
    command: String,
    does: String,
}

/// Events.
#[derive(ToSchema)]
pub(super) struct Events {
    run: String,
    events: Vec<Event>,
    /// Whether there are more.
    has_more: bool,
}

/// Events of all runs in commit order.
#[derive(ToSchema)]
pub(super) struct AllEvents {
    events: Vec<Event>,
    /// What to ask with next.
    position: u64,
    /// Whether there are more already.
    has_more: bool,
}

/// An event.
#[derive(ToSchema)]
pub(super) struct Event {
    run: String,
    number: u64,
    at: u64,
    event: Value,
    /// Of events of all runs: the position of the append that they came with.
    position: Option<u64>,
}

/// What is served.
#[derive(ToSchema)]
pub(super) struct Served {
    /// The version of midwatch.
    midwatch: String,
    /// The version of this interface.
    api: u32,
    /// Whether no order is taken.
    is_read_only: bool,
    /// The server's time.
    now: u64,
    /// Who owns the journal, in words; nobody if that is empty.
    owner: Option<String>,
    /// The last position in commit order.
    position: u64,
    /// How many letters nobody has taken in yet.
    letters: u64,
    /// When the oldest of them was left.
    oldest_letter: Option<u64>,
    /// How the gates stand in the process that owns the journal.
    board: Option<Value>,
}

/// A position in commit order.
#[derive(ToSchema)]
pub(super) struct Position {
    position: u64,
}

/// How many runs there are of each status.
#[derive(ToSchema)]
pub(super) struct Counts {
    counts: BTreeMap<String, u64>,
}

/// A report of costs.
#[derive(ToSchema)]
pub(super) struct Report {
    by: String,
    runs: u64,
    total: Value,
    lines: Vec<Value>,
    distribution: Option<Value>,
    outliers: Vec<Value>,
    has_more: bool,
}

/// Runs without progress.
#[derive(ToSchema)]
pub(super) struct Stalls {
    stalls: Vec<Value>,
    is_bounded: bool,
}

/// How gates stand.
#[derive(ToSchema)]
pub(super) struct Gates {
    gates: Vec<Value>,
}

/// What came of an order.
#[derive(ToSchema)]
pub(super) struct Outcome {
    run: String,
    workflow_id: String,
    /// done, already, queued, refused
    outcome: String,
    event: Option<u64>,
    new_run: Option<String>,
    letter: Option<u64>,
    why: Option<String>,
    instead: Option<String>,
}

/// What came of an order, for each run.
#[derive(ToSchema)]
pub(super) struct Outcomes {
    outcomes: Vec<Outcome>,
}

/// Why there is no answer.
#[derive(ToSchema)]
pub(super) struct Problem {
    error: Detail,
}

/// What is wrong.
#[derive(ToSchema)]
pub(super) struct Detail {
    status: u16,
    message: String,
}

/// Which runs come first.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Order {
    Newest,
    Oldest,
    Costliest,
    Stalest,
}

/// How a run is doing.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Verdict {
    Slow,
    Stuck,
    Expensive,
    Failed,
    Parked,
    Waiting,
    Healthy,
    Unknown,
}

/// What a report is broken down by.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum By {
    Workflow,
    Run,
    Step,
    Model,
    Target,
    Tenant,
    Day,
}

/// What can be done with a run.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Action {
    Cancel,
    Pause,
    Resume,
    Retry,
    Signal,
    Resolve,
    Budget,
    Fork,
}
