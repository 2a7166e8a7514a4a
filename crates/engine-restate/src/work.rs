//! Attempts of a run: started when Restate says so and a place is free, cut when they are no longer wanted.

use std::sync::Arc;

use futures_util::FutureExt as _;
use midwatch_engine_attempt::{Account, Limits, OwnBudget, Permit, Place, Places, Report, Reports, make};
use midwatch_journal::Open;
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Amount, Attempt, AttemptInfo, Charge, Class, Ended, EventKind, Failure, OpId, ParkReason, Payload,
    StepContext,
};
use tokio::task::AbortHandle;

use crate::run::{Driver, Stop, Wait};
use crate::translate::{AttemptDone, encode, now};

/// What an attempt tells its run.
pub(crate) enum Told {
    /// It ended.
    Ended(OpId, Result<Payload, Failure>, Vec<Charge>),
    /// It has something to report.
    Reported(OpId),
    /// A place that it waited for has come free.
    Admitted(OpId, Place),
    /// It has waited too long for its places.
    NotAdmitted(OpId),
}

/// An attempt that waits for its places, or is under way here.
pub(crate) struct Running {
    /// `None` if it ended at once.
    task: Option<AbortHandle>,
    /// `None` before it starts.
    reports: Option<Arc<Reports>>,
    /// Kept until Restate has recorded the end: others start only then.
    _permit: Option<Permit>,
    is_proposed: bool,
}

impl Running {
    /// Whether it waits for its places.
    fn waits(&self) -> bool {
        self.reports.is_none() && !self.is_proposed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Driver {
    /// Takes an attempt's places as far as they are free, and says which one it must wait for.
    pub(crate) fn take_places(&mut self, op: OpId, attempt: &Attempt) -> Option<WaitReason> {
        if !Places::are_needed(&self.host.admissions, attempt.into()) {
            return None;
        }
        self.places.entry(op).or_default().take(&self.host.admissions, attempt.into())
    }

    pub(crate) fn release_places(&mut self, op: OpId) {
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
        let (attempt, limit) = (Arc::clone(attempt), attempt.queue_timeout);
        let Some(waits) = self.take_places(op, &attempt) else { return self.launch(op) };
        self.await_place(op, &attempt, waits);
        let tell = self.tell.clone();
        // The limit is for the whole wait, in the queue and at the gate.
        let task = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            let _ = tell.send(Told::NotAdmitted(op));
        });
        let task = Some(task.abort_handle());
        self.running.insert(op, Running { task, reports: None, _permit: None, is_proposed: false });
        Ok(())
    }

    fn await_place(&mut self, op: OpId, attempt: &Attempt, waits: WaitReason) {
        let tell = self.tell.clone();
        let admit = move |place| drop(tell.send(Told::Admitted(op, place)));
        self.places.entry(op).or_default().wait(&self.host.admissions, attempt.into(), waits, admit);
    }

    /// A place that an attempt waited for has come free, unless the attempt is no longer wanted.
    pub(crate) fn admitted(&mut self, op: OpId, place: Place) -> Result<(), Stop> {
        let waits_still = self.running.get(&op).is_some_and(Running::waits);
        let Some(Wait::Attempt { attempt, .. }) = self.waits.get(&op).filter(|_| waits_still) else {
            return Ok(());
        };
        let attempt = Arc::clone(attempt);
        self.places.entry(op).or_default().add(place);
        match self.take_places(op, &attempt) {
            None => self.launch(op),
            Some(waits) => {
                self.await_place(op, &attempt, waits);
                Ok(())
            }
        }
    }

    /// An attempt has waited too long for its places.
    pub(crate) fn not_admitted(&mut self, op: OpId) -> Result<(), Stop> {
        let waits_still = self.running.get(&op).is_some_and(Running::waits);
        let Some(Wait::Attempt { attempt, .. }) = self.waits.get(&op).filter(|_| waits_still) else {
            return Ok(());
        };
        let places = self.places.remove(&op).unwrap_or_default();
        let missing = places.missing((&**attempt).into());
        let message = format!("{missing} within {:?}", attempt.queue_timeout);
        self.propose(op, Some(Ended::Failed(Failure::new(Class::Timeout, message))), Vec::new())
    }

    fn launch(&mut self, op: OpId) -> Result<(), Stop> {
        let Some(Wait::Attempt { attempt, .. }) = self.waits.get(&op) else { return Ok(()) };
        let attempt = Arc::clone(attempt);
        let Some(step) = self.host.registry.step(&attempt.step).cloned() else { return Ok(()) };
        let Places { permit, pass, .. } = self.places.remove(&op).unwrap_or_default();
        let account = self.account(&attempt);
        if let Some(failure) = account.as_ref().and_then(|account| account.reached()) {
            return self.propose(op, Some(Ended::Failed(failure)), Vec::new());
        }
        let gate = pass.as_ref().map(|pass| Arc::clone(pass.gate()));
        let tell = self.tell.clone();
        // A run that is gone takes no reports, and needs none.
        let reports = Reports::new(gate, account, move || drop(tell.send(Told::Reported(op))));
        let cx = self.step_context(&attempt, &reports);
        if let Some(Open::Attempt { started: None, .. }) = self.mirror.fold.open.get(&op) {
            self.mirror.put_aside(EventKind::AttemptStarted { op }, now());
        }
        let limits = Limits::from(&*attempt);
        let mut body = Box::pin(make(step, cx, attempt.input.clone(), limits, Arc::clone(&reports)));
        let running = Running { task: None, reports: Some(reports), _permit: permit, is_proposed: false };
        self.running.insert(op, running);
        // An attempt that ends without waiting needs no task of its own.
        if let Some((result, charges)) = body.as_mut().now_or_never() {
            pass.into_iter().for_each(|pass| pass.ended(&result, &charges));
            return self.attempt_ended(op, result, charges);
        }
        let tell = self.tell.clone();
        let task = tokio::spawn(async move {
            let (result, charges) = body.await;
            pass.into_iter().for_each(|pass| pass.ended(&result, &charges));
            let _ = tell.send(Told::Ended(op, result, charges));
        });
        if let Some(running) = self.running.get_mut(&op) {
            running.task = Some(task.abort_handle());
        }
        Ok(())
    }

    /// What an attempt draws on; nothing if no budget concerns it.
    fn account(&mut self, attempt: &Attempt) -> Option<Arc<Account>> {
        let run = match &self.account {
            Some(run) => Arc::clone(run),
            None => {
                let execution = self.execution.as_ref();
                let own = OwnBudget {
                    budget: execution.and_then(|execution| execution.budget()),
                    cleared: execution.and_then(|execution| execution.cleared()),
                    spent: Amount::from(&self.mirror.fold.summary.spent),
                };
                let run = self.host.admissions.account(&self.info, own, attempt.budget.as_ref())?;
                Arc::clone(self.account.insert(run))
            }
        };
        Some(run.attempt(&attempt.step, attempt.budget, attempt.undoes.is_some()))
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
        if let Some(Report { progress, charges, replies, .. }) = report {
            self.mirror.put_aside(EventKind::Heartbeat { op, progress, charges }, now());
            self.mirror.tell_when_durable(replies);
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
