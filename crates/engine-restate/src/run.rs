//! The driver of one run: what Restate's history says goes in, what the workflow asks for becomes Restate's primitives.
//!
//! Whatever reaches the execution is a notification of the history, taken in one at a time and in its order, with a time
//! that stands in the history as well. So a replay asks for the same again, whatever process does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use midwatch_engine_attempt::{Places, RunAccount};
use midwatch_journal::{Error, Open};
use midwatch_workflow::event::{Parent, WaitReason};
use midwatch_workflow::{
    Advanced, Attempt, Charge, Child, Class, Ended, EventKind, Execution, Failure, Mismatch, Op, OpId,
    OpKind, ParkReason, Progress, Recorded, RunInfo, RunResult, RunStarted, Timestamp, WorkflowDefinition,
};
use restate_sdk_shared_core::{
    AwaitResponse, NotificationHandle, PayloadOptions, Target, UnresolvedFuture, VM as _, Value,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::host::{Host, Presence};
use crate::mirror::Mirror;
use crate::session::{Broken, Session};
use crate::translate::{
    AttemptDone, Letter, MAILBOX, RunInput, completed, encode, failed, output_of, service_key,
};
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
    start: RunStarted,
    /// The time of the last input.
    pub(crate) at: Timestamp,
    /// What Restate was asked for and has not answered.
    pub(crate) waits: BTreeMap<OpId, Wait>,
    mailbox: NotificationHandle,
    deadline: Option<NotificationHandle>,
    /// Attempts that Restate says must be made here.
    due: BTreeSet<OpId>,
    /// What attempts that have not started have of the places that they need.
    pub(crate) places: BTreeMap<OpId, Places>,
    /// Attempts under way here, until Restate has recorded their ends.
    pub(crate) running: BTreeMap<OpId, Running>,
    pub(crate) tell: UnboundedSender<Told>,
    pub(crate) told: UnboundedReceiver<Told>,
    ended: Option<RunResult>,
    /// Why the run is parked by this very process.
    pub(crate) halted: Option<ParkReason>,
}

/// What an operation waits for.
pub(crate) enum Wait {
    /// An attempt's end.
    Attempt {
        handle: NotificationHandle,
        attempt: Box<Attempt>,
        /// Not to be made during the pause in which it was asked for.
        is_held: bool,
    },
    Timer(NotificationHandle),
    Child {
        end: NotificationHandle,
        invocation: NotificationHandle,
    },
}

/// What has come of something that was waited for.
enum Source {
    Mailbox,
    Deadline,
    Op(OpId),
}

/// What the driver goes on with.
enum Next {
    Notified(Source, Value),
    Cancelled,
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
        let (run, opened, journal) = (start.run, start.clone(), Arc::clone(&host.journal));
        let worker = host.options.worker.clone();
        let mirror = tokio::task::spawn_blocking(move || Mirror::open(journal, opened, at, &worker)).await;
        let mut mirror = mirror.unwrap_or(Err(Error::Closed))?;
        let recorded = Recorded { ops: mirror.ops_ahead(), patches: mirror.patches_ahead() };
        let execution = Execution::new(workflow, start.clone(), at, recorded);
        let mailbox = session.vm.create_signal_handle(MAILBOX.to_owned())?;
        let info = Arc::new(RunInfo::of(&start, 0));
        let (tell, told) = unbounded_channel();
        let presence = host.enter(run);
        mirror.is_ahead();
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

    /// Whether an attempt must wait, and for what; if not, its place in the queue is taken.
    fn wait_reason(&mut self, op: &Op) -> Option<WaitReason> {
        let OpKind::Attempt(attempt) = &op.kind else { return None };
        if self.mirror.is_ahead() {
            return None;
        }
        if self.mirror.fold.is_paused {
            return Some(WaitReason::Paused);
        }
        if self.host.registry.step(&attempt.step).is_none() {
            return Some(WaitReason::Code);
        }
        if self.host.is_stopping() {
            return Some(WaitReason::Stopping);
        }
        self.take_places(op.id, attempt)
    }

