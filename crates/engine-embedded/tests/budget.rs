//! Budgets that steps, runs, workflows and tenants share: nobody overruns them, whatever goes on at once.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use midwatch_engine_embedded::{Clock, Embedded, Options, Registry, SharedBudgets};
use midwatch_journal::Journal;
use midwatch_journal::memory::MemoryJournal;
use midwatch_workflow::{
    Budget, Charge, Class, Context, Engine, EventKind, Failure, Message, Money, NewRun, OnReached,
    ParkReason, Payload, Resolution, RunId, RunResult, StepContext, StepDefinition, StepOptions, Timestamp,
    Usage, WorkflowDefinition, step_fn, workflow_fn,
};

/// An hour before midnight UTC.
const START: Timestamp = Timestamp::from_micros((20_700 * 24 + 23) * 3600 * 1_000_000);
/// Each call books beforehand that it may cost this.
const BOUND: u64 = 10;
/// What it costs in the end.
const REAL: u64 = 6;

/// A world in which calls are sent, which cost money.
struct World {
    engine: Embedded,
    journal: MemoryJournal,
    clock: Clock,
    /// Cents that the provider bills.
    billed: Arc<AtomicU64>,
}

fn cents(cents: u64) -> Charge {
    let usage = Usage { calls: 1, input: cents, ..Usage::default() };
    Charge { target: "a:b".into(), usage, cost: Some(Money::from_cents(cents)), ..Charge::default() }
}

fn fail(budget: u64) -> Budget {
    Budget { on_reached: OnReached::Fail, ..Budget::usd(Money::from_cents(budget)) }
}

fn park(budget: u64) -> Budget {
    Budget::usd(Money::from_cents(budget))
}

/// The workflow `asks` makes so many calls at once, each a step of its own, and each step several calls in turn.
async fn open(
    journal: &MemoryJournal,
    clock: Clock,
    budgets: SharedBudgets,
    step: StepOptions,
    billed: &Arc<AtomicU64>,
) -> Embedded {
    let mut registry = Registry::default();
    let bill = Arc::clone(billed);
    let ask = move |cx: StepContext, calls: u32| {
        let bill = Arc::clone(&bill);
        async move {
            for _ in 0..calls {
                let reserved = cx.reserve(cents(BOUND)).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                bill.fetch_add(REAL, Ordering::Relaxed);
                reserved.settle(cents(REAL));
            }
            Ok::<(), Failure>(())
        }
    };
    let undo = |cx: StepContext, (): ()| async move {
        cx.reserve(cents(BOUND)).await?.settle(cents(REAL));
        Ok::<(), Failure>(())
    };
    registry.add_step(StepDefinition::of(step_fn("ask", ask).with(step.clone())));
    registry.add_step(StepDefinition::of(step_fn("undo", undo)));
    let asks = move |cx: Context, (steps, calls): (u32, u32)| {
        let step = step.clone();
        async move {
            let ask = || step_fn("ask", |_: StepContext, _: u32| async { Ok(()) }).with(step.clone());
            let undo = || step_fn("undo", |_: StepContext, (): ()| async { Ok(()) });
            let all = (0..steps).map(|_| cx.step(ask(), &calls).compensate(undo(), |()| ()));
            cx.join_all(all).await.map(drop)
        }
    };
    registry.add_workflow(WorkflowDefinition::of(workflow_fn("asks", asks)));
    let parent = |cx: Context, n: (u32, u32)| async move {
        cx.child(workflow_fn("asks", |_: Context, _: (u32, u32)| async { Ok(()) }), &n).await
    };
    registry.add_workflow(WorkflowDefinition::of(workflow_fn("parent", parent)));
    let options = Options { clock, budgets, inbox_poll: Duration::from_secs(3600), ..Options::new("test") };
    Embedded::open(Arc::new(journal.clone()) as Arc<dyn Journal>, registry, options).await.unwrap()
}

impl World {
    async fn new(budgets: SharedBudgets) -> Self {
        Self::with(budgets, StepOptions::default()).await
    }

    async fn with(budgets: SharedBudgets, step: StepOptions) -> Self {
        let (journal, clock, billed) = (MemoryJournal::new(), Clock::runtime(START), Arc::default());
        let engine = open(&journal, clock, budgets, step, &billed).await;
        Self { engine, journal, clock, billed }
    }

