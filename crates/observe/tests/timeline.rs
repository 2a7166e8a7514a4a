//! The timeline of a run, from its events alone.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

use std::time::Duration;

use midwatch_observe::Timeline;
use midwatch_observe::timeline::{Entry, Signal, What};
use midwatch_workflow::{Event, EventKind, Money, Timestamp};
use serde_json::{Value, json};

const RUN: &str = "01a20c5ab56871018101010101010101";

/// The event kinds as the journal has them, a second apart.
fn events(kinds: &[Value]) -> Vec<Event> {
    let start = json!({"run_started": {"run": RUN, "workflow": "w", "workflow_id": "id", "input": null}});
    std::iter::once(&start).chain(kinds).zip(0..).map(|(kind, n)| event(kind, n)).collect()
}

fn event(kind: &Value, n: u64) -> Event {
    let kind: EventKind = serde_json::from_value(kind.clone()).unwrap();
    Event { at: Timestamp::from_micros(0) + Duration::from_secs(n), kind }
}

fn attempt(op: u32, step: &str, attempt: u32) -> Value {
    json!({"attempt_scheduled": {"op": op, "step": step, "attempt": attempt, "timeout_ms": 1000}})
}

fn ok(op: u32) -> Value {
    json!({"attempt_ended": {"op": op, "result": {"ok": 1}}})
}

fn fails(op: u32, picos: u64) -> Value {
    let failure = json!({"class": "server", "message": "no"});
    let charge = json!({"target": "x:y", "usage": {"input": 10}, "cost": picos});
    json!({"attempt_ended": {"op": op, "result": {"failed": failure}, "charges": [charge]}})
}

fn awaits(op: u32) -> Value {
    json!({"signal_awaited": {"op": op, "name": "go"}})
}

fn comes(payload: u32) -> Value {
    json!({"signal_received": {"name": "go", "payload": payload}})
}

fn signals(timeline: &Timeline) -> Vec<&Signal> {
    let found = timeline.entries.iter().filter_map(|entry| match entry {
        Entry::Signal(signal) => Some(signal),
        _ => None,
    });
    found.collect()
}

fn taken(signal: &Signal) -> Option<&str> {
    signal.received.as_ref().map(|received| received.payload.as_str())
}

#[test]
fn no_start_no_timeline() {
    assert_eq!(Timeline::of(&[]), None);
    assert_eq!(Timeline::of(&[event(&ok(1), 0)]), None);
}

#[test]
fn the_attempts_of_a_step_are_one_entry_with_the_wait_between() {
    let retry = json!({"retry": {"step": "a", "attempt": 2, "of": 5, "because": "retry_after"}});
    let timer = json!({"timer_started": {"op": 2, "until": 9_000_000, "purpose": retry}});
    let fired = json!({"timer_fired": {"op": 2}});
    let events = events(&[attempt(1, "a", 1), fails(1, 5), timer, fired, attempt(3, "a", 2), ok(3)]);
    let timeline = Timeline::of(&events).unwrap();
    let step = timeline.steps().next().unwrap();
    let numbers: Vec<_> = step.attempts.iter().map(|attempt| (attempt.number, attempt.asked.event)).collect();
    assert_eq!(numbers, [(1, 2), (2, 6)]);
    let wait = step.attempts[0].retry.as_ref().unwrap();
    assert_eq!((wait.asked.event, wait.fired.unwrap().event), (4, 5));
    assert_eq!(timeline.steps().count(), 1);
}

#[test]
fn a_rewind_voids_what_lies_beyond_it_but_not_its_cost() {
    let rewound = json!({"rewound": {"to": 3, "by": "ann"}});
    let gave_up =
        json!({"noted": {"op": 3, "note": {"gave_up": {"step": "b", "attempts": 1, "because": "class"}}}});
    let ended =
        json!({"run_ended": {"result": {"failed": {"failure": {"class": "server", "message": "no"}}}}});
    let events = events(&[
        attempt(1, "a", 1),
        ok(1),
        attempt(2, "b", 1),
        fails(2, 7),
        gave_up,
        ended,
        rewound,
        attempt(2, "b", 1),
        ok(2),
    ]);
    let timeline = Timeline::of(&events).unwrap();
    let steps: Vec<_> = timeline.steps().collect();
    assert_eq!(steps[0].attempts[0].void, None);
    let voids: Vec<_> = steps[1].attempts.iter().map(|attempt| (attempt.asked.event, attempt.void)).collect();
    assert_eq!(voids, [(4, Some(8)), (9, None)]);
    assert_eq!((steps[1].void, steps[1].gave_up.as_ref(), timeline.end.as_ref()), (None, None, None));
    assert_eq!((timeline.spent.cost, timeline.wasted), (Money::from_picos(7), Money::from_picos(7)));
    let told = timeline.entries.iter().any(|entry| match entry {
        Entry::Happening(happening) => matches!(happening.what, What::Rewound { to: 3, .. }),
        _ => false,
    });
    assert!(told);
}