    async fn perform(&mut self, op: Op, dropped: &BTreeSet<OpId>) -> Result<(), Stop> {
        match op.kind {
            OpKind::Attempt(attempt) if !dropped.contains(&op.id) => {
                self.await_deadline(Some(self.at + attempt.queue_timeout + attempt.timeout))?;
                let handle = self.session.vm.sys_run(attempt_name(&attempt))?.handle;
                let is_held = self.mirror.fold.is_paused;
                self.waits.insert(op.id, Wait::Attempt { handle, attempt, is_held });
            }
            OpKind::Timer { until, .. } if !dropped.contains(&op.id) => {
                self.await_deadline(Some(until))?;
                let until = std::time::Duration::from_micros(until.as_micros());
                let handle = self.session.vm.sys_sleep(String::new(), until, None)?;
                self.waits.insert(op.id, Wait::Timer(handle));
            }
            OpKind::Child(child) => {
                self.await_deadline(None)?;
                self.call(op.id, &child)?;
            }
            OpKind::CancelChild => self.cancel_child(op.id).await?,
            OpKind::Signal { .. } | OpKind::Park { .. } => self.await_deadline(None)?,
            OpKind::Attempt(_) | OpKind::Timer { .. } | OpKind::Note(_) | OpKind::Abandon => {}
        }
        Ok(())
    }

    /// Has Restate wake the run at its deadline, if it may still wait then.
    fn await_deadline(&mut self, until: Option<Timestamp>) -> Result<(), Stop> {
        let deadline = self.execution.as_ref().and_then(Execution::deadline);
        let Some(deadline) = deadline.filter(|_| self.deadline.is_none() && !self.mirror.fold.is_cancelled)
        else {
            return Ok(());
        };
        if until.is_none_or(|until| until >= deadline) {
            let at = std::time::Duration::from_micros(deadline.as_micros());
            self.deadline = Some(self.session.vm.sys_sleep("deadline".to_owned(), at, None)?);
        }
        Ok(())
    }

    fn call(&mut self, op: OpId, child: &Child) -> Result<(), Stop> {
        let parent = Parent { run: self.start.run, op };
        let start =
            RunStarted::child(child, self.host.registry.workflow(&child.workflow), parent, &self.info);
        let target = Target {
            service: self.host.service(&child.workflow),
            handler: "run".to_owned(),
            key: Some(service_key(&start)),
            idempotency_key: None,
            scope: None,
            limit_key: None,
            headers: Vec::new(),
        };
        let input = encode(&RunInput { start, at: self.at });
        let handles =
            self.session.vm.sys_call(target, input, None, PayloadOptions::unstable_serialization())?;
        let wait = Wait::Child {
            end: handles.call_notification_handle,
            invocation: handles.invocation_id_notification_handle,
        };
        self.waits.insert(op, wait);
        Ok(())
    }

    async fn cancel_child(&mut self, op: OpId) -> Result<(), Stop> {
        let Some(Wait::Child { invocation, .. }) = self.waits.get(&op) else { return Ok(()) };
        let invocation = *invocation;
        let Value::InvocationId(id) = self.session.wait_for(invocation, Default::default).await? else {
            return Ok(());
        };
        let message = midwatch_workflow::Message::Cancel {
            reason: "its parent was cancelled".to_owned(),
            by: format!("parent {}", self.start.run),
        };
        let letter = encode(&Letter { message, at: self.at, id: 0 });
        let value = restate_sdk_shared_core::NonEmptyValue::Success(letter);
        Ok(self.session.vm.sys_complete_signal(id, MAILBOX.to_owned(), value)?)
    }

    /// Stops what is no longer wanted. Whether an attempt had begun, and what it spent, stands in Restate's history too.
    async fn abandon(&mut self, op: OpId, lost: Option<Vec<Charge>>) -> Result<(), Stop> {
        self.release_places(op);
        let Some(Wait::Attempt { handle, .. }) = self.waits.remove(&op) else { return Ok(()) };
        // What Restate has said must be made, and was not proposed yet, is answered now.
        let was_due = self.due.remove(&op);
        let (done, is_under_way) = self.cut(op, lost);
        let done = encode(&done);
        if is_under_way || was_due {
            self.session.propose(handle, done.clone())?;
        }
        let value = self.session.wait_for(handle, || done.clone()).await?;
        let AttemptDone { at, result, charges } = attempt_done(value)?;
        match result {
            Some(result) => self.record(EventKind::AttemptEnded { op, result, charges }, at),
            None => Ok(()),
        }
    }