    async fn restart(self, budgets: SharedBudgets) -> Self {
        let Self { engine, journal, clock, billed } = self;
        drop(engine);
        let engine = open(&journal, clock, budgets, StepOptions::default(), &billed).await;
        Self { engine, journal, clock, billed }
    }

    async fn start(
        &self,
        workflow: &'static str,
        steps: u32,
        calls: u32,
        change: impl FnOnce(&mut NewRun),
    ) -> RunId {
        let mut run = NewRun::new(workflow, Payload::of(&(steps, calls)).unwrap());
        change(&mut run);
        self.engine.start(run).await.unwrap().run
    }

    async fn failure(&self, run: RunId) -> Option<Failure> {
        match self.engine.result(run).await.unwrap() {
            RunResult::Completed(_) => None,
            RunResult::Failed { failure, .. } => Some(failure),
        }
    }

    fn billed(&self) -> u64 {
        self.billed.load(Ordering::Relaxed)
    }

    /// What the last parked event of a run says; waits for one.
    async fn parked(&self, run: RunId) -> String {
        loop {
            let events = self.journal.events(run, 0).unwrap();
            let parked = events.iter().rposition(|event| {
                matches!(event.kind, EventKind::Parked { reason: ParkReason::Budget, .. })
            });
            let resolved = events.iter().rposition(|event| matches!(event.kind, EventKind::Resolved { .. }));
            if let Some(at) = parked.filter(|at| Some(*at) > resolved)
                && let EventKind::Parked { message, .. } = &events[at].kind
            {
                return message.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn steps_of_one_run_that_go_on_at_once_never_overrun_its_budget() {
    let world = World::new(SharedBudgets::default()).await;
    let run = world.start("asks", 200, 1, |run| run.budget = Some(fail(100))).await;
    let failure = world.failure(run).await.expect("refused");
    assert_eq!(failure.class, Class::Budget);
    assert!(failure.message.starts_with("run: the call may take $0.10, 10 tokens and $0.0"), "{failure}");
    // Sixteen calls at six cents: a seventeenth might have crossed a dollar.
    assert!((60..=100).contains(&world.billed()), "{} cents", world.billed());
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_what_others_may_give_back_and_use_the_budget_up() {
    let world = World::new(SharedBudgets::default()).await;
    // Only ten at once fit, but all sixteen do one after another.
    let run = world.start("asks", 15, 1, |run| run.budget = Some(fail(100))).await;
    assert_eq!(world.failure(run).await, None);
    assert_eq!(world.billed(), 15 * REAL);
}

#[tokio::test(start_paused = true)]
async fn runs_of_one_tenant_share_its_budget_and_others_do_not() {
    let tenant = [("acme".to_owned(), fail(50))].into();
    let world = World::new(SharedBudgets { tenant, ..SharedBudgets::default() }).await;
    let acme = |run: &mut NewRun| run.tenant = Some("acme".into());
    let mut runs = Vec::new();
    for _ in 0..100 {
        runs.push(world.start("asks", 1, 1, acme).await);
    }
    let mut refused = 0;
    for run in runs {
        if let Some(failure) = world.failure(run).await {
            assert!(failure.message.starts_with("tenant acme, in all: "), "{failure}");
            refused += 1;
        }
    }
    assert!(world.billed() <= 50, "{} cents", world.billed());
    assert_eq!(refused, 100 - world.billed() / REAL);
    let other = world.start("asks", 5, 5, |run| run.tenant = Some("other".into())).await;
    assert_eq!(world.failure(other).await, None);
    // A child runs for its parent's tenant.
    let child = world.start("parent", 1, 1, acme).await;
    assert_eq!(world.failure(child).await.map(|failure| failure.class), Some(Class::Budget));
}

#[tokio::test(start_paused = true)]
async fn a_days_budget_outlives_a_restart_and_is_whole_again_at_midnight() {
    let budgets =
        || SharedBudgets { workflow_day: [("asks".into(), fail(50))].into(), ..SharedBudgets::default() };
    let world = World::new(budgets()).await;
    assert_eq!(world.failure(world.start("asks", 1, 7, |_| ()).await).await, None);
    assert_eq!(world.billed(), 42);
    let world = world.restart(budgets()).await;
    let failure = world.failure(world.start("asks", 1, 1, |_| ()).await).await.expect("refused");
    assert_eq!(
        failure.message,
        "workflow asks, today (UTC): the call may take $0.10, 10 tokens and $0.08 of $0.50 is left"
    );
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.failure(world.start("asks", 1, 7, |_| ()).await).await, None, "a new day");
    let world = world.restart(budgets()).await;
    assert!(world.failure(world.start("asks", 1, 1, |_| ()).await).await.is_some(), "also after a restart");
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_lets_no_attempt_begin() {
    let budgets =
        SharedBudgets { tenant_day: [("acme".to_owned(), park(6))].into(), ..SharedBudgets::default() };
    // The bound of ten cents does not fit, so the first call is let through by a person.
    let world = World::new(budgets).await;
    let acme = |run: &mut NewRun| run.tenant = Some("acme".into());
    let first = world.start("asks", 1, 1, acme).await;
    assert!(world.parked(first).await.contains("tenant acme, today (UTC): the call may take $0.10"));
    let raise = Message::RaiseBudget { usd: Money::from_cents(20), tokens: 0, by: "ann".into() };
    world.engine.send(first, raise).await.unwrap();
    assert_eq!(world.failure(first).await, None, "the one run that was raised goes on");
    let second = world.start("asks", 1, 0, acme).await;
    let message = world.parked(second).await;
    assert_eq!(message, "step ask: budget: tenant acme, today (UTC): $0.06 of $0.06 are spent");
    world.engine.send(second, Message::Cancel { reason: "enough".into(), by: "ann".into() }).await.unwrap();
    assert!(world.failure(second).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_raise_lets_the_same_step_go_on_whichever_budget_it_was() {
    for (name, step, run) in [("step ask", Some(park(15)), None), ("run", None, Some(park(15)))] {
        let world =
            World::with(SharedBudgets::default(), StepOptions { budget: step, ..StepOptions::default() })
                .await;
        let id = world.start("asks", 1, 4, |new| new.budget = run).await;
        let message = world.parked(id).await;
        // After one call of six cents, nine are left, and ten might be needed.
        let expected =
            format!("budget: {name}: the call may take $0.10, 10 tokens and $0.09 of $0.15 is left");
        assert!(message.contains(&expected), "{message}");
        tokio::time::sleep(Duration::from_secs(48 * 3600)).await;
        let raise = Message::RaiseBudget { usd: Money::from_cents(40), tokens: 0, by: "ann".into() };
        world.engine.send(id, raise).await.unwrap();
        assert_eq!(world.failure(id).await, None, "{name}: a person's two days are not the step's");
        assert_eq!(world.billed(), 5 * REAL, "{name}: the attempt after the raise begins anew");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_use_up_no_attempt_and_a_person_may_end_them() {
    let world = World::with(SharedBudgets::default(), StepOptions::default()).await;
    let run = world.start("asks", 1, 1, |run| run.budget = Some(park(5))).await;
    for _ in 0..7 {
        world.parked(run).await;
        world.engine.send(run, Message::Retry { by: "ann".into() }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.parked(run).await;
    let resolve = Message::Resolve { step: None, resolution: Resolution::Fail, by: "ann".into() };
    world.engine.send(run, resolve).await.unwrap();
    assert_eq!(world.failure(run).await.map(|failure| failure.class), Some(Class::Budget));
    assert_eq!(world.billed(), 0);
}

#[tokio::test(start_paused = true)]
async fn undoing_costs_what_it_costs() {
    let world = World::new(SharedBudgets::default()).await;
    let run = world.start("asks", 1, 1, |run| run.budget = Some(fail(12))).await;
    assert_eq!(world.failure(run).await, None);
    let run = world.start("asks", 30, 1, |run| run.budget = Some(fail(12))).await;
    let RunResult::Failed { failure, compensated, .. } = world.engine.result(run).await.unwrap() else {
        panic!("there is no money for thirty calls")
    };
    assert_eq!((failure.class, compensated > 0), (Class::Budget, true));
}
