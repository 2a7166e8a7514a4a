//! The thread that follows a journal: reads, sends, waits, and says what it holds back.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use midwatch_journal::Error;
use midwatch_journal::sqlite::SqliteJournal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use tokio::sync::watch;

use super::read::{Batch, Reader};
use crate::cursor::{Cursor, CursorError};
use crate::encode::spans_of;
use crate::send::{SendError, Sender};
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

/// How long it waits when there is nothing new.
const POLL: Duration = Duration::from_millis(200);
/// The longest wait before a collector that is away is tried again.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait that a collector may ask for.
const ASKED_MAX: Duration = Duration::from_secs(300);
/// How often it says that a collector is still away.
const REMIND: Duration = Duration::from_secs(60);
/// How often the cursor is written while there is much to do.
const CURSOR_EVERY: Duration = Duration::from_secs(1);

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
        let work = Work {
            reader: Reader::at(cursor.position()),
            sent: cursor.position(),
            journal: start.journal,
            cursor,
            cursor_at: Instant::now(),
            sender,
            endpoint: start.otlp.shown(),
            report: start.report,
            told,
        };
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

struct Work {
    journal: Arc<SqliteJournal>,
    reader: Reader,
    /// Up to here the collector has taken everything.
    sent: u64,
    cursor: Cursor,
    cursor_at: Instant,
    sender: Sender,
    endpoint: String,
    report: Box<dyn Fn(Report) + Send>,
    /// Until when it may go on; `None` for as long as it likes.
    told: watch::Receiver<Option<Instant>>,
}

impl Work {
    async fn run(mut self) {
        loop {
            let deadline = *self.told.borrow_and_update();
            let before = self.reader.position();
            match self.reader.read(&*self.journal) {
                Ok(batch) if batch.position == before => {
                    self.move_cursor();
                    if deadline.is_some() {
                        return;
                    }
                    self.rest(POLL).await;
                }
                Ok(batch) => {
                    if !self.pass_on(batch).await {
                        break;
                    }
                }
                Err(error) => {
                    (self.report)(Report::Stuck { why: error.to_string() });
                    if deadline.is_some() {
                        break;
                    }
                    self.rest(BACKOFF_MAX).await;
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        self.move_cursor();
    }

    /// Sends a batch; gives whether that was done.
    async fn pass_on(&mut self, batch: Batch) -> bool {
        for why in batch.unreadable {
            (self.report)(Report::Unreadable { why });
        }
        for request in self.sender.requests(batch.spans) {
            if !self.send(&request).await {
                return false;
            }
        }
        self.sent = batch.position;
        if self.cursor_at.elapsed() >= CURSOR_EVERY {
            self.move_cursor();
        }
        true
    }

    /// Sends a request, however long that takes; `false` only if it is told to stop meanwhile.
    async fn send(&mut self, request: &Request) -> bool {
        let (mut pause, mut away, mut said) = (BACKOFF, None, None::<Instant>);
        loop {
            let mut told = self.told.clone();
            let sent = tokio::select! {
                biased;
                sent = self.sender.send(request) => sent,
                () = time_is_up(&mut told) => return false,
            };
            let (why, asked) = match sent {
                Ok(taken) => {
                    if let Some(since) = away.map(|since: Instant| since.elapsed()) {
                        (self.report)(Report::Back { after: since });
                    }
                    if taken.left_out > 0 {
                        (self.report)(Report::Refused { spans: taken.left_out, why: taken.why });
                    }
                    let spans = (spans_of(request).len() as u64).saturating_sub(taken.left_out);
                    (self.report)(Report::Sent { spans });
                    return true;
                }
                Err(SendError::Away { why, wait }) => (why, wait.unwrap_or_default()),
                Err(SendError::Refused { why }) => (why, Duration::ZERO),
            };
            let since = *away.get_or_insert_with(Instant::now);
            if said.is_none_or(|said| said.elapsed() >= REMIND) {
                said = Some(Instant::now());
                let rows = self.journal.position().unwrap_or(self.sent).saturating_sub(self.sent);
                let endpoint = self.endpoint.clone();
                (self.report)(Report::Away { endpoint, why, since: since.elapsed(), rows });
            }
            if self.told.borrow().is_some() {
                return false;
            }
            self.rest(pause.max(asked.min(ASKED_MAX))).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    fn move_cursor(&mut self) {
        self.cursor_at = Instant::now();
        if self.sent == self.cursor.position() {
            return;
        }
        // What is sent twice because of this is the same twice.
        if let Err(error) = self.cursor.move_to(self.sent) {
            (self.report)(Report::Stuck { why: error.to_string() });
        }
    }

    /// Waits, unless it is told to stop.
    async fn rest(&mut self, time: Duration) {
        let mut told = self.told.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = told.changed() => {}
        }
    }
}

/// Waits for the moment at which it was told to have stopped.
async fn time_is_up(told: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let deadline = *told.borrow_and_update();
        match deadline {
            Some(deadline) => return tokio::time::sleep_until(deadline.into()).await,
            // Nobody is left to tell it anything.
            None if told.changed().await.is_err() => return,
            None => {}
        }
    }
}
