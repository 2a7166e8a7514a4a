//! What an engine does beside its runs: takes up open runs at the start, wakes due ones, hears its inbox.

use std::sync::Arc;

use midwatch_journal::{Error, Order, RunQuery, RunSummary, Status};
use midwatch_workflow::{EngineError, ParkReason, RunId, Timestamp};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use crate::core::Core;

const PAGE: usize = 10_000;
const DUE_AT_ONCE: usize = 256;

/// What an open run needs after a start.
#[derive(PartialEq, Eq, Debug)]
enum Need {
    /// To be taken up now.
    Activation,
    /// To be woken when it is due.
    Timer(Timestamp),
    /// Nothing: only a message can move it.
    Nothing,
}

/// Finds all open runs. Those that only wait stay on disk; the others are given back.
pub(crate) fn find_open(core: &Core) -> Result<Vec<RunId>, Error> {
    let statuses = Status::ALL.into_iter().filter(|status| !status.is_ended()).collect();
    let mut query = RunQuery { statuses, order: Order::Oldest, limit: PAGE, ..RunQuery::default() };
    let mut activate = Vec::new();
    loop {
        let page = core.journal.runs(&query)?;
        for run in &page {
            match need(run) {
                Need::Activation => activate.push(run.run),
                Need::Timer(at) => core.timers.add(at, run.run),
                Need::Nothing => {}
            }
        }
        if page.len() < PAGE {
            return Ok(activate);
        }
        query.skip += PAGE;
    }
}

fn need(run: &RunSummary) -> Need {
    if run.is_recorded() {
        return Need::Nothing;
    }
    // The summary of an idle run is exact: it was written together with what made the run idle.
    let by_engine = [ParkReason::Mismatch, ParkReason::Panicked, ParkReason::Stray, ParkReason::NoCode];
    let is_halted = run.parked.is_some_and(|reason| by_engine.contains(&reason));
    let is_idle = matches!(run.status, Status::Waiting | Status::Parked) && !is_halted && run.children == 0;
    match run.wake_at {
        _ if !is_idle => Need::Activation,
        Some(at) => Need::Timer(at),
        None => Need::Nothing,
    }
}

/// Takes the runs up, a bounded number at a time (loading is what is bounded).
pub(crate) async fn take_up(core: Arc<Core>, runs: Vec<RunId>) {
    for run in runs {
        core.activate_when_free(run).await;
    }
}

/// Wakes runs on disk when they are due.
pub(crate) async fn wake_due(core: Arc<Core>) {
    loop {
        let due = core.timers.take_due(core.options.clock.now(), DUE_AT_ONCE);
        for run in due {
            core.activate_when_free(run).await;
        }
        match core.timers.next() {
            None => core.timers.changed().await,
            Some(at) if at <= core.options.clock.now() => tokio::task::yield_now().await,
            Some(at) => tokio::select! {
                () = sleep_until(core.options.clock.instant(at)) => {}
                () = core.timers.changed() => {}
            },
        }
    }
}

/// Delivers messages that other processes left.
pub(crate) async fn read_inbox(core: Arc<Core>) {
    let (journal, poll) = (Arc::clone(&core.journal), core.options.inbox_poll);
    let send = |run, message| {
        let (reply, answer) = oneshot::channel();
        core.deliver(run, message, reply);
        async { answer.await.unwrap_or(Err(EngineError::Stopped)) }
    };
    crate::inbox::read_inbox(journal, poll, send).await;
}

#[cfg(test)]
mod tests {
    use midwatch_journal::Fold;
    use midwatch_workflow::RunStarted;

    use super::*;

    fn summary(worker: &str) -> RunSummary {
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let start = RunStarted::bare(RunId::new(at, [7; 10]), "checkout");
        Fold::begin(&RunStarted { worker: worker.to_owned(), ..start }, at).summary
    }

    #[test]
    fn a_run_that_others_carry_out_is_left_to_them() {
        assert_eq!(need(&summary("recorder: gateway")), Need::Nothing);
        assert_eq!(need(&summary("pid-1")), Need::Activation);
    }
}
