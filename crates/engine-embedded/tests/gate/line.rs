//! Waiting at a gate: what the journal says of it, and what ends it.

use std::time::Duration;

use midwatch_engine_embedded::GateOptions;
use midwatch_journal::{Board, Journal as _};
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::gate::HeldBy;
use midwatch_workflow::{
    Class, Ended, Engine as _, Event, EventKind, GatePolicy, Message, StepOptions, Timeouts,
};

use crate::target::{Target, World};

const NEVER: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

/// One start every 100 s: the second run waits.
fn narrow() -> GateOptions {
    let policy = GatePolicy { burst: 1, ..GatePolicy::per_second(0.01) };
    GateOptions::default().target("api", policy)
}

async fn narrow_world(options: StepOptions) -> World {
    World::new(&Target::new(1e6, 1e6, NEVER), narrow(), options).await
}

fn scheduled(events: &[Event]) -> Option<WaitReason> {
    events.iter().find_map(|event| match &event.kind {
        EventKind::AttemptScheduled(attempt) => attempt.waits,
        _ => None,
    })
}

fn started_at(events: &[Event]) -> Option<midwatch_workflow::Timestamp> {
    events.iter().find_map(|event| matches!(event.kind, EventKind::AttemptStarted { .. }).then_some(event.at))
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_at_a_gate_says_so_and_starts_later_as_the_same_attempt() {
    let world = narrow_world(StepOptions::default()).await;
    let (first, second) = (world.start(1).await, world.start(1).await);
    assert!(world.completes(first).await && world.completes(second).await);
    let events = world.journal.events(first, 0).unwrap();
    assert_eq!((scheduled(&events), started_at(&events)), (None, None));
    let events = world.journal.events(second, 0).unwrap();
    assert_eq!(scheduled(&events), Some(WaitReason::Gate));
    let waited = started_at(&events).unwrap().since(events[0].at);
    assert!((99..102).contains(&waited.as_secs()), "{waited:?}");
    let attempts = events.iter().filter(|event| matches!(event.kind, EventKind::AttemptScheduled(_)));
    assert_eq!(attempts.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_wait_does_not_count_against_the_limit_of_the_attempt() {
    let timeouts = Timeouts { attempt: Duration::from_secs(1), ..Timeouts::default() };
    let world = narrow_world(StepOptions { timeouts, ..StepOptions::default() }).await;
    for run in [world.start(1).await, world.start(1).await] {
        assert!(world.completes(run).await);
    }
}

#[tokio::test(start_paused = true)]
async fn it_counts_against_the_limit_of_the_queue_and_the_gate_is_named() {
    let timeouts = Timeouts { queue: Duration::from_secs(10), ..Timeouts::default() };
    let retry = midwatch_workflow::RetryPolicy::never();
    let world = narrow_world(StepOptions { timeouts, retry, ..StepOptions::default() }).await;
    let (first, second) = (world.start(1).await, world.start(1).await);
    assert!(world.completes(first).await && !world.completes(second).await);
    let events = world.journal.events(second, 0).unwrap();
    let failure = events.iter().find_map(|event| match &event.kind {
        EventKind::AttemptEnded { result: Ended::Failed(failure), .. } => Some(failure.clone()),
        _ => None,
    });
    let failure = failure.expect("a failed attempt");
    assert_eq!(failure.class, Class::Timeout);
    assert!(failure.message.contains("gate of api"), "{failure}");
    assert_eq!(world.engine.gates()[0].waiting, 0, "it has left the line");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cancelled_leaves_the_line() {
    let world = narrow_world(StepOptions::default()).await;
    let runs = [world.start(1).await, world.start(1).await, world.start(1).await];
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.engine.gates()[0].waiting, 2);
    world
        .engine
        .send(runs[1], Message::Cancel { reason: "no need".into(), by: "test".into() })
        .await
        .unwrap();
    assert!(!world.completes(runs[1]).await);
    assert_eq!(world.engine.gates()[0].waiting, 1);
    let begun = world.clock.now();
    assert!(world.completes(runs[2]).await);
    assert!(world.clock.now().since(begun) < Duration::from_secs(102), "it has not lost its turn");
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_lets_its_turn_pass_and_lines_up_again_when_it_is_resumed() {
    let world = narrow_world(StepOptions::default()).await;
    let runs = [world.start(1).await, world.start(1).await];
    let by = || "test".to_owned();
    world.engine.send(runs[1], Message::Pause { reason: String::new(), by: by() }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(500)).await;
    let events = world.journal.events(runs[1], 0).unwrap();
    assert_eq!(started_at(&events), None);
    world.engine.send(runs[1], Message::Resume { by: by() }).await.unwrap();
    assert!(world.completes(runs[1]).await);
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_is_to_be_seen_with_its_time_and_who_waits() {
    let down = (Duration::ZERO, Duration::from_secs(60));
    let target = Target::new(1e6, 1e6, down);
    let world = World::new(&target, GateOptions::default(), StepOptions::default()).await;
    for _ in 0..50 {
        world.start(1).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let view = world.engine.gates().remove(0);
    let closed = view.state.closed.expect("a closed gate");
    assert_eq!((&*view.target, closed.because), ("api", HeldBy::Circuit));
    assert!(closed.until >= world.clock.now());
    assert!(view.waiting >= 40, "{view:?}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_gates_has_none() {
    let target = Target::new(1e6, 1e6, NEVER);
    let world = World::new(&target, GateOptions::off(), StepOptions::default()).await;
    let run = world.start(3).await;
    assert!(world.completes(run).await);
    assert_eq!(world.engine.gates(), []);
}

#[tokio::test(start_paused = true)]
async fn another_process_sees_a_closed_gate_and_the_next_one_begins_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("midwatch.db");
    let gates = || GateOptions::default().shown_beside(&journal);
    let target = Target::new(1e6, 1e6, (Duration::ZERO, Duration::from_secs(60)));
    let world = World::new(&target, gates(), StepOptions::default()).await;
    for _ in 0..50 {
        world.start(1).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let board = Board::read(&journal).unwrap().expect("shown");
    let gate = board.gate("api").expect("its gate");
    assert!(world.clock.now().since(board.at) <= Duration::from_secs(2));
    assert!(gate.waiting >= 40 && gate.state.closed.is_some(), "{gate:?}");
    world.engine.shut_down().await;

    let target = Target::new(1e6, 1e6, NEVER);
    let requests = target.requests().len();
    let world = World::new(&target, gates(), StepOptions::default()).await;
    world.start(1).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(target.requests().len(), requests, "it waits as the one before did");
    assert_eq!(world.engine.gates()[0].waiting, 1);
}
