//! The child: a process that owns the journal and carries out runs until all have ended, or until it is killed.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use midwatch::{Data, Midwatch, Prices, QueueOptions, RunError, StartCall, StartError};

use super::examples::{booking, checkout, research};
use super::plan::{Kind, Plan};
use crate::output::Out;

/// For whom all runs of the demo run; how its journals are told from others.
pub(super) const TENANT: &str = "demo";

/// How many calls to a language model go on at once.
const LLM_AT_ONCE: usize = 48;

/// Starts the first `until` runs, those that an earlier child started left as they are, and waits until they ended.
///
/// # Errors
/// If the journal or the engine fails; a run that fails is no error.
pub(super) fn run(plan: &Plan, db: &Path, until: usize, out: &mut Out) -> anyhow::Result<()> {
    die_with_parent();
    Prices::warm();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let builder = checkout::register(booking::register(research::register(Midwatch::embedded(db))));
        let builder = builder.queue("llm", QueueOptions::concurrency(LLM_AT_ONCE));
        let midwatch = builder.open().await.context("worker: journal")?;
        // The parent's clock for this life starts here.
        out.line("at work")?;
        let ends = stream::iter(0..until).map(|number| carry_out(&midwatch, plan, number));
        ends.buffer_unordered(until.max(1)).try_collect::<()>().await.context("worker")?;
        midwatch.shut_down().await;
        Ok(())
    })
}

async fn carry_out(midwatch: &Midwatch, plan: &Plan, number: usize) -> Result<(), StartError> {
    let id = plan.workflow_id(number);
    match plan.kind(number) {
        Kind::Checkout => end_of(midwatch.start(checkout::checkout, plan.order(number)).id(id)).await,
        Kind::Booking => end_of(midwatch.start(booking::booking, plan.trip(number)).id(id)).await,
        Kind::Research => end_of(midwatch.start(research::research, plan.question(number)).id(id)).await,
    }
}

async fn end_of<O: Data>(start: StartCall<'_, O>) -> Result<(), StartError> {
    match start.tenant(TENANT).await?.result().await {
        Ok(_) | Err(RunError::Failed { .. }) => Ok(()),
        Err(RunError::Engine(error)) => Err(error.into()),
    }
}

/// Ends this process when its parent is gone, however that ended: the parent holds the other end of our stdin.
fn die_with_parent() {
    std::thread::spawn(|| {
        let mut nothing = [0; 16];
        while matches!(std::io::stdin().read(&mut nothing), Ok(1..)) {}
        std::process::exit(70);
    });
}
