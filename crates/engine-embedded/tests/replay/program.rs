//! Workflows of every shape: a small language whose programs are drawn at random.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all, select_all};
use midwatch_workflow::{
    Backoff, Context, Failure, Jitter, Named, RetryPolicy, StepContext, StepOptions, Timeouts,
    WorkflowDefinition, step_fn, workflow_fn,
};
use proptest::prelude::*;

/// What a workflow does.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    Step(u8),
    Undoable(u8),
    Uncertain(u8),
    Sleep(u8),
    Signal(u8),
    SignalWithin(u8),
    Child,
    /// Shows what it draws and what time it is.
    Draw,
    Patched(u8),
    /// One after the other, up to the first failure.
    Then(Vec<Program>),
    /// All at once.
    All(Vec<Program>),
    /// The first to end; the others are dropped.
    First(Vec<Program>),
    /// Whatever comes of it.
    Ignore(Box<Program>),
}

pub(crate) fn programs() -> impl Strategy<Value = Program> {
    let leaf = prop_oneof![
        (0..3u8).prop_map(Program::Step),
        (0..3u8).prop_map(Program::Undoable),
        (0..3u8).prop_map(Program::Uncertain),
        (0..3u8).prop_map(Program::Sleep),
        (0..2u8).prop_map(Program::Signal),
        (0..2u8).prop_map(Program::SignalWithin),
        Just(Program::Child),
        Just(Program::Draw),
        (0..2u8).prop_map(Program::Patched),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Program::Then),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Program::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Program::First),
            inner.prop_map(|program| Program::Ignore(Box::new(program))),
        ]
    })
}

type StepFn = fn(StepContext, u8) -> std::future::Ready<Result<u8, Failure>>;

fn step(name: &'static str) -> Named<StepFn, u8, u8, StepOptions> {
    let retry = RetryPolicy::default().attempts(3).backoff(Backoff::Fixed(Duration::from_secs(1)));
    let retry = retry.jitter(Jitter::Proportional(0.3));
    let body: StepFn = |_, n| std::future::ready(Ok(n));
    step_fn(name, body).with(StepOptions { retry, timeouts: Timeouts::default(), ..StepOptions::default() })
}

/// The workflow that runs a program.
pub(crate) fn workflow(program: &Program) -> WorkflowDefinition {
    let program = program.clone();
    WorkflowDefinition::of(workflow_fn("main", move |cx: Context, _: ()| {
        let program = program.clone();
        async move { run(cx, program).await }
    }))
}

fn run(cx: Context, program: Program) -> BoxFuture<'static, Result<u64, Failure>> {
    async move {
        match program {
            Program::Step(n) => cx.step(step(["a", "b", "c"][usize::from(n)]), &n).await.map(u64::from),
            Program::Undoable(n) => {
                cx.step(step("do"), &n).compensate(step("undo"), |n| n).await.map(u64::from)
            }
            Program::Uncertain(n) => {
                cx.step(step("try"), &n).compensate_uncertain(step("untry"), move |_| n).await.map(u64::from)
            }
            Program::Sleep(n) => cx.sleep(Duration::from_secs(u64::from(n))).await.map(|()| 0),
            Program::Signal(n) => cx.signal(format!("s{n}")).await,
            Program::SignalWithin(n) => cx.signal(format!("s{n}")).within(Duration::from_secs(5)).await,
            Program::Child => {
                cx.child(workflow_fn("child", |_: Context, _: u8| async move { Ok(0u64) }), &1).await
            }
            Program::Draw => {
                cx.set_status(format!("{} {} {}", cx.random(), cx.uuid(), cx.now()));
                Ok(0)
            }
            Program::Patched(n) => {
                if cx.patched(&format!("p{n}")) {
                    cx.set_status("new");
                }
                Ok(0)
            }
            Program::Then(parts) => {
                let mut sum = 0u64;
                for part in parts {
                    sum = sum.wrapping_add(run(cx.clone(), part).await?);
                }
                Ok(sum)
            }
            Program::All(parts) => {
                let ended = join_all(parts.into_iter().map(|part| run(cx.clone(), part))).await;
                ended.into_iter().try_fold(0u64, |sum, n| Ok(sum.wrapping_add(n?)))
            }
            Program::First(parts) => {
                let (first, _, rest) = select_all(parts.into_iter().map(|part| run(cx.clone(), part))).await;
                drop(rest);
                first
            }
            Program::Ignore(part) => Ok(run(cx, *part).await.unwrap_or(7)),
        }
    }
    .boxed()
}
