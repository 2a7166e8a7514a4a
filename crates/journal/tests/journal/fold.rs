//! The fold says the same however it is reached, and a rewind takes back what happened but not what it cost.

use fastrand::Rng;
use midwatch_journal::{Fold, Status, effective};
use midwatch_workflow::event::{Ended, TimerPurpose};
use midwatch_workflow::{
    Charge, Class, Event, EventKind, Failure, Money, OpId, ParkReason, Payload, RunResult, Spent, Timestamp,
    Usage,
};

use crate::build::*;

const SEEDS: u64 = 500;

#[test]
fn all_events_at_once_and_one_by_one_fold_to_the_same() {
    for seed in 0..SEEDS {
        let events = history(seed, Rewinds::No);
        let EventKind::RunStarted(start) = &events[0].kind else { panic!("no start") };
        let mut fold = Fold::begin(start, events[0].at);
        for event in &events[1..] {
            fold.apply(event);
            // A summary on the way must change nothing that comes later.
            fold.summarize();
        }
        fold.summarize();
        assert_eq!(format!("{fold:?}"), format!("{:?}", Fold::of(&events).unwrap()), "seed {seed}");
    }
}

#[test]
fn a_rewound_run_stands_where_its_effective_events_leave_it() {
    for seed in 0..SEEDS {
        let events = history(seed, Rewinds::Yes);
        let kept: Vec<Event> = effective(&events).into_iter().map(|(_, event)| event.clone()).collect();
        let (whole, kept) = (Fold::of(&events).unwrap(), Fold::of(&kept).unwrap());
        let state = |fold: &Fold| {
            let summary = &fold.summary;
            let listed =
                (summary.status, summary.doing.clone(), summary.wake_at, summary.parked, summary.steps);
            format!(
                "{listed:?} {:?} {:?} {:?} {:?} {:?}",
                fold.open,
                fold.deadline,
                fold.progress,
                fold.halted,
                (fold.is_paused, fold.is_cancelled)
            )
        };
        assert_eq!(state(&whole), state(&kept), "seed {seed}: {events:#?}");
    }
}

#[test]
fn counts_and_costs_survive_every_rewind() {
    for seed in 0..SEEDS {
        let events = history(seed, Rewinds::Yes);
        let (mut attempts, mut failures, mut spent) = (0, 0, Spent::default());
        for event in &events {
            match &event.kind {
                EventKind::AttemptScheduled(_) => attempts += 1,
                EventKind::AttemptEnded { result, charges, .. } => {
                    failures += u64::from(matches!(result, Ended::Failed(_)));
                    spent.add_all(charges);
                }
                _ => {}
            }
        }
        let summary = Fold::of(&events).unwrap().summary;
        let found = (summary.events, summary.attempts, summary.failures, summary.spent);
        assert_eq!(found, (events.len() as u64, attempts, failures, spent), "seed {seed}");
    }
}

#[test]
fn events_survive_json() {
    for seed in 0..SEEDS {
        let events = history(seed, Rewinds::Yes);
        let json = serde_json::to_string(&events).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Event>>(&json).unwrap(), events, "seed {seed}");
    }
}

#[test]
fn what_does_not_begin_with_a_start_has_no_fold() {
    assert!(Fold::of(&[]).is_none());
    assert!(Fold::of(&[event(0, scheduled(1))]).is_none());
}

#[test]
fn the_status_says_what_holds_the_run() {
    let begin = || EventKind::RunStarted(Box::new(started(run(1), "order-1")));
    let timer = || EventKind::TimerStarted { op: OpId(1), until: at(9), purpose: TimerPurpose::Sleep };
    let pause = || EventKind::Paused { reason: "why".to_owned(), by: "me".to_owned() };
    let park =
        || EventKind::Parked { op: None, step: None, reason: ParkReason::Stray, message: "why".to_owned() };
    let cancelled = |compensated| {
        let failure = Failure::new(Class::Cancelled, "enough");
        EventKind::RunEnded { result: RunResult::Failed { failure, compensated, resolved: 0 } }
    };
    let cases = [
        (Status::Running, vec![]),
        (Status::Running, vec![scheduled(1)]),
        (Status::Waiting, vec![timer()]),
        (Status::Running, vec![timer(), scheduled(2)]),
        (Status::Paused, vec![timer(), pause()]),
        (Status::Parked, vec![timer(), pause(), park()]),
        (Status::Paused, vec![timer(), pause(), park(), EventKind::Unparked { by: "me".to_owned() }]),
        (Status::Completed, vec![scheduled(1), ended(1), completed()]),
        (Status::Cancelled, vec![cancelled(0)]),
        (Status::Compensated, vec![cancelled(2)]),
    ];
    for (status, kinds) in cases {
        let kinds = std::iter::once(begin()).chain(kinds);
        let events: Vec<Event> = kinds.zip(0..).map(|(kind, micros)| event(micros, kind)).collect();
        assert_eq!(Fold::of(&events).unwrap().summary.status, status, "{events:?}");
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Rewinds {
    No,
    Yes,
}

/// A random history, in which anything may follow anything.
fn history(seed: u64, rewinds: Rewinds) -> Vec<Event> {
    let mut random = Rng::with_seed(seed);
    let mut events = vec![event(0, EventKind::RunStarted(Box::new(started(run(1), "order-1"))))];
    for micros in 1..random.u64(1..60) {
        let kind = match random.u8(0..20) {
            0 if rewinds == Rewinds::Yes => {
                EventKind::Rewound { to: random.u64(1..=events.len() as u64), by: "me".to_owned() }
            }
            _ => any(&mut random, at(micros)),
        };
        events.push(event(micros, kind));
    }
    events
}

fn any(random: &mut Rng, now: Timestamp) -> EventKind {
    let op = OpId(random.u32(1..8));
    let by = || "me".to_owned();
    match random.u8(0..14) {
        0..=2 => scheduled(op.0),
        3..=5 => EventKind::AttemptEnded { op, result: result(random), charges: charges(random) },
        6 => EventKind::Heartbeat {
            op,
            progress: Payload::of(&random.u8(..)).unwrap(),
            charges: charges(random),
        },
        7 => {
            let until = now + std::time::Duration::from_secs(random.u64(1..100));
            EventKind::TimerStarted { op, until, purpose: TimerPurpose::Sleep }
        }
        8 => EventKind::TimerFired { op },
        9 => EventKind::Abandoned { op },
        10 => EventKind::Paused { reason: "why".to_owned(), by: by() },
        11 => EventKind::Resumed { by: by() },
        12 => EventKind::Parked {
            op: Some(op),
            step: None,
            reason: ParkReason::Budget,
            message: "spent".to_owned(),
        },
        _ => EventKind::CancelRequested { class: Class::Cancelled, reason: "why".to_owned(), by: by() },
    }
}

fn result(random: &mut Rng) -> Ended {
    match random.bool() {
        true => Ended::Ok(Payload::of(&"done").unwrap()),
        false => Ended::Failed(Failure::new(Class::Server, "no")),
    }
}

fn charges(random: &mut Rng) -> Vec<Charge> {
    let charge = |random: &mut Rng| Charge {
        target: "openai:gpt-4o".to_owned(),
        usage: Usage { calls: 1, input: random.u64(0..1_000), ..Usage::default() },
        cost: random.bool().then(|| Money::from_picos(random.u64(0..1_000_000))),
        ..Charge::default()
    };
    (0..random.u8(0..3)).map(|_| charge(random)).collect()
}
