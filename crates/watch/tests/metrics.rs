//! Metrics of a real journal, as a scraper sees them.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use midwatch_journal::sqlite::{Options as JournalOptions, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal, Lease};
use midwatch_observe::corpus::{Tale, World};
use midwatch_observe::metrics::{Family, Metrics, Value, family};
use midwatch_watch::{Options, Watch};
use midwatch_workflow::{Event, ParkReason, Timestamp};

fn now() -> Timestamp {
    Timestamp::from_micros(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// A tale, told so that it has reached now less `ago`.
fn told(n: u64, ago: Duration, tell: impl FnOnce(&mut Tale)) -> Tale {
    let mut tale = Tale::begin(World::of(0), n);
    tell(&mut tale);
    let shift = now().since(tale.at).saturating_sub(ago);
    for event in &mut tale.events {
        event.at = event.at + shift;
    }
    tale.at = tale.at + shift;
    tale
}

fn write(journal: &SqliteJournal, tale: &Tale, first: usize, events: &[Event]) {
    let upto = &tale.events[..first - 1 + events.len()];
    let summary = Fold::of(upto).map(|fold| Box::new(fold.summary));
    let (done, written) = channel();
    let append = Append::new(tale.run, first as u64, events, summary).unwrap();
    journal.append(append, Box::new(move |outcome| done.send(outcome).unwrap()));
    written.recv().unwrap().unwrap();
}

fn all(journal: &SqliteJournal, tale: &Tale) {
    write(journal, tale, 1, &tale.events);
}

fn owner(path: &Path) -> SqliteJournal {
    SqliteJournal::open(path, JournalOptions::default()).unwrap()
}

/// Waits until a reading shows what is asked for.
fn wait(watch: &Watch, what: impl Fn(&Metrics) -> bool) -> Metrics {
    let begun = Instant::now();
    loop {
        let metrics = watch.found().metrics;
        if what(&metrics) {
            return (*metrics).clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{metrics:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = owner(&path);
    for n in 0..3 {
        all(
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
    write(&journal, &long, 1, &long.events[..4]);
    let watch = Watch::start(&path, quick()).unwrap();
    assert_eq!(number(&watch.found().metrics, &family::RUNS_STARTED, &["research"]), 0.0);
    write(&journal, &long, 5, &long.events[4..]);
    let new = told(8, Duration::ZERO, |tale| {
        tale.usual_work(2);
        tale.complete();
    });
    all(&journal, &new);
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = owner(&path);
    let lease = Lease::acquire(&path).unwrap();
    all(
        &journal,
        &told(1, Duration::from_secs(400), |tale| {
            tale.ask("call_llm");
        }),
    );
    all(
        &journal,
        &told(2, Duration::from_secs(30), |tale| {
            tale.ask("call_llm");
        }),
    );
    all(
        &journal,
        &told(3, Duration::from_secs(900), |tale| tale.park("call_llm", ParkReason::Budget, "reached")),
    );
    journal.close().unwrap();
    let watch = Watch::start(&path, quick()).unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = owner(&path);
    for n in 0..8 {
        all(
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
    all(&journal, &costly);
    let watch = Watch::start(&path, quick()).unwrap();
    let seen = watch.found().metrics;
    assert_eq!(number(&seen, &family::COST_OUTLIERS, &["research"]), 1.0);
    assert!(number(&seen, &family::COST_MEDIAN, &["research"]) > 0.0);
    assert_eq!(number(&seen, &family::BUDGET_USED, &["research"]), 0.5);
}

fn tale_events(n: u64) -> Vec<Event> {
    told(n, Duration::ZERO, |tale| tale.calls(40)).events
}
