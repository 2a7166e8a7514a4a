//! A run that the engine has parked: it holds still until somebody mends the reason, and loses nothing meanwhile.

use midwatch_workflow::{EventKind, ParkReason};

use crate::host::Nudge;
use crate::run::{Driver, Stop};
use crate::translate::now;

impl Driver {
    /// Parks the run, unless the journal has it parked for the same reason already.
    pub(crate) fn park(&mut self, reason: ParkReason, message: String) {
        self.halted = Some(reason);
        self.presence.set_parked(true);
        if self.mirror.halted() != Some(reason) {
            self.mirror.put_aside(EventKind::Parked { op: None, step: None, reason, message }, now());
        }
    }

    /// Takes in a nudge; says whether it is that the reason is gone for which the run was parked.
    pub(crate) fn nudged(&mut self, nudge: Nudge) -> bool {
        let Nudge::Retry(by) = nudge else { return false };
        if self.mirror.halted().is_some() {
            self.mirror.put_aside(EventKind::Unparked { by }, now());
        }
        true
    }

    /// Holds a parked run until it is nudged, the process stops, or the server takes it away; attempts under way end.
    pub(crate) async fn hold(&mut self) -> Result<(), Stop> {
        self.mirror.write()?;
        loop {
            if self.host.is_stopping() {
                return Ok(());
            }
            self.session.flush();
            tokio::select! {
                biased;
                nudge = self.presence.nudges.recv() => {
                    if nudge.is_none_or(|nudge| self.nudged(nudge)) {
                        break;
                    }
                }
                told = self.told.recv() => {
                    if let Some(told) = told {
                        self.hear(told)?;
                    }
                }
                () = self.session.read() => {
                    if self.session.is_closed() {
                        return Ok(());
                    }
                }
            }
            self.mirror.write()?;
        }
        self.drain().await
    }

    /// Lets attempts under way end, so that they are not lost when the run is taken up again.
    async fn drain(&mut self) -> Result<(), Stop> {
        self.mirror.settle().await?;
        while self.is_working() && !self.session.is_closed() {
            tokio::select! {
                told = self.told.recv() => {
                    if let Some(told) = told {
                        self.hear(told)?;
                    }
                }
                () = self.session.read() => {}
            }
            self.session.flush();
        }
        self.mirror.settle().await?;
        Ok(())
    }
}
