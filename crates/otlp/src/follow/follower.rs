//! The follower as its users see it: what it is started with, what it reports, and how it is stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use midwatch_journal::Error;
use midwatch_journal::sqlite::SqliteJournal;
use tokio::sync::watch;

use super::work::Work;
use crate::cursor::{Cursor, CursorError};
use crate::send::Sender;
use crate::settings::{Otlp, SettingsError};

/// Hands on the spans of a journal as they become final, in a thread of its own at low priority, until it is stopped.
///
/// Dropped without [`Follower::stop`], it ends at once; the next one goes on from the cursor.
#[derive(Debug)]
pub struct Follower {
    tell: watch::Sender<Option<Instant>>,
    thread: Option<JoinHandle<()>>,
}

/// What a follower follows.
pub struct Start {
    /// The journal.
    pub journal: Arc<SqliteJournal>,
    /// The file of the cursor; see [`Cursor::beside`].
    pub cursor: PathBuf,
    /// The collector.
    pub otlp: Otlp,
    /// Where it begins if there is no cursor yet.
    pub begin: Begin,
    /// Who is told how it goes; see [`Report::log`].
    pub report: Box<dyn Fn(Report) + Send>,
}

/// Where a follower begins that never followed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Begin {
    /// With what happens from now on: a backend is not flooded with the past.
    #[default]
    Now,
    /// With the first run in the journal.
    First,
}

/// How it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// The collector took so many spans.
    Sent {
        /// How many.
        spans: u64,
    },
    /// The collector does not take spans; they stay in the journal. Said at once, and then every minute.
    Away {
        /// The collector.
        endpoint: String,
        /// What it or the network said.
        why: String,
        /// For how long.
        since: Duration,
        /// So many rows of the journal wait.
        rows: u64,
    },
    /// It takes them again.
    Back {
        /// After so long.
        after: Duration,
    },
    /// It will never take so many of the spans.
    Refused {
        /// How many.
        spans: u64,
        /// What it said.
        why: String,
    },
    /// Something in the journal cannot be read; the rest goes on.
    Unreadable {
        /// What.
        why: String,
    },
    /// The journal or the cursor cannot be read or written at the moment.
    Stuck {
        /// Why.
        why: String,
    },
}

impl Report {
    /// Says it to the process' log.
    pub fn log(self) {
        match self {
            Report::Sent { spans } => tracing::trace!(spans, "spans handed on"),
            Report::Away { endpoint, why, since, rows } => {
                let since = since.as_secs();
                tracing::warn!(
                    endpoint,
                    why,
                    since,
                    rows,
                    "collector takes no spans: held back in the journal"
                );
            }
            Report::Back { after } => tracing::info!(after = after.as_secs(), "collector takes spans again"),
            Report::Refused { spans, why } => tracing::error!(spans, why, "collector refused spans for good"),
            Report::Unreadable { why } => tracing::error!(why, "left out of traces"),
            Report::Stuck { why } => tracing::warn!(why, "traces cannot be followed at the moment"),
        }
    }
}

/// Why a follower cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The collector's settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The cursor.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] Error),
    /// The runtime is stopping.
    #[error("the process is stopping")]
    Stopped,
    /// No thread can be had.
    #[error("no thread for following: {0}")]
    Thread(#[source] std::io::Error),
}

impl Follower {
    /// Begins. Reads the journal, so call it off an async runtime's threads.
    ///
    /// # Errors
    /// [`StartError`]. A collector that is away is none.
    pub fn start(start: Start) -> Result<Self, StartError> {
        let mut cursor = Cursor::take(start.cursor)?;
        if cursor.is_new() {
            let position = match start.begin {
                Begin::Now => start.journal.position()?,
                Begin::First => 0,
            };
            cursor.move_to(position)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Thread)?;
        let sender = runtime.block_on(async { Sender::new(&start.otlp) })?;
        let (tell, told) = watch::channel(None);
        let work = Work::new(start.journal, cursor, sender, &start.otlp, start.report, told);
        let thread = std::thread::Builder::new().name("midwatch-traces".to_owned());
        let thread = thread.spawn(move || {
            give_way();
            runtime.block_on(work.run());
        });
        Ok(Self { tell, thread: Some(thread.map_err(StartError::Thread)?) })
    }

    /// Hands on what is in the journal by now, for at most so long, and ends. Blocks.
    pub fn stop(mut self, limit: Duration) {
        self.end(Instant::now() + limit);
    }

    fn end(&mut self, deadline: Instant) {
        if let Some(thread) = self.thread.take() {
            self.tell.send_replace(Some(deadline));
            // One that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It waits for nothing any more, so this takes a moment; then the cursor is free for the next one.
        self.end(Instant::now());
    }
}

/// Lets the work go first when there is more to do than the machine can.
fn give_way() {
    // There it is the priority of this thread; elsewhere it would be that of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(10);
}
