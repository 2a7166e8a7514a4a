//! Doing what was asked for, once it is durable: attempts above all.

use std::sync::Arc;

use futures_util::FutureExt as _;
use midwatch_engine_attempt::{Limits, Permit, Places, Reports, make};
use midwatch_journal::Open;
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Attempt, AttemptInfo, Charge, Class, Ended, EventKind, Failure, Op, OpId, OpKind, ParkReason, Payload,
    StepContext,
};
use tokio::task::AbortHandle;

use super::due::Due;
use super::{Driver, Input};

pub(super) struct Running {
    task: AbortHandle,
    pub(super) reports: Arc<Reports>,
    _permit: Option<Permit>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A run that is gone from here, however it went, has no attempt under way here.
        self.task.abort();
    }
}

impl Driver {
    pub(super) fn perform(&mut self, op: Op, waits: Option<WaitReason>, is_alone: bool) {
        let id = op.id;
        match op.kind {
            OpKind::Attempt(attempt) => match waits {
                None => self.start_attempt(id, *attempt, is_alone),
                Some(waits @ (WaitReason::Queue | WaitReason::Gate)) => self.enqueue(id, *attempt, waits),
                Some(WaitReason::Code) => {
                    let message =
                        format!("no step `{}` is registered: start a process that has it", attempt.step);
                    self.held.insert(id, *attempt);
                    self.halt(ParkReason::NoCode, message);
                }
                Some(_) => drop(self.held.insert(id, *attempt)),
            },
            OpKind::Timer { until, .. } => drop(self.dues.insert((until, Due::Timer(id)))),
            OpKind::Child(child) => self.engine.start_child(&self.info, id, *child),
            OpKind::CancelChild => {
                if let Some(Open::Child { run, .. }) = self.fold.open.get(&id)
                    && !self.looked_up.contains_key(&id)
                {
                    self.engine.cancel_child(*run, self.run);
                }
            }
            OpKind::Abandon | OpKind::Signal { .. } | OpKind::Park { .. } | OpKind::Note(_) => {}
        }
    }

    pub(super) fn start_attempt(&mut self, op: OpId, attempt: Attempt, is_alone: bool) {
        let Some(step) = self.engine.registry.step(&attempt.step).cloned() else { return };
        let Places { permit, pass, .. } = self.places.remove(&op).unwrap_or_default();
        let account = self.account(&attempt);
        if let Some(failure) = account.as_ref().and_then(|account| account.reached()) {
            let result = Ended::Failed(failure);
            return self.record(EventKind::AttemptEnded { op, result, charges: Vec::new() });
        }
        let gate = pass.as_ref().map(|pass| Arc::clone(pass.gate()));
        let sender = self.sender.clone();
        // A run that is gone takes no reports, and needs none.
        let reports = Reports::new(gate, account, move || drop(sender.send(Input::Reported(op))));
        let cx = self.step_context(&attempt, &reports);
        let limits = Limits::from(&attempt);
        let mut body = Box::pin(make(step, cx, attempt.input, limits, Arc::clone(&reports)));
        // A lone attempt that ends without waiting needs no task of its own.
        if is_alone && let Some((result, charges)) = body.as_mut().now_or_never() {
            pass.into_iter().for_each(|pass| pass.ended(&result, &charges));
            drop(permit);
            return self.end_attempt(op, result, charges, &reports);
        }
        let sender = self.sender.clone();
        let task = tokio::spawn(async move {
            let (result, charges) = body.await;
            pass.into_iter().for_each(|pass| pass.ended(&result, &charges));
            let _ = sender.send(Input::Ended { op, result, charges });
        });
        self.running.insert(op, Running { task: task.abort_handle(), reports, _permit: permit });
    }

    /// Records an attempt's end. One that failed leaves its last word of progress to the next one.
    pub(super) fn end_attempt(
        &mut self,
        op: OpId,
        result: Result<Payload, Failure>,
        charges: Vec<Charge>,
        reports: &Reports,
    ) {
        if let Some(progress) = reports.unsaid().filter(|_| result.is_err()) {
            self.record(EventKind::Heartbeat { op, progress, charges: charges.clone() });
        }
        self.record(EventKind::AttemptEnded { op, result: result.into(), charges });
    }

    pub(super) fn step_context(&self, attempt: &Attempt, reports: &Arc<Reports>) -> StepContext {
        let progress = match self.fold.progress.is_empty() {
            true => None,
            false => self.fold.progress.get(&(attempt.step.to_string(), attempt.nth)).cloned(),
        };
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

    /// Drops what is no longer wanted. An attempt may have had its effect; what it spent is booked.
    pub(super) fn abandon(&mut self, op: OpId) {
        self.dues.retain(|(_, due)| !matches!(due, Due::Timer(id) | Due::Queue(id) if *id == op));
        self.held.remove(&op);
        self.places.remove(&op);
        // What was asked for and dropped within one poll, or one append, is never begun.
        self.ops.retain(|(asked, _)| asked.id != op || asked.kind == OpKind::CancelChild);
        if let Some(running) = self.running.remove(&op) {
            let charges = running.reports.close();
            let failure = Failure::new(Class::Cancelled, "no longer wanted").ambiguous();
            self.record(EventKind::AttemptEnded { op, result: Ended::Failed(failure), charges });
        }
    }
}
