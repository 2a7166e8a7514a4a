//! Taking in what Restate's history says.

use midwatch_workflow::{Class, Ended, EventKind, Failure, OpId, Timestamp};
use restate_sdk_shared_core::{VM as _, Value};

use crate::next::Source;
use crate::run::{Driver, Stop, Wait};
use crate::session::Broken;
use crate::translate::{AttemptDone, Letter, MAILBOX, completed, failed};

impl Driver {
    /// Takes in what has come of something that was waited for.
    pub(crate) async fn take(&mut self, source: Source, value: Value) -> Result<(), Stop> {
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
    pub(crate) async fn cancelled_by_restate(&mut self) -> Result<(), Stop> {
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
}

pub(crate) fn attempt_done(value: Value) -> Result<AttemptDone, Stop> {
    let Value::Success(done) = value else {
        return Err(Broken::Failed(format!("an attempt that ends as {value:?}")).into());
    };
    serde_json::from_slice(&done).map_err(|error| Broken::Failed(error.to_string()).into())
}
