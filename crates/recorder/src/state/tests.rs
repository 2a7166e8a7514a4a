//! How what is told becomes events, and what a run that is read back knows.

use midwatch_workflow::{Certainty, Charge, RunId, Usage, WorkflowId};

use super::*;
use crate::ask::NewAttempt;

const fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + second * 1_000_000)
}

fn begun() -> (RunState, String) {
    let start = RunStarted {
        workflow_id: WorkflowId::new("thread").unwrap(),
        worker: "recorder: test".to_owned(),
        ..RunStarted::bare(RunId::from_bytes([1; 16]), "w")
    };
    let (state, told) = RunState::begin(start, at(0));
    (state, told.text)
}

fn asks(same: u64) -> NewAttempt {
    let bound = Charge {
        certainty: Certainty::Bound,
        usage: Usage { input: 9, ..Usage::default() },
        ..Charge::default()
    };
    NewAttempt {
        same: Some(same),
        mark: Some(format!("span-{same}")),
        bounds: vec![bound],
        ..NewAttempt::new("ask")
    }
}

fn failed() -> Result<Payload, Failure> {
    Err(Failure::new(Class::Server, "down"))
}

fn events(text: &str) -> Vec<Event> {
    serde_json::from_str(&format!("[{text}]")).unwrap()
}

#[test]
fn a_request_that_failed_and_comes_again_is_the_next_attempt_also_after_a_restart() {
    let (mut state, mut text) = begun();
    let mut say = |told: Told| text.push_str(&format!(",{}", told.text));
    let (op, first, told) = state.schedule(asks(7), None, at(1));
    say(told);
    say(state.end_attempt(op, &first, failed(), None, at(2)).unwrap());
    let (op, other, told) = state.schedule(asks(8), None, at(2));
    say(told);
    say(state.end_attempt(op, &other, Ok(Payload::null()), Some(Vec::new()), at(2)).unwrap());
    assert_eq!((first.nth, other.nth, other.attempt), (1, 2, 1));
    let (_, again, _) = state.schedule(asks(7), None, at(3));
    assert_eq!((again.nth, again.attempt), (1, 2));
    let (_, anew, _) = state.schedule(asks(8), None, at(3));
    assert_eq!((anew.nth, anew.attempt), (3, 1), "what succeeded is asked anew");
    let state = RunState::of(&events(&text)).unwrap();
    assert!(state.knows("span-8") && !state.knows("span-9"));
}

#[test]
fn a_run_that_ended_is_taken_up_as_a_fold_over_its_events_says() {
    let (mut state, mut text) = begun();
    let (op, first, told) = state.schedule(asks(7), None, at(1));
    text.push_str(&format!(",{}", told.text));
    assert!(state.end(None, at(1)).is_none(), "a call is under way");
    for told in
        [state.end_attempt(op, &first, failed(), None, at(2)).unwrap(), state.end(None, at(900)).unwrap()]
    {
        text.push_str(&format!(",{}", told.text));
    }
    assert_eq!(state.fold.summary.status, Status::Failed);
    let mut reloaded = RunState::of(&events(&text)).unwrap();
    let (_, _, told) = state.schedule(asks(9), None, at(1_000));
    assert_eq!(reloaded.schedule(asks(9), None, at(1_000)).2.text, told.text);
    text.push_str(&format!(",{}", told.text));
    let mut whole = Fold::of(&events(&text)).unwrap();
    for fold in [&mut whole, &mut state.fold, &mut reloaded.fold] {
        fold.summarize();
    }
    assert_eq!((&state.fold.summary, &state.fold.open), (&whole.summary, &whole.open));
    assert_eq!((&reloaded.fold.summary, &reloaded.fold.open), (&whole.summary, &whole.open));
    assert_eq!(state.fold.summary.status, Status::Running);
}

#[test]
fn what_was_under_way_when_the_process_died_is_lost_with_its_bound() {
    let (mut state, mut text) = begun();
    text.push_str(&format!(",{}", state.schedule(asks(7), None, at(1)).2.text));
    let mut next = RunState::of(&events(&text)).unwrap();
    next.recover("recorder: next", at(60));
    let summary = &next.fold.summary;
    assert_eq!((summary.class, summary.spent.usage.input, summary.attempts), (Some(Class::Lost), 9, 1));
    assert!(next.fold.open.is_empty());
}
