//! Metrics of a real journal, as a scraper sees them.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

mod place;

use std::time::Duration;

use midwatch_journal::{Board, Fold, Lease};
use midwatch_observe::corpus::Tale;
use midwatch_observe::metrics::{Family, Metrics, Value, family};
use midwatch_watch::{Options, Watch};
use midwatch_workflow::gate::{GateClosed, GateView, HeldBy};
use midwatch_workflow::{Event, Gate, GatePolicy, ParkReason};

use place::{Place, told, until};

/// Waits until a reading shows what is asked for.
fn wait(watch: &Watch, what: impl Fn(&Metrics) -> bool) -> Metrics {
    until(|| {
        let metrics = watch.found().metrics;
        what(&metrics).then(|| (*metrics).clone())
    })
}

fn number(metrics: &Metrics, family: &Family, labels: &[&str]) -> f64 {
    match metrics.value(family, labels) {
        Some(Value::Counter(value)) => family.unit.shown(*value),
        Some(Value::Gauge(value)) => *value,
        Some(Value::Histogram(histogram)) => family.unit.shown(histogram.count()),
        None => 0.0,
    }
}

fn quick() -> Options {
    Options { every: Duration::from_millis(10) }
}

#[test]
fn counters_begin_at_the_end_of_the_journal_and_count_what_comes() {
    let place = Place::new();
    let journal = place.owner();
    for n in 0..3 {
        place.write(
            &journal,
            &told(n, Duration::from_secs(7_200), |tale| {
                tale.usual_work(n);
                tale.complete();
            }),
        );
    }
    // This one began before, and ends while it is watched.
    let long = told(7, Duration::ZERO, |tale| {
        tale.usual_work(1);
        tale.complete();
    });
    place.write_part(&journal, &long, 0, 4);
    let watch = Watch::start(place.path(), quick()).unwrap();
    assert_eq!(number(&watch.found().metrics, &family::RUNS_STARTED, &["research"]), 0.0);
    place.write_from(&journal, &long, 4);
    let new = told(8, Duration::ZERO, |tale| {
        tale.usual_work(2);
        tale.complete();
    });
    place.write(&journal, &new);
    let seen =
        wait(&watch, |metrics| number(metrics, &family::RUNS_ENDED, &["research", "completed"]) == 2.0);
    assert_eq!(number(&seen, &family::RUNS_STARTED, &["research"]), 1.0);
    let Some(Value::Histogram(costs)) = seen.value(&family::RUN_COST, &["research"]) else {
        panic!("{seen:#?}")
    };
    let spent = |tale: &Tale| Fold::of(&tale.events).unwrap().summary.spent.cost.as_picos();
    assert_eq!((costs.count(), costs.sum), (2, spent(&long) + spent(&new)));
}

#[test]
fn a_stall_is_seen_although_no_worker_lives_to_tell_of_it() {
    let place = Place::new();
    let journal = place.owner();
    let lease = Lease::acquire(place.path()).unwrap();
    place.write(
        &journal,
        &told(1, Duration::from_secs(400), |tale| {
            tale.ask("call_llm");
        }),
    );
    place.write(
        &journal,
        &told(2, Duration::from_secs(30), |tale| {
            tale.ask("call_llm");
        }),
    );
    place.write(
        &journal,
        &told(3, Duration::from_secs(900), |tale| tale.park("call_llm", ParkReason::Budget, "reached")),
    );
    journal.close().unwrap();
    let watch = Watch::start(place.path(), quick()).unwrap();
    let seen = watch.found().metrics;
    assert_eq!(number(&seen, &family::OWNER_UP, &[]), 1.0);
    // The worker dies.
    drop((lease, journal));
    let seen = wait(&watch, |metrics| number(metrics, &family::OWNER_UP, &[]) == 0.0);
    assert_eq!(number(&seen, &family::STALLED, &["research", "silent"]), 1.0);
    assert_eq!(number(&seen, &family::RUNS, &["research", "running"]), 2.0);
    assert_eq!(number(&seen, &family::PARKED, &["research", "budget"]), 1.0);
    let age = number(&seen, &family::HEARTBEAT_AGE, &["research"]);
    assert!((400.0..500.0).contains(&age), "{age}");
    assert_eq!(number(&seen, &family::JOURNAL_UP, &[]), 1.0);
    assert!(number(&seen, &family::COMMIT_DURATION, &[]) > 0.0, "{seen:#?}");
}

#[test]
fn a_run_beyond_three_medians_and_the_share_of_a_budget_are_read_from_the_journal() {
    let place = Place::new();
    let journal = place.owner();
    for n in 0..8 {
        place.write(
            &journal,
            &told(n, Duration::from_secs(86_400), |tale| {
                tale.usual_work(n);
                tale.complete();
            }),
        );
    }
    let mut costly = told(9, Duration::ZERO, |tale| tale.calls(40));
    let Event { kind: midwatch_workflow::EventKind::RunStarted(start), .. } = &mut costly.events[0] else {
        panic!()
    };
    let spent = Fold::of(&tale_events(9)).unwrap().summary.spent.cost;
    start.budget = Some(midwatch_workflow::Budget::usd(spent + spent));
    place.write(&journal, &costly);
    let watch = Watch::start(place.path(), quick()).unwrap();
    let seen = watch.found().metrics;
    assert_eq!(number(&seen, &family::COST_OUTLIERS, &["research"]), 1.0);
    assert!(number(&seen, &family::COST_MEDIAN, &["research"]) > 0.0);
    assert_eq!(number(&seen, &family::BUDGET_USED, &["research"]), 0.5);
}

fn tale_events(n: u64) -> Vec<Event> {
    told(n, Duration::ZERO, |tale| tale.calls(40)).events
}

#[test]
fn gates_are_those_of_the_process_that_owns_the_journal_and_gone_with_it() {
    let place = Place::new();
    drop(place.owner());
    let lease = Lease::acquire(place.path()).unwrap();
    let now = told(1, Duration::ZERO, |_| {}).at;
    let mut state = Gate::new(GatePolicy::default(), 1, now).state(now);
    let until = now + Duration::from_secs(600);
    state.closed = Some(GateClosed { until, because: HeldBy::Circuit });
    let gates = vec![GateView { target: "stripe".into(), waiting: 23, state }];
    Board { at: now, worker: "w1".to_owned(), gates }.write(place.path()).unwrap();
    let watch = Watch::start(place.path(), quick()).unwrap();
    let seen = watch.found().metrics;
    assert_eq!(number(&seen, &family::GATE_CLOSED, &["stripe", "circuit"]), 1.0);
    assert_eq!(number(&seen, &family::GATE_WAITING, &["stripe"]), 23.0);
    drop(lease);
    wait(&watch, |metrics| metrics.values(&family::GATE_WAITING).next().is_none());
}
