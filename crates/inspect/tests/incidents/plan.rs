//! What an incident's runs do: a workflow that follows a plan, and steps that go as the plan says.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use midwatch::{
    Charge, Class, Context, Failure, Money, Retried, RetryPolicy, StepCall, StepContext, Usage, step,
    workflow,
};
use serde::{Deserialize, Serialize};

/// One thing after another.
pub(crate) type Plan = Vec<Act>;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Act {
    Do(Job),
    Together(Vec<Job>),
    /// A step, and how it is undone.
    Undoable(Job, Job),
    /// So many seconds.
    Sleep(u64),
    /// Waits for a signal, for so many seconds at most.
    Signal(Option<u64>),
    Child(Plan),
    /// The workflow's own code gives an error.
    Fail,
    Panic,
    /// Awaits what is no operation.
    Stray,
    /// Asks for something else in every life of the process.
    Unstable,
}

/// A use of a step.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Job {
    calls_model: bool,
    /// How its attempts go, one after another; the last one stands for all that follow.
    tries: Vec<Try>,
    /// The time limit of an attempt, in seconds.
    limit: Option<u64>,
    queue: Option<String>,
    /// Retries what no retry cures.
    is_stubborn: bool,
}

/// How an attempt goes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Try {
    millis: u64,
    hangs: bool,
    charge: Option<Charge>,
    fails: Option<Failure>,
}

/// A call of a model, at the usual price.
pub(crate) fn ask(seconds: u64) -> Job {
    let turn = Try { millis: seconds * 1_000, charge: Some(charge(2_000, 300, 8)), ..Try::default() };
    Job { calls_model: true, tries: vec![turn], ..Job::default() }
}

/// A step without a target.
pub(crate) fn work(seconds: u64) -> Job {
    Job { tries: vec![Try { millis: seconds * 1_000, ..Try::default() }], ..Job::default() }
}

/// What a call used and cost, in thousandths of a dollar.
pub(crate) fn charge(input: u64, output: u64, mills: u64) -> Charge {
    let usage = Usage { calls: 1, input, output, ..Usage::default() };
    let cost = Some(Money::from_picos(mills * 1_000_000_000));
    Charge { target: "openai:gpt-4o".to_owned(), usage, cost, ..Charge::default() }
}

pub(crate) fn refused(class: Class, status: u16) -> Failure {
    Failure::new(class, "the target says no").status(status)
}

impl Job {
    /// So many attempts go wrong first, at once.
    pub(crate) fn after(self, count: usize, failure: Failure) -> Self {
        let turn = Try { millis: 200, fails: Some(failure), ..Try::default() };
        self.first(count, turn)
    }

    /// The same, and what failed is paid for.
    pub(crate) fn after_paid(self, count: usize, failure: Failure, charge: Charge) -> Self {
        self.first(count, Try { millis: 900, fails: Some(failure), charge: Some(charge), ..Try::default() })
    }

    /// So many attempts hang first.
    pub(crate) fn after_hanging(self, count: usize) -> Self {
        self.first(count, Try { hangs: true, ..Try::default() })
    }

    /// So many attempts spend something and hang.
    pub(crate) fn after_hanging_paid(self, count: usize, charge: Charge) -> Self {
        self.first(count, Try { hangs: true, charge: Some(charge), ..Try::default() })
    }

    fn first(mut self, count: usize, turn: Try) -> Self {
        self.tries.splice(0..0, vec![turn; count]);
        self
    }

    /// No attempt goes well.
    pub(crate) fn never(mut self, failure: Failure) -> Self {
        for turn in &mut self.tries {
            turn.fails = Some(failure.clone());
        }
        self
    }

    pub(crate) fn costs(mut self, charge: Charge) -> Self {
        for turn in &mut self.tries {
            turn.charge = Some(charge.clone());
        }
        self
    }

    pub(crate) fn within(self, seconds: u64) -> Self {
        Self { limit: Some(seconds), ..self }
    }

    pub(crate) fn queued(self) -> Self {
        Self { queue: Some("narrow".to_owned()), ..self }
    }

