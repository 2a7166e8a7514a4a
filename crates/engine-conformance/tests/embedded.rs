//! The embedded engine keeps every promise, in memory with a crash at every append. One test for each exercise, so that
//! they run side by side.
//!
//! `BLESS=1` writes the stories anew, to be read before they are committed.

use midwatch_engine_conformance::{EmbeddedHarness, Exercise, exercises, on_embedded, perform};

fn check(name: &str) {
    let exercise =
        exercises::ALL.iter().find(|exercise| exercise.name == name).expect("an exercise of that name");
    if std::env::var_os("BLESS").is_some() {
        return bless(exercise);
    }
    if let Err(trouble) = on_embedded(exercise) {
        panic!("{}: {trouble}", exercise.promise);
    }
}

fn bless(exercise: &Exercise) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let linger = std::time::Duration::from_millis(100);
    let account = runtime.block_on(async {
        perform(exercise, Box::new(EmbeddedHarness::in_memory(Vec::new(), linger))).await
    });
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercises");
    match account {
        Ok(account) => std::fs::write(format!("{folder}/{}.story", exercise.name), account.story())
            .expect("the story is written"),
        Err(trouble) => panic!("{}: {trouble}", exercise.name),
    }
}

macro_rules! exercises {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_exercise_is_done() {
            let done = [$(stringify!($name)),*];
            for exercise in exercises::ALL {
                assert!(done.contains(&exercise.name), "{} is not done here", exercise.name);
            }
        }
    };
}

exercises!(
    abandon,
    attempt_timeout,
    budget_fail,
    budget_park,
    cancel,
    cancel_while_compensating,
    child,
    child_cancelled,
    child_cancelled_at_once,
    compensation_forgotten,
    compensation_order,
    compensation_parks_and_resolves,
    compensation_uncertain,
    duplicate_start,
    fork,
    heartbeat_miss,
    heartbeat_progress,
    join_order,
    mismatch,
    panic_in_step,
    panic_in_workflow,
    patch,
    pause_resume,
    payload_too_large,
    queue_concurrency,
    queue_timeout,
    replayed_failure,
    retry,
    retry_after,
    retry_given_up,
    retry_now,
    rewind,
    run_deadline,
    run_deadline_while_compensating,
    signal_after,
    signal_before,
    signal_timeout,
    step_timeout,
    stray,
    timer,
    unknown_step,
);
