//! That an attribute sets what it says, and that what it writes behaves as the trait says.

use std::sync::Arc;
use std::time::Duration;

use midwatch_macros::{step, workflow};
use midwatch_workflow::{
    AttemptInfo, Backoff, Budget, Charge, Class, Context, Failure, KeyScope, Money, OnReached, Payload,
    Reporter, RetryPolicy, RunId, Spent, Step, StepContext, StepDefinition, StepOptions, Timeouts, Timestamp,
    Workflow, WorkflowDefinition, WorkflowId, WorkflowOptions,
};

#[step(crate = midwatch_workflow)]
async fn plain(_cx: StepContext, input: u64) -> Result<u64, Failure> {
    Ok(2 * input)
}

#[step(
    name = "charge card",
    timeout = "30s",
    step_timeout = "1h",
    heartbeat = "10s",
    queue_timeout = Duration::from_secs(300),
    attempts = 3,
    retry = RetryPolicy::default().backoff(Backoff::Immediate),
    queue = "llm",
    priority = -1,
    target = "stripe",
    budget_usd = "0.50",
    budget_tokens = 9_000,
    on_budget = "fail",
    key = "attempt",
    crate = "midwatch_workflow"
)]
async fn full(cx: StepContext) -> Result<String, Failure> {
    Ok(cx.idempotency_key().to_owned())
}

#[workflow(name = "trip", timeout = "2h", budget_usd = 1.00, crate = midwatch_workflow)]
async fn itself(cx: Context, mut depth: u32) -> Result<u32, Failure> {
    if depth > 0 {
        depth -= 1;
        // The name means the workflow, also within its own body.
        return cx.child(itself, &depth).await;
    }
    Ok(depth)
}

#[workflow(crate = midwatch_workflow)]
async fn r#loop(_cx: Context) -> Result<(), Failure> {
    Ok(())
}

/// An error of the user's own.
struct Refused;

impl From<Refused> for Failure {
    fn from(_: Refused) -> Failure {
        Failure::new(Class::Permission, "refused")
    }
}

#[step(crate = midwatch_workflow)]
async fn own_error(_cx: StepContext, (left, right): (u8, u8)) -> Result<u8, Refused> {
    left.checked_sub(right).ok_or(Refused)
}

struct Silent;

impl Reporter for Silent {
    fn heartbeat(&self, _: Payload) {}

    fn charge(&self, _: Charge) {}

    fn spent(&self) -> Spent {
        Spent::default()
    }
}

fn attempt() -> StepContext {
    StepContext::new(AttemptInfo {
        run: Arc::new(midwatch_workflow::RunInfo {
            run: RunId::new(Timestamp::from_micros(0), [1; 10]),
            workflow_id: WorkflowId::new("w").expect("valid"),
            workflow: "w".into(),
            trace: [0; 16],
            is_sampled: true,
            tenant: None,
            rewinds: 0,
        }),
        step: "s".into(),
        nth: 1,
        attempt: 1,
        key: "w:r:s".into(),
        target: None,
        progress: None,
        reporter: Arc::new(Silent),
    })
}

/// Runs a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("these futures do not wait"),
    }
}

#[test]
fn without_options_a_step_has_the_functions_name_and_the_default_options() {
    assert_eq!(plain.name(), "plain");
    assert_eq!(plain.options(), StepOptions::default());
    assert_eq!(now(plain.run(attempt(), 21)), Ok(42));
}

#[test]
fn every_option_of_a_step_is_set() {
    let expected = StepOptions {
        timeouts: Timeouts {
            attempt: Duration::from_secs(30),
            step: Duration::from_secs(3600),
            heartbeat: Some(Duration::from_secs(10)),
            queue: Duration::from_secs(300),
        },
        retry: RetryPolicy::default().backoff(Backoff::Immediate).attempts(3),
        budget: Some(Budget {
            usd: Some(Money::from_cents(50)),
            tokens: Some(9_000),
            on_reached: OnReached::Fail,
        }),
        queue: Some("llm".into()),
        priority: -1,
        target: Some("stripe".into()),
        keys: KeyScope::Attempt,
    };
    assert_eq!(full.name(), "charge card");
    assert_eq!(full.options(), expected);
    assert_eq!(now(full.run(attempt(), ())).as_deref(), Ok("w:r:s"));
}

#[test]
fn every_option_of_a_workflow_is_set() {
    let expected = WorkflowOptions {
        timeout: Duration::from_secs(7200),
        budget: Some(Budget::usd(Money::from_cents(100))),
    };
    assert_eq!(itself.name(), "trip");
    assert_eq!(itself.options(), expected);
    assert_eq!(WorkflowDefinition::of(r#loop).name(), "loop");
}

#[test]
fn an_error_of_the_users_own_becomes_a_failure() {
    assert_eq!(now(own_error.run(attempt(), (3, 2))), Ok(1));
    let failure = now(own_error.run(attempt(), (2, 3))).expect_err("refused");
    assert_eq!(failure.class, Class::Permission);
}

#[test]
fn a_step_without_input_takes_null_from_the_journal() {
    let step = StepDefinition::of(full);
    let output = now(step.run(attempt(), Payload::null())).expect("succeeds");
    assert_eq!(output.as_str(), "\"w:r:s\"");
}

#[test]
fn a_step_may_stand_within_a_function() {
    #[step(crate = midwatch_workflow)]
    async fn local(_cx: StepContext, input: u64) -> Result<u64, Failure> {
        Ok(input + 1)
    }
    assert_eq!(now(local.run(attempt(), 1)), Ok(2));
}
