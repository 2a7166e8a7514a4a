//! Runs that come from other runs: children and forks.

use std::sync::Arc;

use midwatch_journal::{Append, Error, Fold};
use midwatch_workflow::event::Parent;
use midwatch_workflow::{
    Child, Class, EngineError, Failure, ForkKeys, Message, OpId, RunId, RunInfo, RunResult, RunStarted,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::{Core, unavailable};
use crate::control::by_parent;
use crate::fork;
use crate::run::{Found, Input, Reply};

impl Core {
    /// Starts a child; it runs for the same tenant as its parent, and in the same trace.
    pub(crate) fn start_child(self: &Arc<Self>, of: &RunInfo, op: OpId, child: Child) {
        let parent = of.run;
        let Some(workflow) = self.registry.workflow(&child.workflow) else {
            let message = format!("no workflow `{}` is registered", child.workflow);
            let failure = Failure::new(Class::InvalidRequest, message);
            let result = RunResult::Failed { failure, compensated: 0, resolved: 0 };
            return self.input(parent, Input::ChildEnded { op, result });
        };
        let start = RunStarted::child(&child, Some(workflow), Parent { run: parent, op }, of);
        let start = RunStarted { worker: self.options.worker.clone(), ..start };
        // Nobody waits for the start itself: the child's end is what its parent hears of.
        drop(self.launch(workflow, start));
    }

    /// Tells a parent what the journal knows of a child that an earlier process may have started or not.
    pub(crate) fn look_up(self: &Arc<Self>, child: RunId, op: OpId, parent: UnboundedSender<Input>) {
        /// A run that is in memory and not in the journal is about to be written, or about to be found unknown.
        const AGAIN: std::time::Duration = std::time::Duration::from_millis(10);
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let found = loop {
                let is_active = core.active().contains_key(&child);
                match core.recorded_result(child).await {
                    Ok(Some(result)) => break Found::Ended(result),
                    Ok(None) => break Found::Open,
                    Err(EngineError::UnknownRun(_)) if is_active => tokio::time::sleep(AGAIN).await,
                    Err(EngineError::UnknownRun(_)) => break Found::Nothing,
                    Err(error) => {
                        return tracing::error!(run = %child, %error, "child could not be looked up");
                    }
                }
            };
            let _ = parent.send(Input::ChildFound { op, found });
        });
    }

    pub(crate) fn cancel_child(self: &Arc<Self>, child: RunId, parent: RunId) {
        let (reply, _) = oneshot::channel();
        let reason = "its parent was cancelled".to_owned();
        self.deliver(child, Message::Cancel { reason, by: by_parent(parent) }, reply);
    }

    /// Makes a run out of the beginning of another one.
    pub(crate) fn fork(
        self: &Arc<Self>,
        parent: RunId,
        run: RunId,
        event: u64,
        keys: ForkKeys,
        reply: Reply,
    ) {
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let _ = reply.send(core.write_fork(parent, run, event, keys).await);
        });
    }

    async fn write_fork(
        self: &Arc<Self>,
        parent: RunId,
        run: RunId,
        event: u64,
        keys: ForkKeys,
    ) -> Result<(), EngineError> {
        let refused = |why| EngineError::Refused { run: parent, why };
        let events = self.load(parent).await.map_err(unavailable)?;
        let (_, events) =
            fork::forked(&events, run, event, keys, self.options.clock.now()).map_err(refused)?;
        let summary = Fold::of(&events).map(|fold| Box::new(fold.summary));
        let append = Append::new(run, 1, &events, summary).map_err(|error| refused(error.to_string()))?;
        let (done, written) = oneshot::channel();
        self.journal.append(append, Box::new(move |result| drop(done.send(result))));
        match written.await.unwrap_or(Err(Error::Closed)) {
            // The same letter again, after a crash: the fork is there.
            Ok(_) | Err(Error::Conflict { .. }) => self.activate_when_free(run).await,
            Err(error) => {
                self.journal_failed(error.clone());
                return Err(unavailable(error));
            }
        }
        Ok(())
    }
}
