//! Counters and histograms: what events add to them, in the order in which they were committed.

use std::collections::HashMap;

use midwatch_workflow::event::{AttemptScheduled, WaitReason};
use midwatch_workflow::{
    Charge, Class, Ended, Event, EventKind, Money, OpId, ParkReason, RunId, RunResult, Timestamp,
};

use super::family::{
    ATTEMPT_DURATION, ATTEMPTS, COST, PARKS, RETRIES, RUN_COST, RUN_DURATION, RUNS_ENDED, RUNS_STARTED,
    SCHEDULE_TO_START, TOKENS, UNPRICED, WASTED,
};
use super::value::Metrics;
use crate::run::{Run, Status};

/// So much is remembered between events: open runs, and of each its attempts under way and the steps that failed.
const RUNS_MAX: usize = 20_000;
const OPEN_MAX: usize = 1_000;

/// The counters, and what must be remembered of open runs to count on.
#[derive(Debug, Default)]
pub struct Counts {
    /// What has been counted.
    pub metrics: Metrics,
    runs: HashMap<RunId, Known>,
    clock: u64,
}

/// What is remembered of an open run.
#[derive(Debug, Default)]
struct Known {
    workflow: String,
    started_at: Timestamp,
    /// Of its last failure, as far as the list said.
    class: Option<Class>,
    attempts: HashMap<OpId, Attempt>,
    /// Steps that failed and may be tried again.
    failed: HashMap<(String, u32), Class>,
    seen: u64,
}

/// An attempt under way.
#[derive(Debug)]
struct Attempt {
    step: (String, u32),
    target: String,
    at: Timestamp,
    started: Option<Timestamp>,
    held_by: &'static str,
}

impl Counts {
    /// Whether [`apply`](Self::apply) needs the run as lists show it.
    pub fn needs(&self, run: RunId, events: &[Event]) -> bool {
        let is_start = matches!(events.first().map(|event| &event.kind), Some(EventKind::RunStarted(_)));
        let ends = events.iter().any(|event| matches!(event.kind, EventKind::RunEnded { .. }));
        ends || !(is_start || self.runs.contains_key(&run))
    }

    /// Takes in events of one run that were committed together; `about` is the run as lists show it, if it was needed.
    pub fn apply(&mut self, run: RunId, events: &[Event], about: Option<&Run>) {
        self.clock += 1;
        let mut known = self.runs.remove(&run).or_else(|| about.map(Known::of)).unwrap_or_default();
        known.seen = self.clock;
        // A fork begins with its parent's events; what they spent was counted there.
        let mut counted_from = Timestamp::default();
        let mut is_open = true;
        for event in events {
            if let EventKind::RunStarted(start) = &event.kind {
                known.workflow.clone_from(&start.workflow);
                known.started_at = event.at;
                counted_from = start.forked_from.map(|_| event.at).unwrap_or_default();
            }
            let is_counted = event.at >= counted_from;
            let mut unused = Metrics::default();
            let metrics = if is_counted { &mut self.metrics } else { &mut unused };
            known.apply(event, metrics, about);
            is_open = !matches!(event.kind, EventKind::RunEnded { .. });
        }
        if is_open {
            self.runs.insert(run, known);
            self.forget();
        }
    }

    /// Keeps what is remembered within its bound: the half that has been quiet for longest goes.
    fn forget(&mut self) {
        if self.runs.len() <= RUNS_MAX {
            return;
        }
        let mut seen: Vec<u64> = self.runs.values().map(|known| known.seen).collect();
        let (_, median, _) = seen.select_nth_unstable(RUNS_MAX / 2);
        let median = *median;
        self.runs.retain(|_, known| known.seen > median);
    }
}

impl Known {
    fn of(run: &Run) -> Self {
        Self {
            workflow: run.workflow.clone(),
            started_at: run.started_at,
            class: run.class,
            ..Self::default()
        }
    }

