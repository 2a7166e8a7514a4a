//! The driver of one run: what Restate's history says goes in, what the workflow asks for becomes Restate's primitives.
//!
//! Whatever reaches the execution is a notification of the history, taken in one at a time and in its order, with a time
//! that stands in the history as well. So a replay asks for the same again, whatever process does it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use midwatch_engine_attempt::{Places, RunAccount};
use midwatch_journal::Error;
use midwatch_workflow::{
    Advanced, Attempt, EventKind, Execution, Mismatch, OpId, OpKind, ParkReason, Progress, Recorded, RunInfo,
    RunResult, RunStarted, Timestamp, WorkflowDefinition,
};
use restate_sdk_shared_core::{NotificationHandle, PayloadOptions, VM as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::host::{Host, Presence};
use crate::mirror::Mirror;
use crate::next::Next;
use crate::session::{Broken, Session};
use crate::translate::{MAILBOX, RunInput, output_of};
use crate::work::{Running, Told};

/// Why a driver stops before its run has ended.
pub(crate) enum Stop {
    /// The invocation does not go on here.
    Broken(Broken),
    /// The engine parks the run.
    Halted(ParkReason, String),
    /// The journal failed.
    Journal(Error),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Stop::Broken(broken)
    }
}

impl From<restate_sdk_shared_core::Error> for Stop {
    fn from(error: restate_sdk_shared_core::Error) -> Self {
        Stop::Broken(error.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Journal(error)
    }
}

impl From<Box<Mismatch>> for Stop {
    fn from(mismatch: Box<Mismatch>) -> Self {
        let message =
            format!("{mismatch}: put the old code back, or guard the change with cx.patched(\"…\")");
        Stop::Halted(ParkReason::Mismatch, message)
    }
}

/// A run in memory.
pub(crate) struct Driver {
    pub(crate) host: Arc<Host>,
    pub(crate) session: Session,
    pub(crate) mirror: Mirror,
    pub(crate) presence: Presence,
    pub(crate) execution: Option<Execution>,
    /// What the run spends, if any budget concerns it and it spends at all.
    pub(crate) account: Option<Arc<RunAccount>>,
    pub(crate) info: Arc<RunInfo>,
    pub(crate) start: RunStarted,
    /// The time of the last input.
    pub(crate) at: Timestamp,
    /// What Restate was asked for and has not answered.
    pub(crate) waits: BTreeMap<OpId, Wait>,
    pub(crate) mailbox: NotificationHandle,
    pub(crate) deadline: Option<NotificationHandle>,
    /// Attempts that Restate says must be made here.
    pub(crate) due: BTreeSet<OpId>,
    /// What attempts that have not started have of the places that they need.
    pub(crate) places: BTreeMap<OpId, Places>,
    /// Attempts under way here, until Restate has recorded their ends.
    pub(crate) running: BTreeMap<OpId, Running>,
    pub(crate) tell: UnboundedSender<Told>,
    pub(crate) told: UnboundedReceiver<Told>,
    /// Since when nothing of the history was taken in.
    pub(crate) since: Instant,
    /// Wakes the driver when it has waited for long: one timer for its life, which a busy run seldom moves.
    pub(crate) alarm: Pin<Box<Sleep>>,
    ended: Option<RunResult>,
    /// Why the run is parked by this very process.
    pub(crate) halted: Option<ParkReason>,
}

/// What an operation waits for.
pub(crate) enum Wait {
    /// An attempt's end.
    Attempt {
        handle: NotificationHandle,
        attempt: Arc<Attempt>,
        /// Not to be made during the pause in which it was asked for.
        is_held: bool,
    },
    Timer(NotificationHandle),
    Child {
        end: NotificationHandle,
        invocation: NotificationHandle,
    },
}

impl Driver {
    /// Takes up the run that an invocation is for.
    pub(crate) async fn begin(
        host: Arc<Host>,
        workflow: &WorkflowDefinition,
        mut session: Session,
        input: RunInput,
    ) -> Result<Self, Stop> {
        let RunInput { mut start, at } = input;
        start.worker.clone_from(&host.options.worker);
        let run = start.run;
        let recorded = host.recorded(run).await?;
        let mut mirror = Mirror::open(Arc::clone(&host.journal), &start, at, &host.options.worker, recorded);
        let recorded = Recorded { ops: mirror.ops_ahead(), patches: mirror.patches_ahead() };
        let execution = Execution::new(workflow, start.clone(), at, recorded);
        let mailbox = session.vm.create_signal_handle(MAILBOX.to_owned())?;
        let info = Arc::new(RunInfo::of(&start, 0));
        let (tell, told) = unbounded_channel();
        let presence = host.enter(run);
        mirror.is_ahead();
        let since = Instant::now();
        let alarm = Box::pin(sleep_until(since + host.options.linger));
        Ok(Self {
            host,
            session,
            mirror,
            presence,
            execution: Some(execution),
            account: None,
            info,
            start,
            at,
            waits: BTreeMap::new(),
            mailbox,
            deadline: None,
            due: BTreeSet::new(),
            places: BTreeMap::new(),
            running: BTreeMap::new(),
            tell,
            told,
            since,
            alarm,
            ended: None,
            halted: None,
        })
    }