    pub(crate) fn stubbornly(self) -> Self {
        Self { is_stubborn: true, ..self }
    }
}

async fn attempt(cx: StepContext, job: Job) -> Result<String, Failure> {
    let number = usize::try_from(cx.attempt()).unwrap();
    let turn = &job.tries[number.min(job.tries.len()) - 1];
    if let Some(charge) = &turn.charge {
        cx.charge(charge.clone());
        cx.heartbeat("paid")?;
    }
    if turn.hangs {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(turn.millis)).await;
    turn.fails.clone().map_or_else(|| Ok("done".to_owned()), Err)
}

#[step(target = "openai:gpt-4o")]
pub(crate) async fn call_llm(cx: StepContext, job: Job) -> Result<String, Failure> {
    attempt(cx, job).await
}

#[step]
pub(crate) async fn use_tool(cx: StepContext, job: Job) -> Result<String, Failure> {
    attempt(cx, job).await
}

#[step]
pub(crate) async fn undo(cx: StepContext, job: Job) -> Result<String, Failure> {
    attempt(cx, job).await
}

#[workflow]
pub(crate) async fn agent(cx: Context, plan: Plan) -> Result<(), Failure> {
    follow(&cx, plan).await
}

#[workflow]
pub(crate) async fn helper(cx: Context, plan: Plan) -> Result<(), Failure> {
    follow(&cx, plan).await
}

/// May not take longer than a minute.
#[workflow(timeout = "60s")]
pub(crate) async fn hasty(cx: Context, plan: Plan) -> Result<(), Failure> {
    follow(&cx, plan).await
}

/// Parks at twenty cents.
#[workflow(budget_usd = "0.20", on_budget = "park")]
pub(crate) async fn frugal(cx: Context, plan: Plan) -> Result<(), Failure> {
    follow(&cx, plan).await
}

/// Fails at twenty cents.
#[workflow(budget_usd = "0.20", on_budget = "fail")]
pub(crate) async fn strict(cx: Context, plan: Plan) -> Result<(), Failure> {
    follow(&cx, plan).await
}

/// How often the process was started, for code that looks at what it must not.
pub(crate) static LIVES: AtomicU32 = AtomicU32::new(1);

async fn follow(cx: &Context, plan: Plan) -> Result<(), Failure> {
    for act in plan {
        match act {
            Act::Do(job) => drop(asked(cx, &job).await?),
            Act::Together(jobs) => drop(cx.join_all(jobs.iter().map(|job| asked(cx, job))).await?),
            Act::Undoable(job, how) => drop(asked(cx, &job).compensate(undo, move |_| how).await?),
            Act::Sleep(seconds) => cx.sleep(Duration::from_secs(seconds)).await?,
            Act::Signal(limit) => {
                let signal = cx.signal::<bool>("approve");
                let signal = match limit {
                    Some(limit) => signal.within(Duration::from_secs(limit)),
                    None => signal,
                };
                signal.await?;
            }
            Act::Child(plan) => cx.child(helper, &plan).await?,
            Act::Fail => return Err(Failure::new(Class::Unknown, "no hotel has a room left")),
            Act::Panic => panic!("index out of bounds"),
            Act::Stray => std::future::pending().await,
            Act::Unstable if LIVES.load(Ordering::Relaxed) == 1 => drop(asked(cx, &work(1)).await?),
            Act::Unstable => drop(asked(cx, &ask(1)).await?),
        }
    }
    Ok(())
}

fn asked(cx: &Context, job: &Job) -> StepCall<String> {
    let call = match job.calls_model {
        true => cx.step(call_llm, job),
        false => cx.step(use_tool, job),
    };
    let call = match job.limit {
        Some(seconds) => call.timeout(Duration::from_secs(seconds)),
        None => call,
    };
    let call = match job.is_stubborn {
        true => call.retry(RetryPolicy::default().attempts(20).class(Class::InvalidRequest, Retried::Yes)),
        false => call,
    };
    match &job.queue {
        Some(queue) => call.queue(queue.clone()),
        None => call,
    }
}
