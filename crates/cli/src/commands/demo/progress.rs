//! Live progress: bars on a terminal, a line now and then anywhere else, nothing for programs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use midwatch_journal::{RunSummary, Status};
use midwatch_workflow::Money;

use crate::output::amount;

/// How all runs stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    pub(super) planned: usize,
    pub(super) kills: u32,
    pub(super) started: usize,
    pub(super) ended: usize,
    pub(super) completed: usize,
    pub(super) undone: usize,
    pub(super) waiting: usize,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) cost: Money,
}

impl Seen {
    /// Counts a run.
    pub(super) fn count(&mut self, run: &RunSummary) {
        self.started += 1;
        self.ended += usize::from(run.status.is_ended());
        self.completed += usize::from(run.status == Status::Completed);
        self.undone += usize::from(run.status == Status::Compensated);
        self.waiting += usize::from(run.status == Status::Waiting);
        self.attempts += run.attempts;
        self.failures += run.failures;
        self.cost += run.spent.cost;
    }

    fn line(&self) -> String {
        format!(
            "{} of {} runs ended · {} open · {} attempts, {} failed · at most {} · killed {}×",
            self.ended,
            self.planned,
            self.started - self.ended,
            amount::count(self.attempts),
            amount::count(self.failures),
            amount::money(self.cost),
            self.kills,
        )
    }
}

/// Where progress is shown; always on stderr, so that stdout is the result alone.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
    Silent,
}

const LINE_EVERY: Duration = Duration::from_secs(2);

impl Progress {
    /// Bars if a person watches.
    pub(super) fn new(runs: usize, is_json: bool) -> Self {
        if is_json {
            return Progress::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Progress::Lines { last: None };
        }
        let bar = ProgressBar::new(runs as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {elapsed:>3} {msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress::Bar(bar)
    }

    /// Shows how the runs stand.
    pub(super) fn update(&mut self, seen: &Seen) {
        match self {
            Progress::Bar(bar) => {
                bar.set_position(seen.ended as u64);
                bar.set_message(seen.line());
            }
            Progress::Lines { last } if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) => {
                *last = Some(Instant::now());
                say(&seen.line());
            }
            Progress::Lines { .. } | Progress::Silent => {}
        }
    }

    /// Says that the child was killed.
    pub(super) fn killed(&mut self, nth: u32, of: u32) {
        let line = format!("kill -9: the worker is gone, {nth} of {of}; starting it again");
        match self {
            Progress::Bar(bar) => bar.println(line),
            Progress::Lines { .. } if of <= 20 => say(&line),
            Progress::Lines { .. } | Progress::Silent => {}
        }
    }

    /// Takes the bars away.
    pub(super) fn finish(self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn say(line: &str) {
    // Nobody left to tell is no reason to stop.
    let _ = writeln!(anstream::stderr(), "{line}");
}
