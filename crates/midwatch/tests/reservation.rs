//! What an attempt that does not come to its end has cost: the bound that it booked beforehand stands until somebody knows
//! better.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use std::time::Duration;

use midwatch::{
    Certainty, Charge, Class, Context, Ended, Event, EventKind, Failure, Midwatch, RunError, RunHandle,
    StepContext, StepLlm, Usage, step, workflow,
};
use midwatch_journal::Journal;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_simulator::{Cue, Fault, Reply, Simulator};
use tokio::sync::Notify;

static CALLS: AtomicU32 = AtomicU32::new(0);

fn tokens(input: u64) -> Charge {
    let usage = Usage { calls: 1, input, ..Usage::default() };
    Charge { target: "openai:gpt-4o".to_owned(), usage, ..Charge::default() }
}

/// Hangs in its first call for good; says how far it was, and goes on from there.
#[step]
async fn ask(cx: StepContext, _: ()) -> Result<Option<u32>, Failure> {
    let before = cx.progress()?;
    let call = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    cx.heartbeat(&call)?;
    let reserved = cx.reserve(tokens(1_000)).await?;
    if call == 1 {
        std::future::pending::<()>().await;
    }
    reserved.settle(tokens(70));
    cx.reserve(tokens(5_000)).await?.release();
    Ok(before)
}

#[workflow]
async fn asks(cx: Context, _: ()) -> Result<Option<u32>, Failure> {
    cx.step(ask, &()).await
}

async fn open(folder: &tempfile::TempDir) -> Midwatch {
    Midwatch::embedded(folder.path().join("midwatch.db"))
        .workflow(asks)
        .step(ask)
        .open()
        .await
        .expect("the journal")
}

fn events<O>(folder: &tempfile::TempDir, run: &RunHandle<O>) -> Vec<Event>
where
    O: midwatch::Data,
{
    let journal = SqliteJournal::open_reader(folder.path().join("midwatch.db")).expect("the journal");
    journal.events(run.id(), 0).expect("the journal")
}

fn beats(events: &[Event]) -> usize {
    events
        .iter()
        .filter(|event| matches!(&event.kind, EventKind::Heartbeat { charges, .. } if !charges.is_empty()))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_attempt_leaves_the_bound_it_reserved_and_a_settled_one_its_real_cost() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    let run = midwatch.start(asks, ()).await.unwrap();
    while beats(&events(&folder, &run)) == 0 {
        tokio::task::yield_now().await;
    }
    drop(midwatch);

    let midwatch = open(&folder).await;
    let run = midwatch.run::<Option<u32>>(run.id());
    assert_eq!(
        run.result().await.unwrap(),
        Some(1),
        "progress of the lost attempt is there, whatever was charged"
    );
    midwatch.shut_down().await;

    let ended: Vec<_> = events(&folder, &run)
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::AttemptEnded { result, charges, .. } => Some((result, charges)),
            _ => None,
        })
        .collect();
    let [(Ended::Failed(lost), unknown), (Ended::Ok(_), known)] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!(lost.class, Class::Lost);
    let bound = |charges: &[Charge]| charges.iter().map(|c| (c.usage.input, c.certainty)).collect::<Vec<_>>();
    assert_eq!(bound(unknown), [(1_000, Certainty::Bound)]);
    assert_eq!(bound(known), [(70, Certainty::Exact)]);
}

/// Rings with the first words of an answer.
static FIRST_WORDS: Notify = Notify::const_new();

#[step(timeout = "2m", attempts = 1)]
async fn listens(cx: StepContext, url: String) -> Result<String, Failure> {
    let request = cx.llm("openai:gpt-4o-mini").base_url(url).user("How does the middle watch end?");
    Ok(request.on_text(|_| FIRST_WORDS.notify_one()).send().await?.text)
}

#[workflow]
async fn talks(cx: Context, url: String) -> Result<String, Failure> {
    cx.step(listens, &url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_in_the_middle_of_a_stream_has_booked_what_was_seen_of_it() {
    let long = Cue::anywhere().reply(Reply::text("bell ".repeat(100)));
    let slow = Cue::anywhere().fault(Fault::SlowTokens { token_ms: 100 });
    let simulator = Simulator::builder().script([long, slow]).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let builder = Midwatch::embedded(folder.path().join("midwatch.db")).workflow(talks).step(listens);
    let midwatch = builder.open().await.unwrap();
    let run = midwatch.start(talks, simulator.openai_url()).await.unwrap();
    FIRST_WORDS.notified().await;
    run.cancel("it loops").await.unwrap();
    let Err(RunError::Failed { failure, .. }) = run.result().await else { panic!("it was cancelled") };
    assert_eq!(failure.class, Class::Cancelled);
    assert!(simulator.ledger().settled(Duration::from_secs(20)).await);
    let charges = events(&folder, &run).into_iter().find_map(|event| match event.kind {
        EventKind::AttemptEnded { charges, .. } => Some(charges),
        _ => None,
    });
    let charges = charges.unwrap();
    assert_eq!(charges.iter().map(|charge| charge.certainty).collect::<Vec<_>>(), [Certainty::Estimated]);
    let (booked, billed) = (charges[0].usage.tokens(), simulator.ledger().summary().billed);
    // A token or two may be on their way.
    assert!((booked..=booked + 2).contains(&(billed.input + billed.output)), "{booked} {billed:?}");
    midwatch.shut_down().await;
}
