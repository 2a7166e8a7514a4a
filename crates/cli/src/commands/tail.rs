//! `midwatch tail`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use clap::Args;
use midwatch_journal::{Journal, Row, RunSummary};
use midwatch_workflow::{Event, EventKind, RunId, RunResult, WorkflowId};
use serde_json::json;

use crate::config::Global;
use crate::error::{Exit, server};
use crate::find::find;
use crate::output::event::{Names, words};
use crate::output::look::FAINT;
use crate::output::text::{clean, fit, width};
use crate::output::{Out, time};
use crate::server::ServerError;
use crate::source::Source;
use crate::stop::Stop;

/// Follow events as they happen, of one run until it ends or of all
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch tail
  midwatch tail order-42
  midwatch tail order-42 --from-start --exit-status && echo completed

Ctrl-C ends it. JSON: one {\"run\", \"number\", \"at\", \"event\"} a line.")]
pub(crate) struct Tail {
    /// The run; all runs if none is named
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Begins with the first event instead of the last ten, or instead of what comes from now on
    #[arg(long)]
    from_start: bool,
    /// Ends with code 1 if the run ends otherwise than completed
    #[arg(long, requires = "run")]
    exit_status: bool,
}

/// How often the journal is looked at.
const POLL: Duration = Duration::from_millis(150);
const POLL_SERVER: Duration = Duration::from_millis(500);
/// A server that is away for less is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many events of the past are shown of one run.
const PAST: usize = 10;
/// How many rows are read at once.
const ROWS: usize = 1_000;
/// How many runs' names are kept while all runs are followed.
const RUNS_MAX: usize = 10_000;

impl Tail {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let mut follower: Box<dyn Follow> = match &self.run {
            Some(run) => {
                let run = find(&source, run)?;
                Box::new(One {
                    run,
                    next: 1,
                    names: Names::default(),
                    skip: self.skip(),
                    exit: self.exit_status,
                })
            }
            None => {
                let position = if self.from_start { 0 } else { source.position()? };
                Box::new(All { position, known: HashMap::new(), ended: HashSet::new() })
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut stop = Stop::listen()?;
            let mut lost = None;
            loop {
                match follower.follow(source.journal(), out) {
                    Ok(Some(exit)) => return Ok(exit),
                    Ok(None) => lost = None,
                    // What was printed stays printed, and it goes on from there.
                    Err(error) if is_unreached(&error) => {
                        if lost.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                            return Err(error);
                        }
                    }
                    Err(error) => return Err(error),
                }
                tokio::select! {
                    () = stop.told() => return Ok(Exit::Done),
                    () = tokio::time::sleep(if source.server().is_some() { POLL_SERVER } else { POLL }) => {}
                }
            }
        })
    }

    fn skip(&self) -> Skip {
        if self.from_start { Skip::Nothing } else { Skip::Past }
    }
}

/// Whether a server was away, and may be back soon.
fn is_unreached(error: &anyhow::Error) -> bool {
    matches!(server(error), Some(ServerError::Unreached { .. } | ServerError::Failed { .. }))
}

/// Prints what is new; gives an exit code when there is nothing more to come.
trait Follow {
    fn follow(&mut self, journal: &dyn Journal, out: &mut Out) -> anyhow::Result<Option<Exit>>;
}

#[derive(PartialEq, Eq)]
enum Skip {
    Nothing,
    Past,
}

/// Follows one run.
struct One {
    run: RunSummary,
    /// The number of the next event.
    next: u64,
    names: Names,
    skip: Skip,
    exit: bool,
}

impl Follow for One {
    fn follow(&mut self, journal: &dyn Journal, out: &mut Out) -> anyhow::Result<Option<Exit>> {
        let events = journal.events(self.run.run, self.next - 1)?;
        let past = if self.skip == Skip::Past { events.len().saturating_sub(PAST) } else { 0 };
        self.skip = Skip::Nothing;
        for (place, event) in events.iter().enumerate() {
            self.names.learn(event);
            if place >= past {
                print(&self.run.run, self.next + place as u64, event, &self.names, None, out)?;
            }
        }
        self.next += events.len() as u64;
        Ok(match events.last().map(|event| &event.kind) {
            Some(EventKind::RunEnded { result }) => Some(match result {
                RunResult::Failed { .. } if self.exit => Exit::Failed,
                RunResult::Failed { .. } | RunResult::Completed(_) => Exit::Done,
            }),
            _ => None,
        })
    }
}

/// Follows all runs.
struct All {
    position: u64,
    known: HashMap<RunId, (WorkflowId, Names)>,
    /// Runs that ended in the rows at hand; their names are of no more use.
    ended: HashSet<RunId>,
}

impl Follow for All {
    fn follow(&mut self, journal: &dyn Journal, out: &mut Out) -> anyhow::Result<Option<Exit>> {
        loop {
            let rows = journal.since(self.position, ROWS)?;
            for row in &rows {
                self.show(row, journal, out)?;
                self.position = row.position;
            }
            for run in self.ended.drain() {
                self.known.remove(&run);
            }
            if self.known.len() > RUNS_MAX {
                self.known.clear();
            }
            if rows.len() < ROWS {
                return Ok(None);
            }
        }
    }
}

impl All {
    fn show(&mut self, row: &Row, journal: &dyn Journal, out: &mut Out) -> anyhow::Result<()> {
        let (id, names) = match self.known.entry(row.run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(get_to_know(row, journal)?),
        };
        for (event, number) in row.events.iter().zip(row.first..) {
            names.learn(event);
            print(&row.run, number, event, names, Some(id), out)?;
            if matches!(event.kind, EventKind::RunEnded { .. }) {
                self.ended.insert(row.run);
            }
        }
        Ok(())
    }
}

/// The workflow id of a run, and the names of its operations before these events.
fn get_to_know(row: &Row, journal: &dyn Journal) -> anyhow::Result<(WorkflowId, Names)> {
    let mut names = Names::default();
    let mut id = WorkflowId::from(row.run);
    let before = if row.first == 1 { row.events.clone() } else { journal.events(row.run, 0)? };
    for (event, number) in before.iter().zip(1..) {
        if let EventKind::RunStarted(start) = &event.kind {
            id = start.workflow_id.clone();
        }
        if number < row.first {
            names.learn(event);
        }
    }
    Ok((id, names))
}

fn print(
    run: &RunId,
    number: u64,
    event: &Event,
    names: &Names,
    id: Option<&WorkflowId>,
    out: &mut Out,
) -> anyhow::Result<()> {
    if out.is_json {
        out.json(&json!({ "run": run, "number": number, "at": event.at, "event": event.kind }))?;
        return Ok(());
    }
    let (what, style) = words(event, names);
    let id = id.map(|id| format!("{} {}  ", run.short(), clean(id.as_str()))).unwrap_or_default();
    let head = format!("{}  {id}{number:>4}", time::clock(event.at));
    let what = clean(&what);
    let what = match out.width() {
        Some(columns) => fit(&what, columns.saturating_sub(width(&head) + 2)),
        None => what,
    };
    out.line(format_args!("{FAINT}{head}{FAINT:#}  {style}{what}{style:#}"))?;
    Ok(())
}
