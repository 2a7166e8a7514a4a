//! What the thread of a follower does: read, send, wait, and say what is held back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use midwatch_journal::sqlite::SqliteJournal;
use tokio::sync::watch;

use super::follower::Report;
use super::read::{Batch, Reader};
use crate::cursor::Cursor;
use crate::encode::Piece;
use crate::send::{SendError, Sender};
use crate::settings::Otlp;

/// How long it waits when there is nothing new.
const POLL: Duration = Duration::from_millis(200);
/// So much longer than it reads it leaves the processor alone, however much there is to read: some ten thousand steps a second
/// are handed on all the same.
const IDLE_TO_WORK: u32 = 19;
/// The longest wait before a collector that is away is tried again.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait that a collector may ask for.
const ASKED_MAX: Duration = Duration::from_secs(300);
/// How often it says that a collector is still away.
const REMIND: Duration = Duration::from_secs(60);
/// How often the cursor is written while there is much to do.
const CURSOR_EVERY: Duration = Duration::from_secs(1);

/// What the thread of a follower does.
pub(super) struct Work {
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
    /// Begins where the cursor stands.
    pub(super) fn new(
        journal: Arc<SqliteJournal>,
        cursor: Cursor,
        sender: Sender,
        otlp: &Otlp,
        report: Box<dyn Fn(Report) + Send>,
        told: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let sent = cursor.position();
        let (reader, cursor_at) = (Reader::at(sent, otlp.takes_unsampled), Instant::now());
        let endpoint = otlp.shown();
        Self { journal, reader, sent, cursor, cursor_at, sender, endpoint, report, told }
    }

    pub(super) async fn run(mut self) {
        loop {
            let deadline = *self.told.borrow_and_update();
            let (before, begun) = (self.reader.position(), Instant::now());
            match self.reader.read(&*self.journal) {
                Ok(batch) if batch.position == before => {
                    self.move_cursor();
                    if deadline.is_some() {
                        return;
                    }
                    self.rest(POLL).await;
                }
                Ok(batch) => {
                    let worked = begun.elapsed();
                    if !self.pass_on(batch).await {
                        break;
                    }
                    // Runs go first: what there is to tell waits in the journal meanwhile.
                    if deadline.is_none() {
                        self.rest((worked * IDLE_TO_WORK).min(POLL)).await;
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
        for piece in self.sender.pieces(&batch.spans) {
            if !self.send(&piece).await {
                return false;
            }
        }
        self.sent = batch.position;
        if self.cursor_at.elapsed() >= CURSOR_EVERY {
            self.move_cursor();
        }
        true
    }

    /// Sends a piece, however long that takes; `false` only if it is told to stop meanwhile.
    async fn send(&mut self, piece: &Piece) -> bool {
        let (mut pause, mut away, mut said) = (BACKOFF, None, None::<Instant>);
        loop {
            let mut told = self.told.clone();
            let sent = tokio::select! {
                biased;
                sent = self.sender.send(piece) => sent,
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
                    let spans = (piece.len() as u64).saturating_sub(taken.left_out);
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
