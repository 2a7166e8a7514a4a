//! Attempts of a run: started when Restate says so and a place is free, cut when they are no longer wanted.

use std::sync::Arc;

use futures_util::FutureExt as _;
use midwatch_journal::Open;
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Attempt, AttemptInfo, Charge, Class, Ended, EventKind, Failure, OpId, ParkReason, Payload, StepContext,
};
use tokio::task::AbortHandle;

use crate::attempt::{self, Limits, Reports, Told};
use crate::queue::Permit;
use crate::run::{Driver, Stop, Wait};
use crate::translate::{AttemptDone, encode, now};

/// An attempt that has a place, waits for one, or is under way here.
pub(crate) struct Running {
    /// `None` before it starts, or if it ended at once.
    task: Option<AbortHandle>,
    reports: Option<Arc<Reports>>,
    /// Kept until Restate has recorded the end: others start only then.
    _permit: Option<Permit>,
    is_proposed: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Driver {
    /// Takes a place in the attempt's queue, or says that there is none.
    pub(crate) fn take_place(&mut self, op: OpId, attempt: &Attempt) -> Option<WaitReason> {
        let queue = self.host.queues.limited(attempt.queue.as_ref())?;
        match queue.try_enter() {
            Some(permit) => {
                self.places.insert(op, permit);
                None
            }
            None => Some(WaitReason::Queue),
        }
    }

    pub(crate) fn release_place(&mut self, op: OpId) {
        self.places.remove(&op);
    }

    /// Makes an attempt that Restate has no result of.
    pub(crate) fn start_attempt(&mut self, op: OpId) -> Result<(), Stop> {
        if let Some(charges) = self.lost_charges(op) {
            let message = "the process, or its connection to Restate, died during the attempt";
            let failure = Failure::new(Class::Lost, message).ambiguous();
            return self.propose(op, Some(Ended::Failed(failure)), charges);
        }
        let Some(Wait::Attempt { attempt, .. }) = self.waits.get(&op) else { return Ok(()) };
        if self.host.registry.step(&attempt.step).is_none() {
            let message = format!("no step `{}` is registered: start a process that has it", attempt.step);
            self.park(ParkReason::NoCode, message);
            return Ok(());
        }
        if self.host.is_stopping() {
            return Ok(());
        }
        let queue = self.host.queues.limited(attempt.queue.as_ref()).cloned();
        let permit = self.places.remove(&op).or_else(|| queue.as_ref()?.try_enter());
        match queue.filter(|_| permit.is_none()) {
            None => self.launch(op, permit),
            Some(queue) => {
                let (admitted, tell) = (queue.wait(attempt.priority), self.tell.clone());
                let limit = attempt.queue_timeout;
                let task = tokio::spawn(async move {
                    let told = match tokio::time::timeout(limit, admitted).await {
                        Ok(Ok(permit)) => Told::Admitted(op, permit),
                        Ok(Err(_)) | Err(_) => Told::NotAdmitted(op),
                    };
                    let _ = tell.send(told);
                });
                let waiting = Running {
                    task: Some(task.abort_handle()),
                    reports: None,
                    _permit: None,
                    is_proposed: false,
                };
                self.running.insert(op, waiting);
                Ok(())
            }
        }
    }

    /// An attempt's turn in its queue has come, unless it is no longer wanted.
    pub(crate) fn admitted(&mut self, op: OpId, permit: Permit) -> Result<(), Stop> {
        match self.running.remove(&op) {
            Some(_) => self.launch(op, Some(permit)),
            None => Ok(()),
        }
    }

    /// An attempt has waited too long for its turn.
    pub(crate) fn not_admitted(&mut self, op: OpId) -> Result<(), Stop> {
        let Some(Wait::Attempt { attempt, .. }) = self.waits.get(&op) else { return Ok(()) };
        let message = format!("no place in queue within {:?}", attempt.queue_timeout);
        self.propose(op, Some(Ended::Failed(Failure::new(Class::Timeout, message))), Vec::new())
    }

    fn launch(&mut self, op: OpId, permit: Option<Permit>) -> Result<(), Stop> {
        let Some(Wait::Attempt { attempt, .. }) = self.waits.get(&op) else { return Ok(()) };
        let Some(step) = self.host.registry.step(&attempt.step).cloned() else { return Ok(()) };
        let limits = Limits { timeout: attempt.timeout, heartbeat: attempt.heartbeat };
        let input = attempt.input.clone();
        let reports = Reports::new(op, self.tell.clone());
        let cx = self.step_context(attempt, &reports);
        if let Some(Open::Attempt { started: None, .. }) = self.mirror.fold.open.get(&op) {
            self.mirror.put_aside(EventKind::AttemptStarted { op }, now());
        }
        let mut body = Box::pin(attempt::run(step, cx, input, limits, Arc::clone(&reports)));
        let running = Running { task: None, reports: Some(reports), _permit: permit, is_proposed: false };
        self.running.insert(op, running);
        // An attempt that ends without waiting needs no task of its own.
        if let Some((result, charges)) = body.as_mut().now_or_never() {
            return self.attempt_ended(op, result, charges);
        }
        let tell = self.tell.clone();
        let task = tokio::spawn(async move {
            let (result, charges) = body.await;
            let _ = tell.send(Told::Ended(op, result, charges));
        });
        if let Some(running) = self.running.get_mut(&op) {
            running.task = Some(task.abort_handle());
        }
        Ok(())
    }

    fn step_context(&self, attempt: &Attempt, reports: &Arc<Reports>) -> StepContext {
        let progress = self.mirror.fold.progress.get(&(attempt.step.to_string(), attempt.nth)).cloned();
        StepContext::new(AttemptInfo {
            run: Arc::clone(&self.info),
            step: attempt.step.clone(),
            nth: attempt.nth,
            attempt: attempt.attempt,
            key: Arc::clone(&attempt.key),
            target: attempt.target.clone(),
            progress,
            reporter: Arc::clone(reports) as _,
        })
    }

    /// An attempt ended here: Restate is told, and answers when that is recorded.
    pub(crate) fn attempt_ended(
        &mut self,
        op: OpId,
        result: Result<Payload, Failure>,
        charges: Vec<Charge>,
    ) -> Result<(), Stop> {
        let Some(running) = self.running.get(&op) else { return Ok(()) };
        // One that failed leaves its last word of progress to the next one.
        let unsaid =
            running.reports.as_ref().and_then(|reports| reports.unsaid()).filter(|_| result.is_err());
        if let Some(progress) = unsaid {
            let charges = charges.clone();
            self.mirror.put_aside(EventKind::Heartbeat { op, progress, charges }, now());
        }
        self.propose(op, Some(result.into()), charges)
    }

    pub(crate) fn reported(&mut self, op: OpId) {
        let report = self.running.get(&op).and_then(|running| running.reports.as_ref()?.take());
        if let Some((progress, charges)) = report {
            self.mirror.put_aside(EventKind::Heartbeat { op, progress, charges }, now());
        }
    }

    fn propose(&mut self, op: OpId, result: Option<Ended>, charges: Vec<Charge>) -> Result<(), Stop> {
        let Some(Wait::Attempt { handle, .. }) = self.waits.get(&op) else { return Ok(()) };
        let done = encode(&AttemptDone { at: now(), result, charges });
        self.session.propose(*handle, done)?;
        if let Some(running) = self.running.get_mut(&op) {
            running.is_proposed = true;
        }
        Ok(())
    }

    /// Whether any attempt is under way of which Restate was not told the end.
    pub(crate) fn is_working(&self) -> bool {
        self.running.values().any(|running| !running.is_proposed)
    }

    /// Stops an attempt that is no longer wanted, and says what is known of it, and whether Restate has no result of it.
    pub(crate) fn cut(&mut self, op: OpId, lost: Option<Vec<Charge>>) -> (AttemptDone, bool) {
        let running = self.running.remove(&op);
        let is_open = running.as_ref().is_some_and(|running| !running.is_proposed);
        let spent = running.as_ref().and_then(|running| Some(running.reports.as_ref()?.close())).or(lost);
        let result = spent
            .is_some()
            .then(|| Ended::Failed(Failure::new(Class::Cancelled, "no longer wanted").ambiguous()));
        (AttemptDone { at: now(), result, charges: spent.unwrap_or_default() }, is_open)
    }
}