    fn apply(&mut self, event: &Event, metrics: &mut Metrics, about: Option<&Run>) {
        match &event.kind {
            EventKind::RunStarted(_) => {
                metrics.add(&RUNS_STARTED, &[&self.workflow], 1);
                // A counter that is not there before its first event hides that event from `rate`.
                for status in [Status::Completed, Status::Failed, Status::Compensated, Status::Cancelled] {
                    metrics.add(&RUNS_ENDED, &[&self.workflow, status.as_str()], 0);
                }
            }
            EventKind::AttemptScheduled(attempt) => self.schedule(attempt, event.at, metrics),
            EventKind::AttemptStarted { op } => {
                if let Some(attempt) = self.attempts.get_mut(op) {
                    attempt.started = Some(event.at);
                    let waited = micros(event.at, attempt.at);
                    metrics.observe(&SCHEDULE_TO_START, &[&self.workflow, attempt.held_by], waited);
                }
            }
            EventKind::AttemptEnded { op, result, charges } => {
                self.end_attempt(*op, result, event.at, metrics);
                self.charge(result, charges, metrics);
            }
            EventKind::Parked { reason, .. } => metrics.add(&PARKS, &[&self.workflow, word(*reason)], 1),
            EventKind::RunEnded { result } => {
                let status = status(result);
                metrics.add(&RUNS_ENDED, &[&self.workflow, status.as_str()], 1);
                metrics.observe(&RUN_DURATION, &[&self.workflow], micros(event.at, self.started_at));
                let cost = about.map_or(Money::ZERO, |run| run.spent.cost);
                if cost > Money::ZERO {
                    metrics.observe(&RUN_COST, &[&self.workflow], cost.as_picos());
                }
            }
            _ => {}
        }
    }

    fn schedule(&mut self, attempt: &AttemptScheduled, at: Timestamp, metrics: &mut Metrics) {
        let step = (attempt.step.to_string(), attempt.nth);
        if attempt.attempt > 1 {
            let class = self.failed.remove(&step).or(self.class).unwrap_or(Class::Unknown);
            metrics.add(&RETRIES, &[&self.workflow, class.as_str()], 1);
        }
        let held_by = held_by(attempt.waits);
        let started = attempt.waits.is_none().then_some(at);
        if started.is_some() {
            metrics.observe(&SCHEDULE_TO_START, &[&self.workflow, held_by], 0);
        }
        if self.attempts.len() < OPEN_MAX {
            let target = attempt.target.as_deref().unwrap_or_default().to_owned();
            self.attempts.insert(attempt.op, Attempt { step, target, at, started, held_by });
        }
    }

    fn end_attempt(&mut self, op: OpId, result: &Ended, at: Timestamp, metrics: &mut Metrics) {
        let attempt = self.attempts.remove(&op);
        let target = attempt.as_ref().map(|attempt| attempt.target.as_str()).unwrap_or_default();
        metrics.add(&ATTEMPTS, &[&self.workflow, target, class(result)], 1);
        let Some(attempt) = attempt else { return };
        if let Some(started) = attempt.started {
            metrics.observe(&ATTEMPT_DURATION, &[&attempt.target], micros(at, started));
        }
        match result {
            Ended::Failed(failure) if self.failed.len() < OPEN_MAX => {
                self.failed.insert(attempt.step, failure.class);
            }
            Ended::Failed(_) => {}
            Ended::Ok(_) => drop(self.failed.remove(&attempt.step)),
        }
    }

    fn charge(&self, result: &Ended, charges: &[Charge], metrics: &mut Metrics) {
        for charge in charges {
            let (provider, model) = charge.target.split_once(':').unwrap_or(("", &charge.target));
            let usage = &charge.usage;
            for (kind, tokens) in [
                ("input", usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write)),
                ("cache_read", usage.cached),
                ("cache_write", usage.cache_write),
                ("output", usage.output.saturating_sub(usage.reasoning)),
                ("reasoning", usage.reasoning),
            ] {
                if tokens > 0 {
                    metrics.add(&TOKENS, &[provider, model, kind], tokens);
                }
            }
            let Some(cost) = charge.cost else {
                metrics.add(&UNPRICED, &[provider, model], 1);
                continue;
            };
            metrics.add(&COST, &[&self.workflow, provider, model], cost.as_picos());
            if let Ended::Failed(failure) = result {
                metrics.add(&WASTED, &[&self.workflow, failure.class.as_str()], cost.as_picos());
            }
        }
    }
}

