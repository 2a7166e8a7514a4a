//! Gauges: how a journal stands, as numbers.

use std::time::Duration;

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::gate::HeldBy;

use super::count::{held_by, word};
use super::family::{
    BUDGET_USED, COST_MEDIAN, COST_OUTLIERS, GATE_CLOSED, GATE_RATE, GATE_UNDER_WAY, GATE_WAITING,
    HEARTBEAT_AGE, LETTER_AGE, LETTERS, OWNER_UP, PARKED, RUNS, STALLED, WAITING_TO_START,
};
use super::value::Metrics;
use crate::run::Status;
use crate::stall::StallKind;
use crate::standing::{COST_TIMES, Standing, closed};
use crate::why::Owner;

/// Turns how a journal stands into gauges. What is not there any more has no value left.
pub fn gauges(standing: &Standing) -> Metrics {
    let mut metrics = Metrics::default();
    runs(standing, &mut metrics);
    quiet(standing, &mut metrics);
    costs(standing, &mut metrics);
    gates(standing, &mut metrics);
    let age = standing.oldest_letter.map_or(Duration::ZERO, |at| standing.now.since(at));
    metrics.set(&LETTERS, &[], number(standing.letters));
    metrics.set(&LETTER_AGE, &[], age.as_secs_f64());
    metrics.set(&OWNER_UP, &[], flag(matches!(standing.owner, Owner::Process { .. })));
    metrics
}

fn runs(standing: &Standing, metrics: &mut Metrics) {
    for (workflow, status, runs) in &standing.open {
        metrics.raise(&RUNS, &[workflow, status.as_str()], number(*runs));
    }
    for run in &standing.parked {
        if let Some(reason) = run.parked {
            metrics.raise(&PARKED, &[&run.workflow, word(reason)], 1.0);
        }
    }
}

fn quiet(standing: &Standing, metrics: &mut Metrics) {
    for stall in standing.usual_stalls() {
        let kind = match stall.kind {
            StallKind::Silent => "silent",
            StallKind::Overdue => "overdue",
        };
        metrics.raise(&STALLED, &[&stall.run.workflow, kind], 1.0);
    }
    let active = |status| matches!(status, Status::Running | Status::Compensating);
    for run in standing.quiet.iter().filter(|run| active(run.status)) {
        let silence = standing.now.since(run.updated_at).as_secs_f64();
        match run.held {
            None | Some(WaitReason::Code | WaitReason::Stopping) => {
                metrics.raise_to(&HEARTBEAT_AGE, &[&run.workflow], silence);
            }
            Some(WaitReason::Queue | WaitReason::Gate | WaitReason::Paused) => {}
        }
        if run.held.is_some_and(|held| held != WaitReason::Paused) {
            metrics.raise_to(&WAITING_TO_START, &[&run.workflow, held_by(run.held)], silence);
        }
    }
}

fn costs(standing: &Standing, metrics: &mut Metrics) {
    for (workflow, usual) in &standing.usual {
        metrics.set(&COST_MEDIAN, &[workflow], usual.median.as_usd());
        metrics.set(&COST_OUTLIERS, &[workflow], 0.0);
    }
    for beyond in standing.beyond(COST_TIMES) {
        metrics.raise(&COST_OUTLIERS, &[&beyond.run.workflow], 1.0);
    }
    for used in &standing.budgets {
        metrics.raise_to(&BUDGET_USED, &[&used.workflow], used.share);
    }
}

fn gates(standing: &Standing, metrics: &mut Metrics) {
    for gate in &standing.gates {
        let closed = closed(gate, standing.now);
        for (because, word) in [(HeldBy::CoolDown, "cool_down"), (HeldBy::Circuit, "circuit")] {
            metrics.set(&GATE_CLOSED, &[&gate.target, word], flag(closed == Some(because)));
        }
        metrics.set(&GATE_WAITING, &[&gate.target], number(gate.waiting as u64));
        metrics.set(&GATE_UNDER_WAY, &[&gate.target], f64::from(gate.state.under_way));
        metrics.set(&GATE_RATE, &[&gate.target], gate.state.rate);
    }
}

#[allow(clippy::cast_precision_loss)] // for charts only
fn number(count: u64) -> f64 {
    count as f64
}

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}
