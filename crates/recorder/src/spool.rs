//! What was told and is not yet synced in the journal, in two files beside it that take turns.
//!
//! A record is written, not synced: it outlives the process and not the machine. When all that a file holds is in the
//! journal the file is emptied and its turn comes again. Nothing is lost if a record is in both places: it is known again
//! by run and number.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use midwatch_workflow::{Event, RunId};
use xxhash_rust::xxh3::xxh3_64;

/// From this size on the other file is used, as soon as it is empty.
const TURN_BYTES: u64 = 4 << 20;
/// Length, checksum, run, number of the first event.
const HEAD_BYTES: usize = 4 + 8 + 16 + 8;

/// How many records of each file are not in the journal yet.
pub(crate) type Held = [u32; 2];

pub(crate) struct Spool {
    /// `None` for a journal without a file.
    files: Option<Mutex<Files>>,
}

struct Files {
    files: [File; 2],
    sizes: [u64; 2],
    held: [u64; 2],
    turn: usize,
    buffer: Vec<u8>,
}

/// Events of one run, as they were told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) run: RunId,
    pub(crate) first: u64,
    pub(crate) events: Vec<Event>,
}

impl Spool {
    pub(crate) fn none() -> Self {
        Self { files: None }
    }

    /// Opens the spool of the journal at `journal` and reads what an earlier process left in it.
    pub(crate) fn open(journal: &Path) -> io::Result<(Self, Vec<Record>)> {
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
    pub(crate) fn clear(&self) -> io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let mut files = Self::lock(files);
        files.empty(0)?;
        files.empty(1)
    }

    /// Writes events, the comma-separated items of a JSON array.
    pub(crate) fn write(&self, run: RunId, first: u64, events: &str, held: &mut Held) -> io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let turn = Self::lock(files).write(run, first, events)?;
        held[turn] += 1;
        Ok(())
    }

    /// Records are in the journal.
    pub(crate) fn release(&self, held: Held) {
        let Some(files) = &self.files else { return };
        let mut files = Self::lock(files);
        for (left, done) in files.held.iter_mut().zip(held) {
            *left = left.saturating_sub(u64::from(done));
        }
    }
}

impl Files {
    fn write(&mut self, run: RunId, first: u64, events: &str) -> io::Result<usize> {
        let other = 1 - self.turn;
        if self.sizes[self.turn] >= TURN_BYTES && self.held[other] == 0 {
            self.empty(other)?;
            self.turn = other;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        encode(&mut buffer, run, first, events);
        let written = self.files[self.turn].write_all(&buffer);
        let bytes = buffer.len() as u64;
        self.buffer = buffer;
        written?;
        self.sizes[self.turn] += bytes;
        self.held[self.turn] += 1;
        Ok(self.turn)
    }

    fn empty(&mut self, which: usize) -> io::Result<()> {
        self.files[which].set_len(0)?;
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

fn encode(buffer: &mut Vec<u8>, run: RunId, first: u64, events: &str) {
    let length = u32::try_from(events.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&xxh3_64(events.as_bytes()).to_le_bytes());
    buffer.extend_from_slice(run.as_bytes());
    buffer.extend_from_slice(&first.to_le_bytes());
    buffer.extend_from_slice(events.as_bytes());
}

/// Reads records up to the end, or to the first that is not whole: the machine stopped while it was written.
fn read(mut bytes: &[u8], records: &mut Vec<Record>) {
    while let Some((record, rest)) = next(bytes) {
        records.push(record);
        bytes = rest;
    }
}

fn next(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let (length, head) = head.split_first_chunk::<4>()?;
    let (sum, head) = head.split_first_chunk::<8>()?;
    let (run, head) = head.split_first_chunk::<16>()?;
    let (first, _) = head.split_first_chunk::<8>()?;
    let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    if xxh3_64(body).to_le_bytes() != *sum {
        return None;
    }
    let events = serde_json::from_str(&format!("[{}]", std::str::from_utf8(body).ok()?)).ok()?;
    Some((Record { run: RunId::from_bytes(*run), first: u64::from_le_bytes(*first), events }, rest))
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
    fn a_file_is_emptied_only_when_all_of_it_is_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        let (spool, _) = Spool::open(&path).unwrap();
        let run = RunId::from_bytes([3; 16]);
        let large = format!("\"{}\"", "x".repeat(1 << 20));
        let mut held = [Held::default(); 2];
        let size = |which| std::fs::metadata(beside(&path, which)).unwrap().len();
        for _ in 0..6 {
            spool.write(run, 1, &large, &mut held[0]).unwrap();
        }
        assert_eq!(held[0], [4, 2], "the other file was free");
        for _ in 0..4 {
            spool.write(run, 1, &large, &mut held[1]).unwrap();
        }
        assert_eq!(
            (held[1], size(1) >> 20),
            ([0, 4], 6),
            "the first one holds what is not in the journal yet"
        );
        spool.release(held[0]);
        spool.write(run, 1, &large, &mut held[0]).unwrap();
        assert_eq!((size(0) >> 20, size(1) >> 20), (1, 6));
    }
}
