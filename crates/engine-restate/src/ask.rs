//! What the workflow asks for becomes Restate's primitives: a `run`, a durable sleep, a call, a signal.

use std::collections::BTreeSet;
use std::sync::Arc;

use midwatch_journal::Open;
use midwatch_workflow::event::{Parent, WaitReason};
use midwatch_workflow::{
    Attempt, Charge, Child, EventKind, Execution, Message, Op, OpId, OpKind, RunStarted, Timestamp,
};
use restate_sdk_shared_core::{NonEmptyValue, PayloadOptions, Target, VM as _, Value};

use crate::run::{Driver, Stop, Wait};
use crate::take::attempt_done;
use crate::translate::{AttemptDone, Letter, MAILBOX, RunInput, encode, service_key};

impl Driver {
    /// Whether an attempt must wait, and for what; if not, its place in the queue is taken.
    pub(crate) fn wait_reason(&mut self, op: &Op) -> Option<WaitReason> {
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

    pub(crate) async fn perform(&mut self, op: Op, dropped: &BTreeSet<OpId>) -> Result<(), Stop> {
        match op.kind {
            OpKind::Attempt(attempt) if !dropped.contains(&op.id) => {
                self.await_deadline(Some(self.at + attempt.queue_timeout + attempt.timeout))?;
                let handle = self.session.vm.sys_run(attempt_name(&attempt))?.handle;
                let is_held = self.mirror.fold.is_paused;
                self.waits.insert(op.id, Wait::Attempt { handle, attempt: Arc::from(attempt), is_held });
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
        let message = Message::Cancel {
            reason: "its parent was cancelled".to_owned(),
            by: format!("parent {}", self.start.run),
        };
        let letter = encode(&Letter { message, at: self.at, id: 0 });
        let value = NonEmptyValue::Success(letter);
        Ok(self.session.vm.sys_complete_signal(id, MAILBOX.to_owned(), value)?)
    }

    /// Stops what is no longer wanted. Whether an attempt had begun, and what it spent, stands in Restate's history too.
    pub(crate) async fn abandon(&mut self, op: OpId, lost: Option<Vec<Charge>>) -> Result<(), Stop> {
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
