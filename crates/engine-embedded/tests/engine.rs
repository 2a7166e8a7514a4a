//! What only this engine has: memory that runs leave, an inbox, a drain, an end by drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use midwatch_engine_embedded::{Clock, Embedded, Options, QueueOptions, Registry};
use midwatch_journal::memory::{CrashingJournal, MemoryJournal, When};
use midwatch_journal::{Journal, Status};
use midwatch_workflow::{
    Class, Context, Engine as _, EngineError, EventKind, Message, NewRun, Payload, RunId, RunResult,
    StepContext, StepDefinition, Timestamp, WorkflowDefinition, step_fn, workflow_fn,
};

const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// An endless loop of steps that never wait.
fn busy() -> WorkflowDefinition {
    let step = step_fn("quick", |_: StepContext, n: u64| async move { Ok(n) });
    WorkflowDefinition::of(workflow_fn("busy", move |cx: Context, _: ()| {
        let step = step.clone();
        async move {
            loop {
                cx.step(step.clone(), &1).await?;
                if cx.now().since(START) > Duration::from_secs(3600) {
                    return Ok(());
                }
            }
        }
    }))
}

/// Adds up so many signals.
fn sums() -> WorkflowDefinition {
    WorkflowDefinition::of(workflow_fn("sums", |cx: Context, count: u64| async move {
        let mut sum = 0u64;
        for _ in 0..count {
            sum += cx.signal::<u64>("n").await?;
        }
        Ok(sum)
    }))
}

/// Runs a slow step through a queue.
fn queued() -> WorkflowDefinition {
    let slow = step_fn("slow", |_: StepContext, n: u64| async move { Ok(n) });
    WorkflowDefinition::of(workflow_fn("queued", move |cx: Context, n: u64| {
        let slow = slow.clone();
        async move { cx.step(slow, &n).queue("narrow").await }
    }))
}

struct Test {
    disk: MemoryJournal,
    clock: Clock,
    begun: Arc<AtomicU32>,
    ended: Arc<AtomicU32>,
}

impl Test {
    fn new() -> Self {
        Self {
            disk: MemoryJournal::new(),
            clock: Clock::runtime(START),
            begun: Arc::default(),
            ended: Arc::default(),
        }
    }

    fn registry(&self) -> Registry {
        let (begun, ended) = (Arc::clone(&self.begun), Arc::clone(&self.ended));
        let slow = step_fn("slow", move |cx: StepContext, n: u64| {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                for beat in 0..10 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    cx.heartbeat(&beat)?;
                }
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(n)
            }
        });
        let mut registry = Registry::default();
        [busy(), sums(), queued()].into_iter().for_each(|workflow| registry.add_workflow(workflow));
        registry.add_step(StepDefinition::of(slow));
        registry
            .add_step(StepDefinition::of(step_fn("quick", |_: StepContext, n: u64| async move { Ok(n) })));
        registry
    }

    async fn open_on(&self, journal: Arc<dyn Journal>, worker: &str) -> Embedded {
        let mut options = Options { clock: self.clock, linger: Duration::ZERO, ..Options::new(worker) };
        options.queues.insert("narrow".into(), QueueOptions::concurrency(1));
        Embedded::open(journal, self.registry(), options).await.expect("an engine")
    }

    async fn open(&self, worker: &str) -> Embedded {
        self.open_on(Arc::new(self.disk.clone()), worker).await
    }
}

fn payload(n: u64) -> Payload {
    Payload::of(&n).expect("a number")
}

async fn start(engine: &Embedded, workflow: &'static str, input: Payload) -> RunId {
    engine.start(NewRun::new(workflow, input)).await.expect("a run").run
}

fn signal(n: u64) -> Message {
    Message::Signal { name: "n".to_owned(), payload: payload(n), id: None }
}