fn class(result: &Ended) -> &'static str {
    match result {
        Ended::Ok(_) => "ok",
        Ended::Failed(failure) => failure.class.as_str(),
    }
}

/// Where a run stands after this end.
fn status(result: &RunResult) -> Status {
    match result {
        RunResult::Completed(_) => Status::Completed,
        RunResult::Failed { compensated: 1.., .. } => Status::Compensated,
        RunResult::Failed { failure, .. } if failure.class == Class::Cancelled => Status::Cancelled,
        RunResult::Failed { .. } => Status::Failed,
    }
}

pub(super) fn held_by(waits: Option<WaitReason>) -> &'static str {
    match waits {
        None => "nothing",
        Some(WaitReason::Queue) => "queue",
        Some(WaitReason::Gate) => "gate",
        Some(WaitReason::Paused) => "paused",
        Some(WaitReason::Code) => "code",
        Some(WaitReason::Stopping) => "stopping",
    }
}

/// The journal's word for why a run is parked.
pub(super) fn word(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::Budget => "budget",
        ParkReason::CompensationFailed => "compensation_failed",
        ParkReason::ReplayedFailure => "replayed_failure",
        ParkReason::Mismatch => "mismatch",
        ParkReason::Panicked => "panicked",
        ParkReason::Stray => "stray",
        ParkReason::NoCode => "no_code",
    }
}

