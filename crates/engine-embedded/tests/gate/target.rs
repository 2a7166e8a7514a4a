//! A target with a limit and an outage, and an engine whose runs call it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use midwatch_engine_embedded::{Clock, Embedded, GateOptions, Options, Registry};
use midwatch_journal::Journal;
use midwatch_journal::memory::MemoryJournal;
use midwatch_workflow::{
    Class, Context, Engine, Failure, NewRun, Payload, RunId, RunResult, StepContext, StepDefinition,
    StepOptions, Timestamp, WorkflowDefinition, step_fn, workflow_fn,
};
use tokio::time::Instant;

pub(crate) const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// What the target did, by the time since it began.
pub(crate) struct Target {
    begun: Instant,
    per_second: f64,
    burst: f64,
    down: (Duration, Duration),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    level: f64,
    at: Duration,
    requests: Vec<Duration>,
}

impl Target {
    pub(crate) fn new(per_second: f64, burst: f64, down: (Duration, Duration)) -> Arc<Self> {
        let state = Mutex::new(State { level: burst, ..State::default() });
        Arc::new(Self { begun: Instant::now(), per_second, burst, down, state })
    }

    /// One request.
    fn call(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().expect("whole");
        let now = self.begun.elapsed();
        state.requests.push(now);
        state.level = (state.level + (now - state.at).as_secs_f64() * self.per_second).min(self.burst);
        state.at = now;
        if (self.down.0..self.down.1).contains(&now) {
            return Err(Failure::new(Class::Overloaded, "down").status(503));
        }
        if state.level < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - state.level) / self.per_second);
            return Err(Failure::new(Class::RateLimited, "too many").status(429).retry_after(wait));
        }
        state.level -= 1.0;
        Ok(())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When each request came.
    pub(crate) fn requests(&self) -> Vec<Duration> {
        self.state.lock().expect("whole").requests.clone()
    }
}

/// An engine whose workflow `calls` makes as many calls to the target `api`, one after another, as its input says.
pub(crate) struct World {
    pub(crate) engine: Embedded,
    pub(crate) journal: MemoryJournal,
    pub(crate) clock: Clock,
}

impl World {
    pub(crate) async fn new(target: &Arc<Target>, gates: GateOptions, options: StepOptions) -> Self {
        let options = StepOptions { target: Some("api".into()), ..options };
        let (journal, clock) = (MemoryJournal::new(), Clock::runtime(START));
        let mut registry = Registry::default();
        let target = Arc::clone(target);
        let call = move |_: StepContext, _: u32| {
            let target = Arc::clone(&target);
            async move {
                tokio::time::sleep(Duration::from_millis(3)).await;
                target.call()
            }
        };
        registry.add_step(StepDefinition::of(step_fn("call", call).with(options.clone())));
        registry.add_workflow(WorkflowDefinition::of(workflow_fn(
            "calls",
            move |cx: Context, calls: u32| {
                let options = options.clone();
                async move {
                    let step = |_: StepContext, _: u32| async { Ok(()) };
                    for n in 0..calls {
                        cx.step(step_fn("call", step).with(options.clone()), &n).await?;
                    }
                    Ok(())
                }
            },
        )));
        let options = Options { clock, gates, inbox_poll: Duration::from_secs(3600), ..Options::new("test") };
        let shared: Arc<dyn Journal> = Arc::new(journal.clone());
        let engine = Embedded::open(shared, registry, options).await.expect("opens");
        Self { engine, journal, clock }
    }

    pub(crate) async fn start(&self, calls: u32) -> RunId {
        let input = Payload::of(&calls).expect("a number");
        self.engine.start(NewRun::new("calls", input)).await.expect("starts").run
    }

    /// Whether the run completed.
    pub(crate) async fn completes(&self, run: RunId) -> bool {
        matches!(self.engine.result(run).await, Ok(RunResult::Completed(_)))
    }
}