fn class(result: RunResult) -> Option<Class> {
    match result {
        RunResult::Failed { failure, .. } => Some(failure.class),
        RunResult::Completed(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_steps_never_wait_hears_that_it_is_cancelled() {
    let test = Test::new();
    let engine = test.open("a").await;
    let run = start(&engine, "busy", Payload::null()).await;
    engine.send(run, Message::Cancel { reason: "enough".into(), by: "ann".into() }).await.expect("taken");
    assert_eq!(class(engine.result(run).await.expect("an end")), Some(Class::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn no_signal_is_lost_between_a_run_that_leaves_memory_and_one_that_comes_back() {
    let test = Test::new();
    let engine = Arc::new(test.open("a").await);
    let run = start(&engine, "sums", payload(300)).await;
    let senders: Vec<_> = (0..3)
        .map(|lane| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                for n in 0..100u64 {
                    engine.send(run, signal(n)).await.expect("taken");
                    if (n + lane) % 7 == 0 {
                        tokio::time::sleep(Duration::from_millis(lane + 1)).await;
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("all sent");
    }
    let sum = match engine.result(run).await.expect("an end") {
        RunResult::Completed(output) => output.read::<u64>().expect("a number"),
        other => panic!("{other:?}"),
    };
    assert_eq!(sum, 3 * 4950);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_a_crash_leaves_behind_is_taken_once() {
    // Append 1 starts the run, append 2 records the signal; the crash comes before the letter is taken away.
    for when in [When::BeforeWrite, When::AfterWrite] {
        let test = Test::new();
        let journal = Arc::new(CrashingJournal::new(test.disk.clone()).crash_at(2, when));
        let engine = test.open_on(Arc::clone(&journal) as _, "a").await;
        let run = start(&engine, "sums", payload(2)).await;
        test.disk.post(run, &signal(5), START).expect("posted");
        while !journal.is_crashed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(engine);
        let engine = test.open("b").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(test.disk.letters(&[], 10).expect("letters").is_empty(), "it was taken away");
        test.disk.post(run, &signal(7), START).expect("posted");
        let result = engine.result(run).await.expect("an end");
        assert_eq!(result, RunResult::Completed(payload(12)), "{when:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shut_down_lets_attempts_end_and_leaves_those_that_wait_to_the_next_process() {
    let test = Test::new();
    let engine = test.open("a").await;
    let mut runs = Vec::new();
    for n in 0..3 {
        runs.push(start(&engine, "queued", payload(n)).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.shut_down().await;
    assert_eq!(engine.runs_in_memory(), 0);
    assert_eq!((test.begun.load(Ordering::SeqCst), test.ended.load(Ordering::SeqCst)), (1, 1));
    drop(engine);
    let engine = test.open("b").await;
    for (n, run) in runs.into_iter().enumerate() {
        assert_eq!(engine.result(run).await.expect("an end"), RunResult::Completed(payload(n as u64)));
    }
    assert_eq!(test.begun.load(Ordering::SeqCst), 3, "each was begun once");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_an_end_is_told_when_the_engine_stops() {
    let test = Test::new();
    let engine = Arc::new(test.open("a").await);
    let run = start(&engine, "sums", payload(1)).await;
    let waiting = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.result(run).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.shut_down().await;
    assert!(matches!(waiting.await.expect("no panic"), Err(EngineError::Stopped)));
    assert!(matches!(engine.result(run).await, Err(EngineError::Stopped)), "later ones too");
    let unknown = RunId::new(START, [1; 10]);
    assert!(matches!(engine.result(unknown).await, Err(EngineError::UnknownRun(_))));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_is_given_while_a_late_message_brings_it_back() {
    let test = Test::new();
    let engine = Arc::new(test.open("a").await);
    let run = start(&engine, "sums", payload(0)).await;
    engine.result(run).await.expect("an end");
    for _ in 0..50 {
        let late = tokio::spawn({
            let engine = Arc::clone(&engine);
            async move { engine.send(run, signal(1)).await }
        });
        tokio::task::yield_now().await;
        let result = tokio::time::timeout(Duration::from_secs(60), engine.result(run)).await;
        assert_eq!(result.expect("not for ever").expect("an end"), RunResult::Completed(payload(0)));
        assert!(matches!(late.await.expect("no panic"), Err(EngineError::Refused { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_engine_leaves_no_attempt_at_work_and_writes_no_more() {
    let test = Test::new();
    let engine = test.open("a").await;
    let run = start(&engine, "queued", payload(1)).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    drop(engine);
    let before = test.disk.events(run, 0).expect("events");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((test.begun.load(Ordering::SeqCst), test.ended.load(Ordering::SeqCst)), (1, 0));
    assert_eq!(test.disk.events(run, 0).expect("events"), before);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_attempt_beats_no_more_and_gives_its_place_to_the_next() {
    let test = Test::new();
    let engine = test.open("a").await;
    let run = start(&engine, "queued", payload(1)).await;
    let next = start(&engine, "queued", payload(2)).await;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    engine.send(run, Message::Cancel { reason: "enough".into(), by: "ann".into() }).await.expect("taken");
    assert_eq!(class(engine.result(run).await.expect("an end")), Some(Class::Cancelled));
    assert_eq!(engine.result(next).await.expect("an end"), RunResult::Completed(payload(2)));
    let events = test.disk.events(run, 0).expect("events");
    assert!(matches!(events.last().map(|event| &event.kind), Some(EventKind::RunEnded { .. })));
    assert!(test.clock.now().since(START) < Duration::from_secs(15), "the next one began at once");
}

#[tokio::test(start_paused = true)]
async fn lists_show_what_a_waiting_run_waits_for_now() {
    let test = Test::new();
    let workflow = workflow_fn("two", |cx: Context, _: ()| async move {
        cx.signal::<u64>("first").await?;
        cx.signal::<u64>("second").await
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(workflow));
    let options = Options { clock: test.clock, ..Options::new("a") };
    let engine = Embedded::open(Arc::new(test.disk.clone()), registry, options).await.expect("an engine");
    let run = start(&engine, "two", Payload::null()).await;
    let listed = || test.disk.run(run).expect("a journal").expect("a run");
    assert_eq!((listed().status, listed().doing.as_str()), (Status::Waiting, "signal first"));
    let first = Message::Signal { name: "first".into(), payload: payload(1), id: None };
    engine.send(run, first).await.expect("taken");
    assert_eq!(listed().doing, "signal second");
}

#[tokio::test(start_paused = true)]
async fn an_engine_whose_journal_fails_says_so_to_everybody() {
    let test = Test::new();
    let journal = CrashingJournal::new(test.disk.clone()).crash_at(2, When::BeforeWrite);
    let engine = test.open_on(Arc::new(journal), "a").await;
    let run = start(&engine, "sums", payload(1)).await;
    for _ in 0..2 {
        assert!(matches!(engine.send(run, signal(1)).await, Err(EngineError::Unavailable(_))));
    }
    assert!(matches!(engine.result(run).await, Err(EngineError::Unavailable(_))));
    let more = engine.start(NewRun::new("sums", payload(1))).await;
    assert!(matches!(more, Err(EngineError::Unavailable(_))));
}