fn micros(at: Timestamp, since: Timestamp) -> u64 {
    at.as_micros().saturating_sub(since.as_micros())
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::{Event, Failure};

    use super::super::value::Value;
    use super::*;
    use crate::corpus::{Tale, World};
    use crate::metrics::Family;

    fn counter(counts: &Counts, family: &'static Family, labels: &[&str]) -> u64 {
        match counts.metrics.value(family, labels) {
            Some(Value::Counter(value)) => *value,
            _ => 0,
        }
    }

    fn total(counts: &Counts, family: &'static Family) -> u64 {
        let values = counts.metrics.values(family);
        values.map(|(_, value)| if let Value::Counter(value) = value { *value } else { 0 }).sum()
    }

    /// Counts a tale in pieces of so many events, as a journal may have them.
    fn counted(counts: &mut Counts, tale: &Tale, piece: usize, status: Status) {
        let row = tale.row(status);
        for events in tale.events.chunks(piece) {
            let about = counts.needs(tale.run, events).then_some(&row);
            counts.apply(tale.run, events, about);
        }
    }

    fn tale(n: u64) -> Tale {
        let mut tale = Tale::begin(World::of(0), n);
        tale.usual_work(n);
        tale.complete();
        tale
    }

    #[test]
    fn tokens_and_dollars_agree_with_the_lists_however_events_are_cut_into_rows() {
        for piece in [1, 2, 3, 100] {
            let mut counts = Counts::default();
            let (mut tokens, mut picos) = (0, 0);
            for n in 0..20 {
                let tale = tale(n);
                counted(&mut counts, &tale, piece, Status::Completed);
                let spent = tale.row(Status::Completed).spent;
                tokens += spent.usage.tokens();
                picos += spent.cost.as_picos();
            }
            assert_eq!((total(&counts, &TOKENS), total(&counts, &COST)), (tokens, picos));
            assert_eq!(counter(&counts, &RUNS_ENDED, &["research", "completed"]), 20);
            let Some(Value::Histogram(cost)) = counts.metrics.value(&RUN_COST, &["research"]) else {
                panic!("no costs");
            };
            assert_eq!((cost.count(), cost.sum), (20, picos));
            assert!(counts.runs.is_empty(), "ended runs are forgotten");
        }
    }

    #[test]
    fn a_retry_is_counted_by_the_class_of_the_failure_before_and_its_cost_as_waste() {
        let mut tale = Tale::begin(World::of(0), 1);
        let op = tale.ask("call_llm");
        let charge = tale.world.charge(7);
        let cost = charge.cost.map(Money::as_picos).unwrap_or_default();
        tale.fail(op, Failure::new(Class::Overloaded, "busy"), vec![charge]);
        let op = tale.again("call_llm", 2, |_| {});
        tale.ok(op, Vec::new());
        let mut counts = Counts::default();
        counted(&mut counts, &tale, 1, Status::Running);
        assert_eq!(counter(&counts, &RETRIES, &["research", "overloaded"]), 1);
        assert_eq!(counter(&counts, &WASTED, &["research", "overloaded"]), cost);
        assert_eq!(counter(&counts, &ATTEMPTS, &["research", "openai:gpt-4o", "overloaded"]), 1);
        assert_eq!(counter(&counts, &ATTEMPTS, &["research", "openai:gpt-4o", "ok"]), 1);
    }

    #[test]
    fn a_wait_before_an_attempt_is_told_by_what_held_it_back() {
        let mut tale = Tale::begin(World::of(0), 1);
        let op = tale.ask_held("call_llm", WaitReason::Queue);
        tale.after(90_000).start(op);
        let mut counts = Counts::default();
        counted(&mut counts, &tale, 1, Status::Running);
        let value = counts.metrics.value(&SCHEDULE_TO_START, &["research", "queue"]);
        let Some(Value::Histogram(waits)) = value else { panic!("{value:?}") };
        assert_eq!((waits.count(), waits.sum), (1, 90_000_000));
    }

    #[test]
    fn a_run_from_before_the_watch_began_is_counted_on_from_there() {
        let tale = tale(3);
        let mut counts = Counts::default();
        let row = tale.row(Status::Completed);
        let last: &[Event] = &tale.events[tale.events.len() - 2..];
        assert!(counts.needs(tale.run, last));
        counts.apply(tale.run, last, Some(&row));
        assert_eq!(counter(&counts, &RUNS_ENDED, &["research", "completed"]), 1);
        assert_eq!(total(&counts, &RUNS_STARTED), 0);
    }

    #[test]
    fn what_a_fork_repeats_is_not_counted_again() {
        let tale = tale(5);
        let mut counts = Counts::default();
        counted(&mut counts, &tale, 100, Status::Completed);
        let before = total(&counts, &TOKENS);
        let mut copied = tale.events[..tale.events.len() - 1].to_vec();
        let at = tale.at + std::time::Duration::from_secs(60);
        let origin = copied[0].at;
        if let Event { at: started, kind: EventKind::RunStarted(start) } = &mut copied[0] {
            *started = at;
            start.forked_from = Some(midwatch_workflow::event::ForkedFrom {
                run: tale.run,
                event: 3,
                origin_at: origin,
                origin: tale.run,
            });
        }
        counts.apply(tale.run.derive(at, b"fork"), &copied, None);
        assert_eq!(total(&counts, &TOKENS), before);
        assert_eq!(total(&counts, &RUNS_STARTED), 2);
    }

    #[test]
    fn what_is_remembered_of_open_runs_is_bounded() {
        let mut counts = Counts::default();
        for n in 0..RUNS_MAX as u64 + 5_000 {
            let mut tale = Tale::begin(World::of(0), 1);
            tale.run = tale.run.derive(tale.at, &n.to_be_bytes());
            counts.apply(tale.run, &tale.events, None);
        }
        assert!(counts.runs.len() <= RUNS_MAX);
        assert_eq!(total(&counts, &RUNS_STARTED), RUNS_MAX as u64 + 5_000);
    }
}
