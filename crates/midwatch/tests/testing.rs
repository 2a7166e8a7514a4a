//! The testing kit, as users use it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use midwatch::testing::{Status, TestEngine};
use midwatch::{Class, Context, Failure, QueueOptions, RunError, StepContext, step, workflow};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[step]
async fn book(_cx: StepContext, what: String) -> Result<String, Failure> {
    Ok(format!("{what} booked"))
}

#[step]
async fn cancel(_cx: StepContext, _booking: String) -> Result<(), Failure> {
    Ok(())
}

#[step(attempts = 3)]
async fn pay(_cx: StepContext, cents: u64) -> Result<u64, Failure> {
    Ok(cents)
}

#[workflow]
async fn trip(cx: Context, cents: u64) -> Result<String, Failure> {
    let hotel = cx.step(book, &"hotel".to_owned()).compensate(cancel, |booking| booking).await?;
    cx.sleep(30 * DAY / 2).await?;
    let approved: bool = cx.signal("approve").within(DAY).await?;
    let paid = cx.step(pay, &cents).await?;
    Ok(format!("{hotel}, {paid} paid, approved: {approved}"))
}

fn travel() -> midwatch::testing::TestSetup {
    TestEngine::with().workflow(trip).step(book).step(cancel).step(pay)
}

#[test]
fn a_month_passes_in_no_time() {
    let engine = travel().open();
    let run = engine.start(trip, 7);
    let begin = engine.now();
    engine.pass(15 * DAY + Duration::from_secs(60));
    assert_eq!(run.status(), Status::Waiting);
    run.signal("approve", &true);
    assert_eq!(run.result().unwrap(), "hotel booked, 7 paid, approved: true");
    assert!(engine.now().since(begin) < 16 * DAY);
}

#[test]
fn a_stub_stands_for_a_step_and_is_told_the_attempt() {
    let setup = travel().answer("approve", &true).stub("pay", |cents: u64, attempt: u32| match attempt {
        1 | 2 => Err(Failure::new(Class::Server, "busy")),
        _ => Ok(cents + 1),
    });
    let engine = setup.open();
    let run = engine.start(trip, 7);
    assert_eq!(run.result().unwrap(), "hotel booked, 8 paid, approved: true");
    let failed: Vec<bool> = run
        .attempts("pay")
        .into_iter()
        .map(|attempt| attempt.result.is_some_and(|result| result.is_err()))
        .collect();
    assert_eq!(failed, [true, true, false]);
}

#[test]
fn a_failed_run_says_how_many_steps_it_undid() {
    let setup = travel().answer("approve", &true);
    let engine =
        setup.stub("pay", |_: u64, _| Err::<u64, _>(Failure::new(Class::Permission, "card refused"))).open();
    match engine.start(trip, 7).result() {
        Err(RunError::Failed { failure, compensated: 1, .. }) => assert_eq!(failure.class, Class::Permission),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_goes_on_after_a_crash_of_the_engine() {
    let engine = travel().open();
    let run = engine.start_with_id(trip, 7, "trip-1");
    engine.pass(DAY);
    engine.crash();
    assert_eq!(engine.start_with_id(trip, 7, "trip-1").id(), run.id());
    engine.pass(14 * DAY + Duration::from_secs(60));
    run.signal("approve", &true);
    run.result().unwrap();
    assert!(run.story().contains(&"recovered".to_owned()), "{:?}", run.story());
}

#[test]
fn a_workflow_that_is_as_it_should_be_survives_a_crash_everywhere() {
    let survived = travel().answer("approve", &true).crash_everywhere(trip, 7).unwrap();
    assert!(survived.appends >= 5 && survived.crashes == 2 * survived.appends, "{survived:?}");
}

#[test]
fn steps_in_a_narrow_queue_and_failing_stubs_survive_too() {
    #[workflow]
    async fn crowd(cx: Context, _: ()) -> Result<usize, Failure> {
        let calls = (0..4).map(|n| cx.step(pay, &n).queue("narrow"));
        Ok(cx.join_all(calls).await?.len())
    }
    let flaky = |cents: u64, attempt: u32| match attempt {
        1 => Err(Failure::new(Class::Server, "busy")),
        _ => Ok(cents),
    };
    let setup = TestEngine::with().workflow(crowd).stub("pay", flaky);
    setup.queue("narrow", QueueOptions::concurrency(2)).crash_everywhere(crowd, ()).unwrap();
}

/// What no workflow may read: it is another number every time.
static CLOCK: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_workflow_that_looks_outside_is_found_out_with_the_place() {
    #[workflow]
    async fn careless(cx: Context, _: ()) -> Result<u64, Failure> {
        cx.step(book, &"hotel".to_owned()).await?;
        match CLOCK.fetch_add(1, Ordering::Relaxed) {
            0 => cx.step(pay, &1).await,
            _ => cx.step(book, &"other".to_owned()).await.map(|_| 2),
        }
    }
    let difference = TestEngine::with()
        .workflow(careless)
        .step(book)
        .step(pay)
        .crash_everywhere(careless, ())
        .expect_err("it must be found out");
    assert_eq!((difference.append, difference.written), (1, false), "{difference}");
    assert!(difference.to_string().contains("instead of"), "{difference}");
}

#[test]
#[should_panic(expected = "the run never ends")]
fn a_run_that_never_ends_is_a_failed_test_with_its_story() {
    #[workflow]
    async fn broken(_cx: Context, _: ()) -> Result<(), Failure> {
        panic!("a mistake")
    }
    let engine = TestEngine::with().workflow(broken).open();
    let _ = engine.start(broken, ()).result();
}

#[test]
#[should_panic(expected = "write #[test] instead of #[tokio::test]")]
fn a_runtime_around_the_test_is_refused_with_what_to_do() {
    tokio::runtime::Runtime::new().unwrap().block_on(async { travel().open() });
}
