//! What a killed attempt may have cost: the bound that it booked beforehand stands until the real cost replaces it.

use std::sync::atomic::{AtomicU32, Ordering};

use midwatch::{
    Certainty, Charge, Class, Context, Ended, Event, EventKind, Failure, Midwatch, RunHandle, StepContext,
    Usage, step, workflow,
};
use midwatch_journal::Journal;
use midwatch_journal::sqlite::SqliteJournal;

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
