//! How runs end, and who hears of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use midwatch_workflow::event::Parent;
use midwatch_workflow::{EngineError, EventKind, RunId, RunResult};
use tokio::sync::oneshot;

use super::{Active, Core, unavailable};
use crate::run::Input;

impl Core {
    /// Gives the result if the run has ended; if not, `waiter` is told of it when it does.
    pub(crate) async fn await_end(
        &self,
        run: RunId,
        waiter: oneshot::Sender<RunResult>,
    ) -> Result<Option<RunResult>, EngineError> {
        {
            // A run that ends takes this lock before it looks for waiters.
            let active = self.active();
            if let Some(Active { ended: Some(result), .. }) = active.get(&run) {
                return Ok(Some(result.clone()));
            }
            let mut waiters = self.waiters();
            if !self.is_closed.load(Ordering::Acquire) {
                waiters.entry(run).or_default().push(waiter);
                if active.contains_key(&run) {
                    return Ok(None);
                }
            }
        }
        let result = self.recorded_result(run).await;
        match &result {
            Ok(Some(result)) => self.wake_waiters(run, result),
            Ok(None) => {}
            Err(_) => drop(self.waiters().remove(&run)),
        }
        result
    }

    /// A run has ended, durably.
    pub(crate) fn run_ended(self: &Arc<Self>, run: RunId, parent: Option<Parent>, result: &RunResult) {
        self.tell_end(run, result);
        if let Some(Parent { run: parent, op }) = parent {
            self.input(parent, Input::ChildEnded { op, result: result.clone() });
        }
    }

    /// Keeps the end of a run in memory for those who ask, and tells those who wait.
    pub(super) fn tell_end(&self, run: RunId, result: &RunResult) {
        if let Some(active) = self.active().get_mut(&run) {
            active.ended = Some(result.clone());
        }
        self.wake_waiters(run, result);
    }

    fn wake_waiters(&self, run: RunId, result: &RunResult) {
        for waiter in self.waiters().remove(&run).unwrap_or_default() {
            // One that no longer waits is as good as told.
            let _ = waiter.send(result.clone());
        }
    }

    /// A run that had ended goes on.
    pub(crate) fn run_reopened(&self, run: RunId) {
        if let Some(active) = self.active().get_mut(&run) {
            active.ended = None;
        }
        tracing::debug!(%run, "run goes on");
    }

    /// The result of a run that has ended, `None` if it has not.
    pub(crate) async fn recorded_result(&self, run: RunId) -> Result<Option<RunResult>, EngineError> {
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || {
            let Some(summary) = journal.run(run)? else { return Ok(Err(EngineError::UnknownRun(run))) };
            if summary.ended_at.is_none() {
                return Ok(Ok(None));
            }
            let last = journal.events(run, summary.events.saturating_sub(1))?.pop();
            Ok(Ok(last.and_then(|event| match event.kind {
                EventKind::RunEnded { result } => Some(result),
                _ => None,
            })))
        });
        let read = read.await.map_err(|_| self.stopped())?;
        read.map_err(unavailable)?
    }

    /// Lets go of everybody who waits for an end: none will come.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.waiters().clear();
    }
}
