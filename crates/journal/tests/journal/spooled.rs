//! A journal behind a spool: what is on record before the journal has it, and what waits.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use midwatch_journal::spool::SpooledJournal;
use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Appended, Done, Error, Fold, Journal, Letter, Row, RunQuery, RunSummary};
use midwatch_workflow::{Event, EventKind, Message, OpId, Payload, RunId, RunResult, Timestamp};

use crate::build::{append, at, event, run, scheduled, start, started};

/// A journal that holds back what it is to write, until it is let go.
struct Slow {
    journal: SqliteJournal,
    held: Mutex<Option<Vec<(Append, Done)>>>,
}

impl Slow {
    fn open(path: &Path) -> Arc<Self> {
        let journal = SqliteJournal::open(path, Options::default()).unwrap();
        Arc::new(Self { journal, held: Mutex::new(Some(Vec::new())) })
    }

    fn let_go(&self) {
        for (append, done) in self.held.lock().unwrap().take().unwrap_or_default() {
            self.journal.append(append, done);
        }
    }
}

impl Journal for Slow {
    fn append(&self, append: Append, done: Done) {
        match &mut *self.held.lock().unwrap() {
            Some(held) => held.push((append, done)),
            None => self.journal.append(append, done),
        }
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        self.journal.events(run, after)
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        self.journal.run(run)
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        self.journal.runs(query)
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        self.journal.since(after, limit)
    }

    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error> {
        self.journal.post(run, message, at)
    }

    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error> {
        self.journal.letters(answered, limit)
    }
}

fn ask(journal: &dyn Journal, append: Append) -> Receiver<Result<Appended, Error>> {
    let (done, answer) = channel();
    journal.append(append, Box::new(move |result| drop(done.send(result))));
    answer
}

/// The end of a run that did nothing but what `before` says.
fn end(run: RunId, before: &[Event]) -> Append {
    let result = RunResult::Completed(Payload::null());
    let ended = event(9, EventKind::RunEnded { result });
    let all: Vec<Event> = before.iter().cloned().chain([ended.clone()]).collect();
    let summary = Fold::of(&all).map(|fold| Box::new(fold.summary));
    Append::new(run, all.len() as u64, &[ended], summary).unwrap()
}

fn story(run: RunId) -> Vec<Event> {
    vec![
        event(0, EventKind::RunStarted(Box::new(started(run, "order-7")))),
        event(1, scheduled(1)),
        event(2, EventKind::AttemptStarted { op: OpId(1) }),
    ]
}

#[test]
fn what_was_answered_outlives_a_process_whose_journal_never_got_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (run, slow) = (run(1), Slow::open(&path));
    let spooled = SpooledJournal::over(Arc::clone(&slow) as _, &path).unwrap();
    let told = story(run);
    let begun = ask(&spooled, start(started(run, "order-7"), 0));
    assert!(begun.try_recv().is_err(), "a start is answered when it is synced");
    for (number, told) in (2..).zip(&told[1..]) {
        let answer = ask(&spooled, append(run, number, std::slice::from_ref(told)));
        assert!(matches!(answer.try_recv(), Ok(Ok(Appended::Written))), "{number}");
    }
    let ended = ask(&spooled, end(run, &told));
    assert!(matches!(ended.try_recv(), Ok(Ok(Appended::Written))));
    // As it is when the process is killed: nothing of it was written.
    assert_eq!(slow.journal.events(run, 0).unwrap(), []);
    slow.journal.close().unwrap();

    let next = Arc::new(SqliteJournal::open(&path, Options::default()).unwrap());
    let spooled = SpooledJournal::over(Arc::clone(&next) as _, &path).unwrap();
    let found = spooled.events(run, 0).unwrap();
    assert_eq!((&found[..3], found.len()), (&told[..], 4));
    assert_eq!(spooled.run(run).unwrap(), Fold::of(&found).map(|fold| fold.summary));
    drop(spooled);
    let again = SpooledJournal::over(next, &path).unwrap();
    assert_eq!(again.events(run, 0).unwrap(), found, "nothing comes twice");
}

#[test]
fn whoever_reads_sees_what_was_appended_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (run, slow) = (run(1), Slow::open(&path));
    let spooled = Arc::new(SpooledJournal::over(Arc::clone(&slow) as _, &path).unwrap());
    ask(&*spooled, start(started(run, "order-7"), 0));
    ask(&*spooled, append(run, 2, &story(run)[1..]));
    let (reader, (told, read)) = (Arc::clone(&spooled), channel());
    let reading = std::thread::spawn(move || told.send(reader.events(run, 0)).unwrap());
    assert!(read.try_recv().is_err());
    slow.let_go();
    assert_eq!(read.recv().unwrap().unwrap(), story(run));
    reading.join().unwrap();
}

#[test]
fn a_run_whose_events_the_journal_refuses_gets_no_further_until_it_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path, Options::default()).unwrap());
    let spooled = SpooledJournal::over(Arc::clone(&journal) as _, &path).unwrap();
    let (run, other) = (run(1), crate::build::run(2));
    for run in [run, other] {
        let begun = ask(&spooled, start(started(run, &format!("order-{run}")), 0));
        assert!(matches!(begun.recv().unwrap(), Ok(Appended::Written)));
    }
    // Somebody else has written the same number meanwhile.
    ask(&*journal, append(run, 2, &[event(5, scheduled(7))])).recv().unwrap().unwrap();
    ask(&spooled, append(run, 2, &[event(1, scheduled(1))]));
    let _ = spooled.runs(&RunQuery::default());
    let refused = ask(&spooled, append(run, 3, &[event(2, EventKind::AttemptStarted { op: OpId(1) })]));
    assert!(matches!(refused.recv().unwrap(), Err(Error::Conflict { .. })));
    let apart = ask(&spooled, append(other, 2, &[event(1, scheduled(1))]));
    assert!(matches!(apart.recv().unwrap(), Ok(Appended::Written)), "others are not concerned");
    assert_eq!(spooled.events(run, 1).unwrap(), [event(5, scheduled(7))]);
    let begun = EventKind::AttemptStarted { op: OpId(7) };
    let goes_on = ask(&spooled, append(run, 3, &[event(6, begun)]));
    assert!(matches!(goes_on.recv().unwrap(), Ok(Appended::Written)));
    assert_eq!(spooled.events(run, 2).unwrap().len(), 1);
    assert_eq!(at(6), spooled.events(run, 2).unwrap()[0].at);
}
