//! How fast the journal writes, beside a bare SQLite loop on the same disk in the same run: `cargo bench --bench append`.
//!
//! `-- SECONDS [KEY=VALUE…]` sets the seconds a case and the journal's options.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal};
use midwatch_workflow::event::{AttemptScheduled, Ended, RunStarted};
use midwatch_workflow::{Event, EventKind, OpId, Payload, RunId, Timestamp};
use rusqlite::{Connection, params};
use rustix::time::{ClockId, clock_gettime};

/// Events that a run has after its start, two in each append.
const APPENDS: u64 = 10;

fn main() {
    let mut seconds = 2.0;
    let mut options = Options::default();
    let mut batches = vec![1, 10, 100, 1_000];
    for argument in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        match argument.split_once('=') {
            None => seconds = argument.parse().unwrap(),
            Some(("batch", value)) => batches = vec![value.parse().unwrap()],
            Some(("checkpoint", value)) => options.checkpoint_pages = value.parse().unwrap(),
            Some((key, _)) => panic!("unknown option {key}"),
        }
    }
    println!(
        "case                       batch    rows/s  cpu µs/row  p50 µs  p99 µs  max µs  bytes/row  written/row"
    );
    for batch in batches {
        let wanted = Duration::from_secs_f64(seconds);
        case("bare SQLite", batch, |folder| bare(folder, batch, wanted));
        case("journal, rows", batch, |folder| own(folder, batch, wanted, Summaries::Never, &options));
        case("journal, whole runs", batch, |folder| {
            own(folder, batch, wanted, Summaries::BothEnds, &options)
        });
        if batch == 1 {
            case("journal, other thread", batch, |folder| lone(folder, wanted, &options));
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Summaries {
    Never,
    BothEnds,
}

/// How long each commit took, in µs, and how many rows there were.
struct Taken {
    rows: u64,
    commits: Vec<f64>,
}

fn case(name: &str, batch: u64, work: impl FnOnce(&Path) -> Taken) {
    let folder =
        tempfile::tempdir_in(std::env::var("MIDWATCH_BENCH_DIR").unwrap_or_else(|_| ".".to_owned())).unwrap();
    let (begun, cpu, written) = (Instant::now(), cpu_micros(), written_bytes());
    let mut taken = work(folder.path());
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), cpu_micros() - cpu);
    let written = written_bytes() - written;
    let bytes: u64 =
        folder.path().read_dir().unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    taken.commits.sort_by(f64::total_cmp);
    let at = |part: f64| taken.commits[((taken.commits.len() - 1) as f64 * part) as usize];
    let rows = taken.rows as f64;
    println!(
        "{name:<24} {batch:>7} {:>9.0} {:>11.2} {:>7.0} {:>7.0} {:>7.0} {:>10.0} {:>12.0}",
        rows / elapsed,
        cpu / rows,
        at(0.5),
        at(0.99),
        at(1.0),
        bytes as f64 / rows,
        written as f64 / rows,
    );
}

