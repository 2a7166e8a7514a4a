//! What was told and is not yet synced in a journal, in two files beside it that take turns.
//!
//! A record is written, not synced: it outlives the process and not the machine. When all that a file holds is in the
//! journal its turn comes again, from its beginning: what was written last time is told by the number of the turn, and
//! written over, since a file that grows anew costs more than one that has its place. Nothing is lost if a record is in
//! both places: it is known again by run and number.

mod bring_up;
mod spooled;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use midwatch_workflow::{Event, RunId};
use xxhash_rust::xxh3::xxh3_64;

pub use bring_up::{Gap, bring_up};
pub use spooled::SpooledJournal;

/// From this size on the other file is used, as soon as it is empty.
const TURN_BYTES: u64 = 4 << 20;
/// A file that grew beyond this while the journal was away gives its place back.
const KEPT_BYTES: u64 = 2 * TURN_BYTES;
/// Length of the events, checksum of all that follows it, turn, run, number of the first event.
const HEAD_BYTES: usize = 4 + 8 + 8 + 16 + 8;
/// Where that begins which the checksum is of.
const SUMMED_FROM: usize = 4 + 8;

/// How many records of each file are not in the journal yet.
pub type Held = [u32; 2];

/// The two files.
pub struct Spool {
    /// `None` for a journal without a file.
    files: Option<Mutex<Files>>,
}

struct Files {
    files: [File; 2],
    sizes: [u64; 2],
    held: [u64; 2],
    /// Which file's turn it is: the number's lowest bit.
    turn: u64,
    buffer: Vec<u8>,
}

/// Events of one run, as they were told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The run.
    pub run: RunId,
    /// The number of the first of them.
    pub first: u64,
    /// The events.
    pub events: Vec<Event>,
}

impl Spool {
    /// One that keeps nothing, for a journal without a file.
    pub fn none() -> Self {
        Self { files: None }
    }

    /// Opens the spool of the journal at `journal` and reads what an earlier process left in it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(journal: &Path) -> io::Result<(Self, Vec<Record>)> {
        let open = |name| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(name);
        let mut files = [open(beside(journal, 0))?, open(beside(journal, 1))?];
        let mut records = Vec::new();
        for file in &mut files {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            read(&bytes, &mut records);
        }
        let files = Files { files, sizes: [0; 2], held: [0; 2], turn: 0, buffer: Vec::new() };
        Ok((Self { files: Some(Mutex::new(files)) }, records))
    }

    fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
        files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew, once everything that was left is in the journal.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn clear(&self) -> io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let mut files = Self::lock(files);
        files.begin(0, 0)?;
        files.begin(1, 0)
    }

    /// Writes events, the comma-separated items of a JSON array; they outlive the process when this returns. What holds the
    /// file for them is added to `held`, to be [released](Self::release) when they are in the journal.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, run: RunId, first: u64, events: &str, held: &mut Held) -> io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let turn = Self::lock(files).write(run, first, events)?;
        held[turn] += 1;
        Ok(())
    }

    /// Records are in the journal.
    pub fn release(&self, held: Held) {
        let Some(files) = &self.files else { return };
        let mut files = Self::lock(files);
        for (left, done) in files.held.iter_mut().zip(held) {
            *left = left.saturating_sub(u64::from(done));
        }
    }
}

