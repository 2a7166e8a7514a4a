//! The follower that hands traces on, as long as the engine is open.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use midwatch_otlp::{Begin, Cursor, Follower, Otlp, Report, Start, StartError};

use crate::file::JournalFile;

/// How long an engine that shuts down waits for the collector to take what it has not taken yet; the next one goes on
/// from there.
const FAREWELL: Duration = Duration::from_secs(5);

/// A follower, if there is one and it was not stopped.
pub(crate) struct Traces(Mutex<Option<Follower>>);

impl Traces {
    pub(crate) async fn start(
        otlp: Option<Otlp>,
        path: &Path,
        file: &JournalFile,
    ) -> Result<Self, StartError> {
        let Some(otlp) = otlp else { return Ok(Self(Mutex::new(None))) };
        let start = Start {
            journal: Arc::clone(&file.journal),
            cursor: Cursor::beside(path),
            otlp,
            begin: Begin::Now,
            report: Box::new(Report::log),
        };
        let started = tokio::task::spawn_blocking(move || Follower::start(start)).await;
        let follower = started.unwrap_or(Err(StartError::Stopped))?;
        Ok(Self(Mutex::new(Some(follower))))
    }

    /// Hands on what there is, for a moment.
    pub(crate) async fn stop(&self) {
        let follower = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(follower) = follower {
            // Joining a thread blocks.
            let _ = tokio::task::spawn_blocking(move || follower.stop(FAREWELL)).await;
        }
    }
}