    /// Waits for the next notification of the history; meanwhile attempts are made and reported.
    async fn next(&mut self) -> Result<Next, Stop> {
        loop {
            let awaited = self.awaited();
            let handles = awaited.iter().map(|(handle, _)| UnresolvedFuture::Single(*handle)).collect();
            match self.session.vm.do_await(UnresolvedFuture::FirstCompleted(handles))? {
                AwaitResponse::AnyCompleted => {
                    for (handle, source) in awaited {
                        if self.session.vm.is_completed(handle)
                            && let Some(value) = self.session.vm.take_notification(handle)?
                        {
                            return Ok(Next::Notified(source, value));
                        }
                    }
                }
                AwaitResponse::ExecuteRun(handle) => {
                    let op = awaited.iter().find_map(|(of, source)| match source {
                        Source::Op(op) if *of == handle => Some(*op),
                        _ => None,
                    });
                    self.due.extend(op);
                }
                AwaitResponse::CancelSignalReceived => return Ok(Next::Cancelled),
                AwaitResponse::WaitingExternalProgress { waiting_input, .. } => {
                    self.mirror.caught_up(crate::translate::now());
                    // Whatever is begun is in the journal, so that a kill does not hide it. Restate hears of it with its
                    // end, if that comes at once: one message costs the server less than two.
                    if !self.due.is_empty() {
                        self.mirror.settle().await?;
                    }
                    // The order in which Restate gives them out is not that of the operations.
                    while let Some(op) = self.due.pop_first() {
                        self.start_attempt(op)?;
                    }
                    self.mirror.write()?;
                    self.session.flush();
                    self.wait(waiting_input).await?;
                }
                AwaitResponse::EphemeralNotificationReady(_) => {}
            }
        }
    }

    fn awaited(&self) -> Vec<(NotificationHandle, Source)> {
        let mut awaited = vec![(self.mailbox, Source::Mailbox)];
        awaited.extend(self.deadline.map(|handle| (handle, Source::Deadline)));
        awaited.extend(self.waits.iter().filter_map(|(op, wait)| match wait {
            Wait::Attempt { is_held: true, .. } => None,
            Wait::Attempt { handle, .. } | Wait::Timer(handle) | Wait::Child { end: handle, .. } => {
                Some((*handle, Source::Op(*op)))
            }
        }));
        awaited
    }