impl Files {
    fn write(&mut self, run: RunId, first: u64, events: &str) -> io::Result<usize> {
        let this = usize::from(self.turn & 1 == 1);
        let other = 1 - this;
        let which = if self.sizes[this] >= TURN_BYTES && self.held[other] == 0 {
            self.begin(other, KEPT_BYTES)?;
            self.turn += 1;
            other
        } else {
            this
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        encode(&mut buffer, self.turn, run, first, events);
        let written = self.files[which].write_all(&buffer);
        if written.is_err() {
            // What was written of it is written over: nothing behind a torn record would be read again.
            self.files[which].seek(SeekFrom::Start(self.sizes[which]))?;
        }
        let bytes = buffer.len() as u64;
        self.buffer = buffer;
        written?;
        self.sizes[which] += bytes;
        self.held[which] += 1;
        Ok(which)
    }

    /// Begins a file anew, which keeps its place on the disk up to so many bytes.
    fn begin(&mut self, which: usize, kept: u64) -> io::Result<()> {
        if self.sizes[which] > kept || kept == 0 {
            self.files[which].set_len(0)?;
        }
        self.files[which].rewind()?;
        self.sizes[which] = 0;
        Ok(())
    }
}

fn beside(journal: &Path, which: usize) -> PathBuf {
    let mut path = journal.to_owned();
    path.as_mut_os_string().push(format!(".spool{which}"));
    path
}

fn encode(buffer: &mut Vec<u8>, turn: u64, run: RunId, first: u64, events: &str) {
    buffer.clear();
    let length = u32::try_from(events.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&turn.to_le_bytes());
    buffer.extend_from_slice(run.as_bytes());
    buffer.extend_from_slice(&first.to_le_bytes());
    buffer.extend_from_slice(events.as_bytes());
    let sum = xxh3_64(&buffer[SUMMED_FROM..]);
    buffer[4..SUMMED_FROM].copy_from_slice(&sum.to_le_bytes());
}

/// Reads the records of one turn: up to the end, to what an earlier turn left, or to the first that is not whole, since the
/// machine stopped while it was written.
fn read(mut bytes: &[u8], records: &mut Vec<Record>) {
    let mut turn = None;
    while let Some((of, record, rest)) = next(bytes)
        && *turn.get_or_insert(of) == of
    {
        records.push(record);
        bytes = rest;
    }
}

fn next(bytes: &[u8]) -> Option<(u64, Record, &[u8])> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
    let (length, head) = head.split_first_chunk::<4>()?;
    let (sum, head) = head.split_first_chunk::<8>()?;
    let (turn, head) = head.split_first_chunk::<8>()?;
    let (run, head) = head.split_first_chunk::<16>()?;
    let (first, _) = head.split_first_chunk::<8>()?;
    let (body, rest) = body.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let summed = bytes.get(SUMMED_FROM..HEAD_BYTES + body.len())?;
    if xxh3_64(summed).to_le_bytes() != *sum {
        return None;
    }
    let events = serde_json::from_str(&format!("[{}]", std::str::from_utf8(body).ok()?)).ok()?;
    let record = Record { run: RunId::from_bytes(*run), first: u64::from_le_bytes(*first), events };
    Some((u64::from_le_bytes(*turn), record, rest))
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::{EventKind, OpId, Timestamp};

    use super::*;

    fn event(op: u32) -> Event {
        Event { at: Timestamp::from_micros(7), kind: EventKind::AttemptStarted { op: OpId(op) } }
    }

    fn text(op: u32) -> String {
        serde_json::to_string(&event(op)).unwrap()
    }

    #[test]
    fn what_was_written_is_read_back_up_to_the_first_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        let run = RunId::from_bytes([3; 16]);
        let (spool, left) = Spool::open(&path).unwrap();
        assert!(left.is_empty());
        let mut held = Held::default();
        spool.write(run, 1, &format!("{},{}", text(1), text(2)), &mut held).unwrap();
        spool.write(run, 3, &text(3), &mut held).unwrap();
        drop(spool);
        let (_, left) = Spool::open(&path).unwrap();
        let whole = [
            Record { run, first: 1, events: vec![event(1), event(2)] },
            Record { run, first: 3, events: vec![event(3)] },
        ];
        assert_eq!(left, whole);
        let bytes = std::fs::read(beside(&path, 0)).unwrap();
        for cut in 0..bytes.len() {
            let mut records = Vec::new();
            read(&bytes[..cut], &mut records);
            assert!(whole.starts_with(&records) && records.len() < 2, "cut at {cut}");
        }
    }

    #[test]
    fn a_file_begins_anew_only_when_all_of_it_is_in_the_journal_and_what_it_had_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        let (spool, _) = Spool::open(&path).unwrap();
        let run = RunId::from_bytes([3; 16]);
        let key = "x".repeat(1 << 20);
        let large = Event { at: Timestamp::from_micros(7), kind: EventKind::Recovered { worker: key } };
        let large = serde_json::to_string(&large).unwrap();
        let mut held = [Held::default(); 2];
        let left = |which| {
            let mut records = Vec::new();
            read(&std::fs::read(beside(&path, which)).unwrap(), &mut records);
            records.iter().map(|record| record.first).collect::<Vec<_>>()
        };
        for first in 1..=6 {
            spool.write(run, first, &large, &mut held[0]).unwrap();
        }
        assert_eq!((held[0], left(0), left(1)), ([4, 2], vec![1, 2, 3, 4], vec![5, 6]), "the other was free");
        for first in 7..=10 {
            spool.write(run, first, &large, &mut held[1]).unwrap();
        }
        assert_eq!(held[1], [0, 4], "the first one holds what is not in the journal yet");
        assert_eq!(left(1), [5, 6, 7, 8, 9, 10]);
        spool.release(held[0]);
        spool.write(run, 11, &large, &mut held[0]).unwrap();
        assert_eq!(left(0), [11], "what follows is of an earlier turn");
        let size = |which| std::fs::metadata(beside(&path, which)).unwrap().len();
        assert!(size(0) >> 20 >= 4, "it keeps its place");
        spool.clear().unwrap();
        assert_eq!((size(0), size(1)), (0, 0));
    }
}