    /// Carries the run on to its end, or until it must stop.
    pub(crate) async fn drive(&mut self) -> Result<(), Stop> {
        self.advance().await?;
        while self.ended.is_none() {
            match self.next().await? {
                Next::Notified(source, value) => self.take(source, value).await?,
                Next::Cancelled => self.cancelled_by_restate().await?,
            }
            while std::mem::take(&mut self.session.is_cancelled) {
                self.cancelled_by_restate().await?;
            }
            self.advance().await?;
        }
        // Restate forgets how it came to the end; so the journal must know before.
        self.mirror.settle().await?;
        if let Some(result) = &self.ended {
            self.session.vm.sys_write_output(output_of(result), PayloadOptions::unstable_serialization())?;
            self.session.vm.sys_end()?;
        }
        self.session.flush();
        Ok(())
    }

    /// Records what happened, and lets the workflow know.
    pub(crate) fn record(&mut self, kind: EventKind, at: Timestamp) -> Result<(), Stop> {
        self.at = self.at.max(at);
        if let Some(execution) = &mut self.execution {
            execution.happened(&kind, self.at);
        }
        Ok(self.mirror.tell(kind, self.at)?)
    }

    /// Lets the workflow go on, and asks Restate for what it asks for.
    async fn advance(&mut self) -> Result<(), Stop> {
        let Some(execution) = &mut self.execution else { return Ok(()) };
        let Advanced { ops, progress } = execution.advance();
        if let Some((reason, message)) = progress.obstacle() {
            return Err(Stop::Halted(reason, message));
        }
        // What is dropped as soon as it was asked for is never begun.
        let dropped: BTreeSet<OpId> =
            ops.iter().filter(|op| op.kind == OpKind::Abandon).map(|op| op.id).collect();
        for op in ops {
            let waits = self.wait_reason(&op);
            // Once it is abandoned, the journal's fold no longer tells.
            let lost = (op.kind == OpKind::Abandon).then(|| self.lost_charges(op.id)).flatten();
            if let Some(kind) = op.to_event(waits) {
                self.mirror.ask(&op, kind, self.at)?;
            }
            match op.kind {
                OpKind::Abandon => self.abandon(op.id, lost).await?,
                _ => self.perform(op, &dropped).await?,
            }
        }
        if let Progress::Done(result) = progress {
            self.execution = None;
            self.running.clear();
            self.mirror.tell(EventKind::RunEnded { result: result.clone() }, self.at)?;
            self.ended = Some(result);
        }
        Ok(self.mirror.write()?)
    }
}
