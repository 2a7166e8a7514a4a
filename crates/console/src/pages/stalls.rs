//! What does not move, and the parties outside that runs wait for.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};
use midwatch_inspect::{Stalled, stalls};
use midwatch_journal::{Board as GateBoard, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::stall::StallKind;
use midwatch_observe::tell::amount;
use midwatch_observe::why::{Answer, STALL_LIMIT};
use midwatch_workflow::Timestamp;
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::gate::HeldBy;

use crate::app::App;
use crate::error::Trouble;
use crate::html::{self, age, percent, span, theirs};
use crate::page::{Page, Part, Section};

/// What does not move, and why.
pub(crate) struct Board {
    stalled: Stalled,
    answers: Vec<Answer>,
    /// Open runs, those silent for longest first.
    silent: Vec<RunSummary>,
    gates: Option<GateBoard>,
    targets: Vec<(String, Target)>,
    queues: BTreeMap<String, u64>,
    looked_at: usize,
}

/// What the newest runs did with one target.
#[derive(Default)]
struct Target {
    runs: u64,
    steps: u64,
    attempts: u64,
    failures: u64,
}

/// So many stalls are asked for their cause.
const ASKED_MAX: usize = 20;
const SILENT_MAX: usize = 25;
/// So many of the newest runs are added up by target.
const RUNS_MAX: usize = 2_000;

fn take(app: &Arc<App>) -> Result<Board, Trouble> {
    let (journal, now) = (&app.journal, app.now());
    let stalled = stalls(journal, now, STALL_LIMIT)?;
    let inspector = app.inspector();
    let asked = stalled.stalls.iter().take(ASKED_MAX);
    let answers = asked.map(|stall| inspector.why(stall.run.run)).collect::<Result<_, _>>()?;
    let silent = RunQuery {
        statuses: vec![Status::Running, Status::Compensating],
        order: Order::Stalest,
        limit: SILENT_MAX,
        ..RunQuery::default()
    };
    let newest = journal.runs(&RunQuery { limit: RUNS_MAX, ..RunQuery::default() })?;
    let mut targets: BTreeMap<String, Target> = BTreeMap::new();
    let mut queues: BTreeMap<String, u64> = BTreeMap::new();
    for run in &newest {
        if let Some(name) = &run.target {
            let target = targets.entry(name.clone()).or_default();
            target.runs += 1;
            target.steps += run.steps;
            target.attempts += run.attempts;
            target.failures += run.failures;
        }
        if let Some(queue) = run.queue.as_ref().filter(|_| run.held == Some(WaitReason::Queue)) {
            *queues.entry(queue.clone()).or_default() += 1;
        }
    }
    let mut targets: Vec<(String, Target)> = targets.into_iter().collect();
    targets.sort_by_key(|(_, target)| std::cmp::Reverse(target.failures));
    Ok(Board {
        stalled,
        answers,
        silent: journal.runs(&silent)?,
        gates: GateBoard::read(&app.path).ok().flatten(),
        targets,
        queues,
        looked_at: newest.len(),
    })
}

/// Renders the page.
pub(crate) fn render(app: &Arc<App>) -> Result<Page, Trouble> {
    let (board, now) = (app.board.get(app, (), |app, ()| take(app))?, app.now());
    let parts = vec![
        Part::new("stalls", "", found(&board, now)),
        Part::new("gates", "", gates(&board, now)),
        Part::new("targets", "", targets(&board)),
        Part::new("silent", "", silent(&board, now)),
    ];
    Ok(Page { title: "Stalls & targets".to_owned(), section: Section::Stalls, parts })
}

fn found(board: &Board, now: Timestamp) -> Markup {
    let stalls = &board.stalled.stalls;
    html! {
        h1 { "Stalls and targets" }
        h2 { @if stalls.is_empty() { "✓ No run has stalled" } @else { (amount::counted(stalls.len() as u64, "run")) " without progress for " (span(STALL_LIMIT)) } }
        @if board.stalled.is_bounded { p.faint { "Of the first open runs that were looked at." } }
        p.faint { "What waits rightly is no stall: a timer, a signal, a person, a child, a closed gate, a full queue, a pause." }
        @if !stalls.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Stalls" { table {
                thead { tr { th { "Run" } th { "Workflow" } th.right { "Silent for" } th { "Verdict" } th { "Why" } } }
                tbody { @for (n, stall) in stalls.iter().take(100).enumerate() { tr {
                    td { a.run href=(crate::link::run(stall.run.run)) { (theirs(name(&stall.run.workflow_id, &stall.run.run.short()))) } }
                    td { (theirs(&stall.run.workflow)) }
                    td.right.nowrap {
                        @match stall.kind {
                            StallKind::Silent => time data-since=(stall.run.updated_at.as_micros()) { (span(now.since(stall.run.updated_at))) },
                            StallKind::Overdue => { (span(stall.since)) " late" },
                        }
                    }
                    @if let Some(answer) = board.answers.get(n) {
                        td { (html::verdict(answer.verdict)) }
                        td { (theirs(&answer.headline)) }
                    } @else { td {} td.faint { (theirs(&stall.run.doing)) } }
                } } }
            } }
        }
    }
}

