//! A run that leaves its history wherever it can comes to the same journal as one that never does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use midwatch_engine_conformance::check_laws;
use midwatch_workflow::{
    Attempt, Class, Context, Ended, Event, EventKind, Failure, Message, OpId, Payload, Registry, RunId,
    RunResult, RunStarted, StepContext, StepDefinition, Timestamp, WorkflowDefinition, step_fn, workflow_fn,
};

use super::{Carried, Crowding, light};
use crate::translate::{Command, Input, Standing, Translation};
use crate::wire::Report;

async fn trip(cx: Context, n: u32) -> Result<u32, Failure> {
    let add = || step_fn("add", |_: StepContext, n: u32| async move { Ok::<_, Failure>(n) });
    let undo = || step_fn("undo", |_: StepContext, n: u32| async move { Ok::<_, Failure>(n) });
    let mut sum = 0;
    for i in 0..n {
        sum += cx.step(add(), &i).compensate(undo(), |i| i).await?;
    }
    cx.sleep(Duration::from_secs(1)).await?;
    let branch = || async {
        let mut sum = 0;
        for i in 0..n {
            sum += cx.step(add(), &i).await?;
        }
        Ok::<_, Failure>(sum)
    };
    let (left, right) = join(branch(), branch()).await;
    sum += left? + right?;
    let more: u32 = cx.signal("more").await?;
    match cx.patched("strict") && sum + more > 1_000 {
        true => Err(Failure::new(Class::InvalidRequest, "too much")),
        false => cx.step(add(), &(sum + more)).await,
    }
}

/// Plays the server: does one thing after the other.
struct Played {
    registry: Arc<Registry>,
    start: RunStarted,
    run: Translation,
    clock: u64,
    waiting: VecDeque<Input>,
    told: Vec<Event>,
    lives: u32,
}

fn is_patched(_: &str) -> bool {
    true
}

impl Played {
    fn new(n: u32) -> Self {
        let mut registry = Registry::default();
        registry.add_workflow(WorkflowDefinition::of(workflow_fn("trip", trip)));
        for name in ["add", "undo"] {
            let step = step_fn(name, |_: StepContext, n: u32| async move { Ok::<_, Failure>(n) });
            registry.add_step(StepDefinition::of(step));
        }
        let registry = Arc::new(registry);
        let run = RunId::from_bytes([7; 16]);
        let start = RunStarted { input: Payload::of(&n).unwrap(), ..RunStarted::bare(run, "trip") };
        let workflow = registry.workflow("trip").unwrap();
        let at = Timestamp::from_micros(1);
        let run = Translation::begin(Arc::clone(&registry), workflow, start.clone(), at, is_patched);
        let waiting = VecDeque::new();
        Self { registry, start, run, clock: 1, waiting, told: Vec::new(), lives: 1 }
    }

    /// Plays to the end, while the history has grown so long.
    fn play(mut self, signal: u32, crowding: Crowding) -> (RunResult, Vec<Event>, u32) {
        let payload = Payload::of(&signal).unwrap();
        let signal = Message::Signal { name: "more".to_owned(), payload, id: None };
        let mut inputs = VecDeque::from([Input::Message(signal, None)]);
        loop {
            self.obey();
            if self.run.may_leave() {
                self.leave();
            }
            if let Standing::Ended(result) = &self.run.standing {
                return (result.clone(), self.told, self.lives);
            }
            self.clock += 1;
            self.run.set_time(Timestamp::from_micros(self.clock));
            self.run.crowd(crowding);
            let next = inputs.pop_front().or_else(|| self.waiting.pop_front());
            self.run.take(next.expect("the run waits for something"));
        }
    }

    fn obey(&mut self) {
        for command in self.run.take_commands() {
            match command {
                Command::Attempt(op, attempt, _) => self.waiting.push_back(end(op, &attempt)),
                Command::Timer(op, _) => self.waiting.push_back(Input::Fired(op)),
                other => panic!("not part of this play: {other:?}"),
            }
        }
        self.told.extend(self.run.take_events());
    }

    fn leave(&mut self) {
        let is_attempt = |input: &Input| matches!(input, Input::Ended(..));
        assert!(!self.waiting.iter().any(is_attempt), "no attempt is under way");
        // Timers are begun again.
        self.waiting.clear();
        let carried = Carried::unpack(&self.run.carried().pack().unwrap()).unwrap();
        let workflow = self.registry.workflow("trip").unwrap();
        let (registry, start) = (Arc::clone(&self.registry), self.start.clone());
        self.run = Translation::resume(registry, workflow, start, carried, is_patched);
        self.told.clear();
        self.lives += 1;
        self.obey();
    }
}

/// Every third attempt fails at first.
fn end(op: OpId, attempt: &Attempt) -> Input {
    let ended = match attempt.attempt == 1 && attempt.nth.is_multiple_of(3) {
        true => Ended::Failed(Failure::new(Class::Server, "down")),
        false => Ended::Ok(attempt.input.clone()),
    };
    Input::Ended(op, Report { ended, charges: Vec::new(), beats: Vec::new() })
}

fn lightened(events: &[Event]) -> Vec<Event> {
    events.iter().map(light).collect()
}

#[test]
fn a_run_that_leaves_whenever_nothing_is_under_way_comes_to_the_same_journal() {
    for signal in [1, 5_000] {
        let (result, events, lives) = Played::new(4).play(signal, Crowding::Room);
        assert_eq!(lives, 1);
        let (again, told, lives) = Played::new(4).play(signal, Crowding::Crowded);
        assert!(lives > 8, "{lives} lives");
        assert_eq!(again, result);
        assert_eq!(lightened(&told), lightened(&events));
    }
}

#[test]
fn a_run_whose_history_is_full_leaves_although_it_always_has_attempts_under_way() {
    for signal in [1, 5_000] {
        let (result, events, _) = Played::new(4).play(signal, Crowding::Room);
        let (again, told, lives) = Played::new(4).play(signal, Crowding::Full);
        assert!(lives > 12, "{lives} lives");
        assert_eq!(again, result);
        assert_eq!(told.len(), events.len());
        check_laws(&told).unwrap();
    }
}

#[test]
fn a_run_that_stays_goes_on_as_if_there_were_room() {
    let mut played = Played::new(2);
    played.run.stay();
    let (_, _, lives) = played.play(1, Crowding::Full);
    assert_eq!(lives, 1);
}

#[test]
fn ten_thousand_small_steps_fit_into_one_payload() {
    let (_, events, _) = Played::new(3_000).play(1, Crowding::Room);
    let steps = events.iter().filter(|event| matches!(event.kind, EventKind::AttemptEnded { .. })).count();
    assert!(steps > 10_000, "{steps} attempts");
    let carried = Carried { events: lightened(&events), backlog: Vec::new() };
    let bytes = carried.pack().unwrap().data.len();
    assert!(bytes < crate::wire::BYTES_MAX / 4, "{bytes} bytes for {steps} attempts");
}