/// Writes with nothing around SQLite.
fn bare(folder: &Path, batch: u64, wanted: Duration) -> Taken {
    let connection = Connection::open(folder.join("bare.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    let table = "CREATE TABLE j (run BLOB, first INTEGER, body TEXT, PRIMARY KEY (run, first)) WITHOUT ROWID";
    connection.execute_batch(table).unwrap();
    let mut insert = connection.prepare("INSERT INTO j VALUES (?1, ?2, ?3)").unwrap();
    let (mut begin, mut commit) =
        (connection.prepare("BEGIN IMMEDIATE").unwrap(), connection.prepare("COMMIT").unwrap());
    let (mut taken, begun) = (Taken { rows: 0, commits: Vec::new() }, Instant::now());
    let mut runs = Vec::new();
    let (mut seed, body) = (0, step().body);
    while begun.elapsed() < wanted {
        let started = Instant::now();
        begin.execute([]).unwrap();
        if (taken.commits.len() as u64).is_multiple_of(APPENDS + 2) {
            runs = (0..batch).map(|_| id(&mut seed)).collect();
        }
        for run in &runs {
            let first = (taken.commits.len() as u64 % (APPENDS + 2)) as i64;
            insert.execute(params![run.as_bytes(), first, body]).unwrap();
        }
        commit.execute([]).unwrap();
        taken.commits.push(started.elapsed().as_secs_f64() * 1e6);
        taken.rows += batch;
    }
    drop((insert, begin, commit));
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    taken
}

/// Writes with `batch` runs at once, each of which appends again as soon as it hears.
fn own(folder: &Path, batch: u64, wanted: Duration, summaries: Summaries, options: &Options) -> Taken {
    let journal = SqliteJournal::open(folder.join("journal.db"), options.clone()).unwrap();
    let (report, reports) = channel();
    let shared =
        Arc::new(Shared { journal, seed: AtomicU64::new(0), summaries, end: Instant::now() + wanted });
    let step = Arc::new(step());
    for number in 0..batch {
        // The first run's commits are the ones that are timed.
        let timing = (number == 0).then_some(Instant::now());
        Driver {
            shared: shared.clone(),
            step: step.clone(),
            report: report.clone(),
            run: None,
            rows: 0,
            timing,
            commits: Vec::new(),
        }
        .next();
    }
    drop(report);
    let mut taken = Taken { rows: 0, commits: Vec::new() };
    for (rows, commits) in reports {
        taken.rows += rows;
        taken.commits.extend(commits);
    }
    shared.journal.close().unwrap();
    taken
}

struct Shared {
    journal: SqliteJournal,
    seed: AtomicU64,
    summaries: Summaries,
    end: Instant,
}

/// One run after another.
struct Driver {
    shared: Arc<Shared>,
    step: Arc<Append>,
    report: Sender<(u64, Vec<f64>)>,
    run: Option<(RunId, u64)>,
    rows: u64,
    timing: Option<Instant>,
    commits: Vec<f64>,
}

impl Driver {
    fn next(mut self) {
        let append = match self.run {
            Some((run, first)) if first <= 2 * APPENDS + 1 => {
                self.run = Some((run, first + 2));
                let is_last = first > 2 * APPENDS - 1 && self.shared.summaries == Summaries::BothEnds;
                let summary = is_last.then(|| summary(run, 1));
                Append { run, first, body: self.step.body.clone(), summary }
            }
            _ => {
                let mut seed = self.shared.seed.fetch_add(1, Ordering::Relaxed);
                let run = id(&mut seed);
                self.run = Some((run, 2));
                let summary = (self.shared.summaries == Summaries::BothEnds).then(|| summary(run, 0));
                Append { run, first: 1, body: self.step.body.clone(), summary }
            }
        };
        let shared = self.shared.clone();
        shared.journal.append(
            append,
            Box::new(move |outcome| {
                outcome.unwrap();
                self.rows += 1;
                if let Some(timing) = &mut self.timing {
                    self.commits.push(timing.elapsed().as_secs_f64() * 1e6);
                    *timing = Instant::now();
                }
                if self.rows.is_multiple_of(64) && Instant::now() >= self.shared.end {
                    self.report.send((self.rows, std::mem::take(&mut self.commits))).unwrap();
                } else {
                    self.next();
                }
            }),
        );
    }
}

/// One run that appends from its own thread and waits for each answer.
fn lone(folder: &Path, wanted: Duration, options: &Options) -> Taken {
    let journal = SqliteJournal::open(folder.join("journal.db"), options.clone()).unwrap();
    let (mut taken, begun) = (Taken { rows: 0, commits: Vec::new() }, Instant::now());
    let (mut seed, step) = (0, step());
    let (mut run, mut first) = (id(&mut seed), 1);
    while begun.elapsed() < wanted {
        let (sender, answer) = channel();
        let started = Instant::now();
        let append = Append { run, first, body: step.body.clone(), summary: None };
        journal.append(append, Box::new(move |outcome| sender.send(outcome).unwrap()));
        answer.recv().unwrap().unwrap();
        taken.commits.push(started.elapsed().as_secs_f64() * 1e6);
        taken.rows += 1;
        first += 2;
        if first > 2 * APPENDS {
            (run, first) = (id(&mut seed), 1);
        }
    }
    journal.close().unwrap();
    taken
}

/// A run id as they are: by time, then random.
fn id(seed: &mut u64) -> RunId {
    let at = Timestamp::from_micros(1_790_000_000_000_000 + *seed * 50);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&(*seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    *seed += 1;
    RunId::new(at, random)
}

/// The two events of a step's end and of the next one's begin.
fn step() -> Append {
    let at = Timestamp::from_micros(1_790_000_000_000_000);
    let ended = EventKind::AttemptEnded {
        op: OpId(3),
        result: Ended::Ok(Payload::of(&"x".repeat(20)).unwrap()),
        charges: Vec::new(),
    };
    let scheduled = EventKind::AttemptScheduled(Box::new(AttemptScheduled {
        op: OpId(4),
        step: "charge_card".into(),
        nth: 1,
        attempt: 1,
        input: Some(Payload::of(&"x".repeat(20)).unwrap()),
        timeout: Duration::from_secs(30),
        heartbeat: None,
        queue: None,
        target: None,
        undo: None,
        undoes: None,
        waits: None,
    }));
    let events = [ended, scheduled].map(|kind| Event { at, kind });
    Append::new(id(&mut 0), 1, &events, None).unwrap()
}

fn summary(run: RunId, micros: u64) -> Box<midwatch_journal::RunSummary> {
    let start = RunStarted { worker: "build-1:4242".to_owned(), ..RunStarted::bare(run, "checkout") };
    let at = |micros| Timestamp::from_micros(1_790_000_000_000_000 + micros);
    let mut fold = Fold::begin(&start, at(micros));
    if micros > 0 {
        let result = midwatch_workflow::RunResult::Completed(Payload::null());
        fold.apply(&Event { at: at(micros), kind: EventKind::RunEnded { result } });
    }
    Box::new(fold.summary)
}

fn cpu_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// What the kernel was asked to write to disks, where it says so.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0)
}
