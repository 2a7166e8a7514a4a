//! An engine by hand: no runtime, no clock, no journal. A run says what it asks for, and the test answers by name.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use midwatch_workflow::{
    Advanced, Backoff, Budget, Class, Context, Execution, Failure, Jitter, Named, Op, OpId, OpKind, Outcome,
    Payload, Progress, Recorded, Resolution, RetryPolicy, RunId, RunResult, RunStarted, StepContext,
    StepOptions, Timestamp, WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};

pub(crate) const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

pub(crate) struct Hand {
    pub(crate) execution: Execution,
    pub(crate) progress: Progress,
    pub(crate) now: Timestamp,
    asked: Vec<Op>,
}

pub(crate) fn started() -> RunStarted {
    let run = RunId::new(START, [7; 10]);
    RunStarted {
        workflow_id: WorkflowId::new("order-42").expect("an id"),
        timeout: Some(Duration::from_secs(3600)),
        ..RunStarted::bare(run, "main")
    }
}

/// Begins a run of this code.
pub(crate) fn run<F, Fut>(code: F) -> Hand
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<u64, Failure>> + Send,
{
    run_as(code, started(), Recorded::default())
}

pub(crate) fn run_as<F, Fut>(code: F, start: RunStarted, recorded: Recorded) -> Hand
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<u64, Failure>> + Send,
{
    let workflow = WorkflowDefinition::of(workflow_fn("main", move |cx: Context, _: ()| code(cx)));
    let execution = Execution::new(&workflow, start, START, recorded);
    Hand { execution, progress: Progress::Waiting, now: START, asked: Vec::new() }
}

pub(crate) fn with_budget(budget: Budget) -> RunStarted {
    RunStarted { budget: Some(budget), ..started() }
}

type StepFn = fn(StepContext, u64) -> std::future::Ready<Result<u64, Failure>>;

/// A step of numbers with three attempts, a second apart.
pub(crate) fn step(name: &'static str) -> Named<StepFn, u64, u64, StepOptions> {
    let body: StepFn = |_, n| std::future::ready(Ok(n));
    let retry = RetryPolicy::default().attempts(3).backoff(Backoff::Fixed(Duration::from_secs(1)));
    step_fn(name, body).with(StepOptions { retry: retry.jitter(Jitter::None), ..StepOptions::default() })
}

impl Hand {
    /// Lets the run go on and gives what it asks for now, in words.
    pub(crate) fn asks(&mut self) -> Vec<String> {
        let Advanced { ops, progress } = self.execution.advance();
        self.progress = progress;
        let words = ops.iter().map(ToString::to_string).collect();
        self.asked.extend(ops);
        words
    }

    /// The last operation that was asked for whose words contain `what`.
    pub(crate) fn op(&self, what: &str) -> &Op {
        let found = self.asked.iter().rev().find(|op| op.to_string().contains(what));
        found.unwrap_or_else(|| panic!("nothing like `{what}` was asked for: {:?}", self.asked))
    }

    pub(crate) fn attempt(&self, what: &str) -> &midwatch_workflow::Attempt {
        match &self.op(what).kind {
            OpKind::Attempt(attempt) => attempt,
            other => panic!("{other:?} is no attempt"),
        }
    }

    fn id(&self, what: &str) -> OpId {
        self.op(what).id
    }

    /// Ends an attempt with an output, and gives what is asked for then.
    pub(crate) fn ok(&mut self, what: &str, output: u64) -> Vec<String> {
        self.end(what, Ok(output))
    }

    pub(crate) fn fail(&mut self, what: &str, class: Class) -> Vec<String> {
        self.end(what, Err(Failure::new(class, "no")))
    }

    pub(crate) fn end(&mut self, what: &str, result: Result<u64, Failure>) -> Vec<String> {
        let result = result.map(|output| Payload::of(&output).expect("a number"));
        self.settle(what, Outcome::Attempt(result, Vec::new()))
    }

    pub(crate) fn fire(&mut self, what: &str) -> Vec<String> {
        if let OpKind::Timer { until, .. } = self.op(what).kind {
            self.now = self.now.max(until);
        }
        self.settle(what, Outcome::Fired)
    }

    pub(crate) fn resolve(&mut self, resolution: Resolution) -> Vec<String> {
        self.settle("park", Outcome::Resolved(resolution))
    }

    pub(crate) fn settle(&mut self, what: &str, outcome: Outcome) -> Vec<String> {
        self.execution.settle(self.id(what), outcome, self.now);
        self.asks()
    }

    pub(crate) fn signal(&mut self, name: &str, payload: u64) -> Vec<String> {
        self.execution.signal(name, Payload::of(&payload).expect("a number"), self.now);
        self.asks()
    }

    pub(crate) fn cancel(&mut self) -> Vec<String> {
        self.execution.cancel(Class::Cancelled, "enough", self.now);
        self.asks()
    }

    /// The output of a run that completed.
    pub(crate) fn output(&self) -> u64 {
        match &self.progress {
            Progress::Done(RunResult::Completed(output)) => output.read().expect("a number"),
            other => panic!("the run has not completed: {other:?}"),
        }
    }

    /// What a run failed with, and how many steps were undone, and by hand.
    pub(crate) fn failure(&self) -> (&Failure, u32, u32) {
        match &self.progress {
            Progress::Done(RunResult::Failed { failure, compensated, resolved }) => {
                (failure, *compensated, *resolved)
            }
            other => panic!("the run has not failed: {other:?}"),
        }
    }
}

/// What a workflow noted down besides, to be looked at by the test.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().expect("no panic under the lock").push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic under the lock").clone()
    }
}