/// A user's own id, or the short form where there is none.
fn name<'n>(id: &'n str, short: &'n str) -> &'n str {
    let is_own = id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_own { id } else { short }
}

fn gates(board: &Board, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="gates-title" {
            h2 #gates-title { "Gates" @if let Some(gates) = &board.gates { span.faint { " · " (theirs(&gates.worker)) ", " (age(gates.at, now)) } } }
            @match board.gates.as_ref().filter(|board| !board.gates.is_empty()) {
                None => p.faint { "No process has shown any gate beside this journal." },
                Some(gates) => div.scroll tabindex="0" role="region" aria-label="Gates" { table {
                    thead { tr { th { "Target" } th { "Stands" } th.right { "Waiting" } th.right { "Under way" } th.right { "Pace" } th.right { "Failures in a row" } th.right { "Retries left" } } }
                    tbody { @for gate in &gates.gates { @let state = &gate.state; tr {
                        td { (theirs(&gate.target)) }
                        td {
                            @match state.closed {
                                Some(closed) if closed.because == HeldBy::Circuit => span.bad { "✕ down, " @if state.is_probing { "one attempt is finding out" } @else { "looks again " (age(closed.until, now)) } },
                                Some(closed) => span.warn { "▮ closed, opens " (age(closed.until, now)) },
                                None => span.good { "✓ open" },
                            }
                        }
                        td.right { (html::count(gate.waiting as u64)) }
                        td.right.num { (state.under_way) " of " (state.concurrency) }
                        td.right.num { (format!("{:.1}", state.rate)) " a second" }
                        td.right { (html::count(u64::from(state.failures))) }
                        td.right { (html::count(u64::from(state.retries_left))) }
                    } } }
                } },
            }
            @if !board.queues.is_empty() {
                p { "Queues: " @for (queue, runs) in &board.queues { (theirs(queue)) " " b.num { (amount::counted(*runs, "run")) } " waiting · " } }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // a ratio needs no more
fn targets(board: &Board) -> Markup {
    html! {
        @if !board.targets.is_empty() {
            section aria-labelledby="targets-title" {
                h2 #targets-title { "Targets" span.faint { " · the newest " (amount::counted(board.looked_at as u64, "run")) ", by the target of their latest attempt" } }
                div.scroll tabindex="0" role="region" aria-label="Targets" { table {
                    thead { tr { th { "Target" } th.right { "Runs" } th.right { "Attempts" } th.right { "Failed" } th.right title="attempts that failed, of all" { "Retry share" } th.right title="attempts for each step that succeeded" { "Amplification" } } }
                    tbody { @for (name, target) in board.targets.iter().take(50) { tr {
                        td { (theirs(name)) }
                        td.right { (html::count(target.runs)) }
                        td.right { (html::count(target.attempts)) }
                        td.right { @if target.failures > 0 { span.warn { (html::count(target.failures)) } } }
                        td.right.num { (percent(target.failures, target.attempts)) }
                        td.right.num { (format!("{:.2}×", target.attempts as f64 / target.steps.max(1) as f64)) }
                    } } }
                } }
            }
        }
    }
}

fn silent(board: &Board, now: Timestamp) -> Markup {
    html! {
        @if !board.silent.is_empty() {
            section aria-labelledby="silent-title" {
                h2 #silent-title { "Last sign of life" span.faint { " · runs at work, the longest silence first" } }
                div.scroll tabindex="0" role="region" aria-label="Runs at work" { table {
                    thead { tr { th { "Run" } th { "Workflow" } th { "Does" } th { "Target" } th { "Worker" } th.right { "Last event" } } }
                    tbody { @for run in &board.silent { tr {
                        td { (html::run(run)) } td { (theirs(&run.workflow)) } td { (theirs(&run.doing)) }
                        td { (theirs(run.target.as_deref().unwrap_or_default())) } td { (theirs(&run.worker)) }
                        td.right.nowrap { (age(run.updated_at, now)) }
                    } } }
                } }
            }
        }
    }
}
