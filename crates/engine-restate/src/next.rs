//! What comes next: a notification of the history, or meanwhile what attempts here have to tell.

use midwatch_workflow::OpId;
use restate_sdk_shared_core::{AwaitResponse, NotificationHandle, UnresolvedFuture, VM as _, Value};
use tokio::time::Instant;

use crate::run::{Driver, Stop, Wait};
use crate::session::Broken;
use crate::work::Told;

/// What has come of something that was waited for.
pub(crate) enum Source {
    Mailbox,
    Deadline,
    Op(OpId),
}

/// What the driver goes on with.
pub(crate) enum Next {
    Notified(Source, Value),
    Cancelled,
}

impl Driver {
    /// Waits for the next notification of the history; meanwhile attempts are made and reported.
    pub(crate) async fn next(&mut self) -> Result<Next, Stop> {
        self.since = Instant::now();
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
        let mut awaited = Vec::with_capacity(self.waits.len() + 2);
        awaited.push((self.mailbox, Source::Mailbox));
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
        let leave = is_resting.then(|| self.since + self.host.options.linger);
        let wake = [leave, self.mirror.summary_due()].into_iter().flatten().min();
        if let Some(wake) = wake
            && (self.alarm.is_elapsed() || wake < self.alarm.deadline())
        {
            self.alarm.as_mut().reset(wake);
        }
        tokio::select! {
            biased;
            told = self.told.recv() => {
                if let Some(told) = told {
                    self.hear(told)?;
                }
            }
            nudge = self.presence.nudges.recv() => {
                if nudge.is_some_and(|nudge| self.nudged(nudge)) {
                    return Err(Broken::Failed("taken up again".to_owned()).into());
                }
            }
            () = self.session.read(), if is_open => {}
            // It may ring before anything is due: the next wait sets it anew.
            () = self.alarm.as_mut(), if wake.is_some() => {
                if leave.is_some_and(|leave| leave <= Instant::now()) {
                    self.session.close();
                } else {
                    self.mirror.flush_summary();
                }
            }
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
}