#[test]
fn an_attempt_that_a_rewind_reopens_is_there_as_it_was_and_as_it_is() {
    let rewound = json!({"rewound": {"to": 2, "by": "ann"}});
    let events = events(&[attempt(1, "slow", 1), attempt(2, "b", 1), fails(2, 1), fails(1, 2), rewound]);
    let timeline = Timeline::of(&events).unwrap();
    let slow = timeline.steps().find(|step| step.name == "slow").unwrap();
    let seen: Vec<_> = slow.attempts.iter().map(|attempt| (attempt.end.is_some(), attempt.void)).collect();
    assert!(seen.contains(&(true, Some(6))) && seen.contains(&(false, None)), "{seen:?}");
    let gone = timeline.steps().find(|step| step.name == "b").unwrap();
    assert_eq!(gone.void, Some(6));
    assert_eq!(timeline.spent.cost, Money::from_picos(3));
}

#[test]
fn signals_go_to_the_waits_of_their_name_in_order_whichever_came_first() {
    let timeline = Timeline::of(&events(&[comes(1), awaits(1), awaits(2), comes(2), comes(3)])).unwrap();
    let taken: Vec<_> = signals(&timeline).into_iter().map(taken).collect();
    assert_eq!(taken, [Some("1"), Some("2")]);
    let unclaimed = timeline.entries.iter().filter(|entry| matches!(entry, Entry::Unclaimed(_))).count();
    assert_eq!(unclaimed, 1);
}

#[test]
fn a_signal_after_the_time_limit_is_for_the_next_wait() {
    let limit = json!({"timer_started": {"op": 2, "until": 5, "purpose": "signal_timeout"}});
    let fired = json!({"timer_fired": {"op": 2}});
    let events = events(&[awaits(1), limit, fired, comes(1), awaits(3)]);
    let timeline = Timeline::of(&events).unwrap();
    let taken: Vec<_> = signals(&timeline).into_iter().map(taken).collect();
    assert_eq!(taken, [None, Some("1")]);
    assert_eq!(signals(&timeline)[0].limit.unwrap().fired.unwrap().event, 4);
}

#[test]
fn a_compensation_knows_its_step_and_the_step_its_compensation() {
    let undo = json!({"attempt_scheduled": {"op": 2, "step": "undo", "undoes": 1, "timeout_ms": 1}});
    let mut kinds = vec![attempt(1, "a", 1), ok(1), undo, fails(2, 0)];
    let undone_at = |kinds: &[Value]| {
        let timeline = Timeline::of(&events(kinds)).unwrap();
        let steps: Vec<_> = timeline.steps().collect();
        assert_eq!(steps[1].undoes.as_ref().unwrap().step.as_deref(), Some("a"));
        steps[0].undone_at.map(|mark| mark.event)
    };
    assert_eq!(undone_at(&kinds), None);
    kinds.pop();
    kinds.push(ok(2));
    assert_eq!(undone_at(&kinds), Some(5));
}

#[test]
fn a_parked_run_is_parked_until_somebody_answers() {
    let parked = json!({"parked": {"op": 1, "step": "a", "reason": "budget", "message": "spent"}});
    let answer = json!({"resolved": {"op": 1, "resolution": "retry", "by": "ann"}});
    let before = Timeline::of(&events(std::slice::from_ref(&parked))).unwrap();
    assert_eq!(before.parked().unwrap().step.as_deref(), Some("a"));
    assert!(Timeline::of(&events(&[parked, answer])).unwrap().parked().is_none());
    let halted = json!({"parked": {"reason": "mismatch", "message": "code differs"}});
    let unparked = json!({"unparked": {"by": "ann"}});
    assert!(Timeline::of(&events(std::slice::from_ref(&halted))).unwrap().parked().is_some());
    assert!(Timeline::of(&events(&[halted, unparked])).unwrap().parked().is_none());
}

#[test]
fn what_an_open_attempt_has_spent_is_what_its_last_heartbeat_said() {
    let charge = |picos: u64| json!([{"target": "x:y", "usage": {}, "cost": picos}]);
    let beat = |picos: u64| json!({"heartbeat": {"op": 1, "progress": 1, "charges": charge(picos)}});
    let timeline = Timeline::of(&events(&[attempt(1, "a", 1), beat(3), beat(8)])).unwrap();
    assert_eq!(timeline.spent.cost, Money::from_picos(8));
    assert_eq!(timeline.steps().next().unwrap().attempts[0].beat.as_ref().unwrap().count, 2);
}