    /// Waits until anything happens here or at the server.
    async fn wait(&mut self, is_open: bool) -> Result<(), Stop> {
        let is_resting = self.running.is_empty() && self.halted.is_none();
        if !is_open && self.running.is_empty() {
            return Err(Broken::Failed("the server waits no longer".to_owned()).into());
        }
        if self.host.is_stopping() && self.running.is_empty() {
            return Err(Broken::Failed("this process is stopping".to_owned()).into());
        }
        let leave = is_resting.then(|| Instant::now() + self.host.options.linger);
        let wake = [leave, self.mirror.summary_due()].into_iter().flatten().min();
        let host = Arc::clone(&self.host);
        tokio::select! {
            biased;
            told = self.told.recv() => {
                if let Some(told) = told {
                    self.hear(told)?;
                }
            }
            nudge = self.presence.nudges.recv() => {
                if let Some(nudge) = nudge {
                    self.nudged(nudge);
                    return Err(Broken::Failed("taken up again".to_owned()).into());
                }
            }
            () = self.session.read(), if is_open => {}
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                if leave.is_some_and(|leave| leave <= Instant::now()) {
                    self.session.close();
                } else {
                    self.mirror.flush_summary();
                }
            }
            () = host.stopped(), if !host.is_stopping() => {}
        }
        Ok(())
    }

    /// Takes in what an attempt tells, here or while the run is parked.
    pub(crate) fn hear(&mut self, told: Told) -> Result<(), Stop> {
        match told {
            Told::Ended(op, result, charges) => self.attempt_ended(op, result, charges),
            Told::Reported(op) => {
                self.reported(op);
                Ok(())
            }
            Told::Admitted(op, place) => self.admitted(op, place),
            Told::NotAdmitted(op) => self.not_admitted(op),
        }
    }

    async fn take(&mut self, source: Source, value: Value) -> Result<(), Stop> {
        match source {
            Source::Mailbox => self.take_letter(value),
            Source::Deadline => {
                self.deadline = None;
                let at = self.session.clock().await?;
                if self.mirror.fold.is_cancelled {
                    return Ok(());
                }
                let timeout = self.start.timeout.unwrap_or_default();
                let reason = format!("the run took longer than {timeout:?}");
                let by = "deadline".to_owned();
                self.record(EventKind::CancelRequested { class: Class::Timeout, reason, by }, at)
            }
            Source::Op(op) => match self.waits.remove(&op) {
                Some(Wait::Attempt { .. }) => {
                    let AttemptDone { at, result, charges } = attempt_done(value)?;
                    let result = result.unwrap_or_else(|| {
                        Ended::Failed(Failure::new(Class::Bug, "an attempt ended without having begun"))
                    });
                    self.record(EventKind::AttemptEnded { op, result, charges }, at)?;
                    self.running.remove(&op);
                    Ok(())
                }
                Some(Wait::Timer(_)) => {
                    let at = self.session.clock().await?;
                    self.record(EventKind::TimerFired { op }, at)
                }
                Some(Wait::Child { .. }) => {
                    let at = self.session.clock().await?;
                    let result = match value {
                        Value::Success(output) => completed(&output),
                        Value::Failure(failure) => failed(failure.code, &failure.message),
                        other => return Err(Broken::Failed(format!("a child that ends as {other:?}")).into()),
                    };
                    self.record(EventKind::ChildEnded { op, result: result.into() }, at)
                }
                None => Ok(()),
            },
        }
    }

    fn take_letter(&mut self, value: Value) -> Result<(), Stop> {
        // One delivery for each handle.
        self.mailbox = self.session.vm.create_signal_handle(MAILBOX.to_owned())?;
        let Value::Success(letter) = value else { return Ok(()) };
        match serde_json::from_slice::<Letter>(&letter) {
            Ok(letter) => {
                let answer = self.take_message(letter.message, letter.at)?;
                self.host.answer(letter.id, answer);
            }
            Err(error) => tracing::warn!(run = %self.start.run, %error, "a message of an unknown form"),
        }
        Ok(())
    }

    /// Somebody cancelled the invocation with Restate's own means.
    async fn cancelled_by_restate(&mut self) -> Result<(), Stop> {
        let at = self.session.clock().await?;
        if self.mirror.fold.is_cancelled {
            return Ok(());
        }
        let (reason, by) = ("cancelled in Restate".to_owned(), "restate".to_owned());
        self.record(EventKind::CancelRequested { class: Class::Cancelled, reason, by }, at)
    }

    /// Fires a timer before it is due.
    pub(crate) fn fire_now(&mut self, op: OpId, at: Timestamp) -> Result<(), Stop> {
        self.waits.remove(&op);
        self.record(EventKind::TimerFired { op }, at)
    }

    /// Lets attempts go that were asked for during a pause.
    pub(crate) fn release_held(&mut self) {
        for wait in self.waits.values_mut() {
            if let Wait::Attempt { is_held, .. } = wait {
                *is_held = false;
            }
        }
    }

    /// If an attempt had started in an earlier life of the run: what it had spent, as far as the journal knows.
    pub(crate) fn lost_charges(&mut self, op: OpId) -> Option<Vec<Charge>> {
        if !self.mirror.is_earlier(op) || self.running.contains_key(&op) {
            return None;
        }
        match self.mirror.fold.open.get(&op) {
            Some(Open::Attempt { started: Some(_), charges, .. }) => Some(charges.clone()),
            _ => None,
        }
    }
}

/// How Restate shows an attempt.
fn attempt_name(attempt: &Attempt) -> String {
    let Attempt { step, nth, attempt, .. } = attempt;
    match (nth, attempt) {
        (1, 1) => step.to_string(),
        (_, 1) => format!("{step}#{nth}"),
        _ => format!("{step}#{nth} attempt {attempt}"),
    }
}

fn attempt_done(value: Value) -> Result<AttemptDone, Stop> {
    let Value::Success(done) = value else {
        return Err(Broken::Failed(format!("an attempt that ends as {value:?}")).into());
    };
    serde_json::from_slice(&done).map_err(|error| Broken::Failed(error.to_string()).into())
}
