//! The embedded engine through its front door, on a real file.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use midwatch::{
    Backoff, Class, Context, Failure, Midwatch, OnDuplicate, RetryPolicy, RunError, StepContext, step,
    workflow,
};

#[step]
async fn double(_cx: StepContext, n: u64) -> Result<u64, Failure> {
    Ok(n * 2)
}

#[workflow]
async fn ten_steps(cx: Context, n: u64) -> Result<u64, Failure> {
    let mut sum = n;
    for _ in 0..10 {
        sum = cx.step(double, &sum).await?;
    }
    Ok(sum)
}

#[step]
async fn book(_cx: StepContext, what: String) -> Result<String, Failure> {
    Ok(format!("{what}-1"))
}

#[step]
async fn cancel(_cx: StepContext, booking: String) -> Result<(), Failure> {
    assert!(booking.ends_with("-1"));
    Ok(())
}

#[step(attempts = 2)]
async fn pay(_cx: StepContext, _cents: u64) -> Result<(), Failure> {
    Err(Failure::new(Class::Server, "no"))
}

#[workflow]
async fn booking(cx: Context, _: ()) -> Result<String, Failure> {
    let quick = RetryPolicy::default().attempts(2).backoff(Backoff::Immediate);
    let flight = cx.step(book, &"flight".to_owned()).compensate(cancel, |flight| flight).await?;
    cx.step(book, &"hotel".to_owned()).compensate(cancel, |hotel| hotel).await?;
    cx.step(pay, &100).retry(quick).await?;
    Ok(flight)
}

#[workflow]
async fn waits(cx: Context, _: ()) -> Result<String, Failure> {
    cx.sleep(Duration::from_millis(50)).await?;
    let name: String = cx.signal("name").within(Duration::from_secs(60)).await?;
    let (a, b) = tokio::join!(cx.step(double, &1).into_future(), cx.step(double, &2).into_future());
    let child = cx.child(ten_steps, &1).await?;
    Ok(format!("{name} {} {} {child}", a?, b?))
}

async fn open(folder: &tempfile::TempDir) -> Midwatch {
    let builder = Midwatch::embedded(folder.path().join("midwatch.db"));
    let builder = builder.workflow(ten_steps).workflow(booking).workflow(waits);
    builder.step(double).step(book).step(cancel).step(pay).open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_gives_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    assert_eq!(midwatch.start(ten_steps, 1).await.unwrap().result().await.unwrap(), 1024);
    midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_id_started_twice_starts_once() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    let first = midwatch.start(ten_steps, 1).id("order-42").await.unwrap();
    let again = midwatch.start(ten_steps, 7).id("order-42").await.unwrap();
    assert_eq!((first.id(), again.is_new()), (again.id(), false));
    assert_eq!(again.result().await.unwrap(), 1024);
    let refused = midwatch.start(ten_steps, 1).id("order-42").on_duplicate(OnDuplicate::Fail).await;
    assert!(refused.is_err());
    midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_undoes_its_steps() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    match midwatch.start(booking, ()).await.unwrap().result().await {
        Err(RunError::Failed { failure, compensated: 2, resolved: 0, .. }) => {
            assert_eq!((failure.class, failure.attempts), (Class::Server, 2));
        }
        other => panic!("{other:?}"),
    }
    midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_in_the_next_process_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    let run = midwatch.start(waits, ()).await.unwrap().id();
    midwatch.shut_down().await;
    drop(midwatch);
    let midwatch = open(&folder).await;
    let run = midwatch.run::<String>(run);
    run.signal("name", "ann").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "ann 2 4 1024");
    midwatch.shut_down().await;
}
