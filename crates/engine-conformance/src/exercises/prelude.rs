//! What exercises are written with.

pub(super) use std::time::Duration;

pub(super) use futures_util::future::BoxFuture;
pub(super) use futures_util::stream::{FuturesUnordered, StreamExt};
pub(super) use midwatch_workflow::{
    Backoff, Budget, Charge, Class, Context, Ended, EngineError, EventKind, Failure, ForkKeys, Message,
    Money, NewRun, OnDuplicate, OnReached, Payload, Resolution, RunResult, StepDefinition, Usage, Workflow,
    WorkflowId, WorkflowOptions, workflow_fn,
};
pub(super) use serde_json::{Value, json};

pub(super) use crate::{Ask, Code, Crashes, Exercise, Stage, TICK, Trouble, World};

/// What a script gives.
pub(super) type Told<'a> = BoxFuture<'a, Result<(), Trouble>>;

/// Makes the exercise of a file from its `code`, and from its `script` or what the plain run must come to.
macro_rules! exercise {
    ($name:literal, $promise:literal) => {
        exercise!($name, $promise, Crashes::ChangeNothing);
    };
    ($name:literal, $promise:literal, completes) => {
        exercise!(@ $name, $promise, plain_completes, Crashes::ChangeNothing);
    };
    ($name:literal, $promise:literal, fails) => {
        exercise!(@ $name, $promise, plain_fails, Crashes::ChangeNothing);
    };
    ($name:literal, $promise:literal, $script:ident, $crashes:expr) => {
        exercise!(@ $name, $promise, $script, $crashes);
    };
    ($name:literal, $promise:literal, $crashes:expr) => {
        exercise!(@ $name, $promise, script, $crashes);
    };
    (@ $name:literal, $promise:literal, $script:ident, $crashes:expr) => {
        pub(super) const EXERCISE: Exercise = Exercise {
            name: $name,
            promise: $promise,
            code,
            script: $script,
            golden: include_str!(concat!($name, ".story")),
            crashes: $crashes,
        };
    };
}
pub(super) use exercise;

/// Starts the run, which must complete.
pub(super) fn plain_completes(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        completed(stage).await
    })
}

/// Starts the run, which must fail.
pub(super) fn plain_fails(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        match stage.result().await? {
            RunResult::Failed { .. } => Ok(()),
            other => demand(false, &format!("the run fails: {other:?}")),
        }
    })
}

/// Demands that the run completes.
pub(super) async fn completed(stage: &mut Stage) -> Result<(), Trouble> {
    match stage.result().await? {
        RunResult::Completed(_) => Ok(()),
        other => demand(false, &format!("the run completes: {other:?}")),
    }
}

/// Demands that the run fails with this class.
pub(super) async fn failed(stage: &mut Stage, class: Class) -> Result<(), Trouble> {
    match stage.result().await? {
        RunResult::Failed { failure, .. } if failure.class == class => Ok(()),
        other => demand(false, &format!("the run fails with {class}: {other:?}")),
    }
}

/// Demands something.
pub(super) fn demand(is_so: bool, what: &str) -> Result<(), Trouble> {
    if is_so { Ok(()) } else { Err(Trouble::new(format!("not so: {what}"))) }
}

/// A payload of plain data.
pub(super) fn payload(value: impl serde::Serialize) -> Payload {
    Payload::of(&value).unwrap_or_else(|_| Payload::null())
}

/// A child's workflow as its parent names it.
pub(super) fn child_of(name: &'static str) -> impl Workflow<Input = Value, Output = Value> {
    workflow_fn(name, |_: Context, _: Value| async move { Err(Failure::new(Class::Bug, "only named here")) })
}

/// A step that has its effect and then never ends.
pub(super) fn endless(world: &World, name: &'static str) -> StepDefinition {
    world.step(name, |turn| async move {
        turn.effect();
        std::future::pending().await
    })
}

/// A step that costs ten cents and then gives its input.
pub(super) fn model(world: &World) -> StepDefinition {
    world.step("ask model", |turn| async move {
        let usage = Usage { calls: 1, input: 100, output: 20, ..Usage::default() };
        let cost = Some(Money::from_cents(10));
        turn.cx.charge(Charge { target: "model".to_owned(), usage, cost, ..Charge::default() });
        turn.effect();
        Ok(turn.input)
    })
}

/// A workflow id.
pub(super) fn id(text: &str) -> Result<WorkflowId, Trouble> {
    WorkflowId::new(text).map_err(|error| Trouble::new(error.to_string()))
}
