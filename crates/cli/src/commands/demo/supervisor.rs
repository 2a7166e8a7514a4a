//! The parent: starts the child, kills it at random moments, starts it again, and answers what asks for a person.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Error, Journal, RunQuery, RunSummary, Status};
use midwatch_simulator::Simulator;
use midwatch_workflow::{Message, Payload, RunId};

use super::plan::{Model, Plan};
use super::progress::{Progress, Seen};
use crate::config::clock;

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(150);
/// How often the child is.
const GLANCE: Duration = Duration::from_millis(5);
/// A child is killed no earlier than so long after it went to work: each must get somewhere, or no run ever would.
const LIFE_MIN: Duration = Duration::from_millis(250);
/// A child that does not go to work within so long never will.
const START_MAX: Duration = Duration::from_secs(60);
/// All kills together take about so long.
const KILLING: Duration = Duration::from_secs(12);
/// Without any change in the journal for so long, the runs that are open will never end.
const PATIENCE: Duration = Duration::from_secs(90);
/// An editor takes so long to answer.
const READING: Duration = Duration::from_millis(400);
/// A run that a compensation's failure parked is retried so often.
const RETRIES_MAX: u32 = 10;

/// What the parent did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Supervised {
    /// Children that were killed while they worked.
    pub(super) kills: u32,
    /// Signals that were sent.
    pub(super) signals: u32,
    /// Retries that were asked for.
    pub(super) retries: u32,
}

/// A child process and what it is told.
pub(super) struct Supervisor<'a> {
    plan: &'a Plan,
    db: &'a Path,
    world: &'a Simulator,
    rng: fastrand::Rng,
    journal: Option<SqliteJournal>,
    /// When each run was first seen to wait for an answer.
    asking: HashMap<RunId, Instant>,
    answered: HashSet<RunId>,
    retried: HashMap<RunId, u32>,
    last: Seen,
    changed: Instant,
    done: Supervised,
}

/// Why a child is no more.
enum End {
    /// It was killed.
    Killed,
    /// All that it started has ended.
    Finished,
    /// Nothing moves any more.
    Stuck,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(plan: &'a Plan, db: &'a Path, world: &'a Simulator) -> Self {
        Self {
            plan,
            db,
            world,
            rng: fastrand::Rng::with_seed(plan.seed),
            journal: None,
            asking: HashMap::new(),
            answered: HashSet::new(),
            retried: HashMap::new(),
            last: Seen::default(),
            changed: Instant::now(),
            done: Supervised::default(),
        }
    }

    /// Lets all runs come to their end, through `kills` kills.
    ///
    /// # Errors
    /// If a child fails by itself, or the journal cannot be read.
    pub(super) fn run(mut self, kills: u32, progress: &mut Progress) -> anyhow::Result<Supervised> {
        // Each child gets a share of new runs, so that there is work under way at every kill.
        let mut share = 0;
        loop {
            share = (share + 1).min(kills as usize + 1);
            let until = self.plan.runs * share / (kills as usize + 1);
            let life = (self.done.kills < kills).then(|| self.life(kills));
            let mut child = self.spawn(until)?;
            let end = self.watch(&mut child, life, progress);
            if !matches!(end, Ok(End::Finished)) {
                child.kill()?;
                child.wait()?;
            }
            match end? {
                End::Killed => {
                    self.done.kills += 1;
                    progress.killed(self.done.kills, kills);
                }
                End::Finished if until < self.plan.runs => {}
                End::Finished | End::Stuck => break,
            }
        }
        progress.update(&self.look()?);
        Ok(self.done)
    }

    /// How long the next child may live.
    fn life(&mut self, kills: u32) -> Duration {
        let most = (KILLING / kills.max(1)).clamp(Duration::from_millis(1_200), Duration::from_millis(2_400));
        LIFE_MIN + (most - LIFE_MIN).mul_f64(self.rng.f64())
    }

    fn spawn(&self, until: usize) -> anyhow::Result<Child> {
        let mut command = Command::new(own_program()?);
        command.args(["demo", "--worker", "--runs", &self.plan.runs.to_string()]);
        command.args(["--seed", &self.plan.seed.to_string(), "--until", &until.to_string()]);
        command.arg("--db").arg(self.db);
        let url = self.world.payments_url();
        for name in ["STRIPE_URL", "WAREHOUSE_URL", "AGENCY_URL", "PRESS_URL"] {
            command.env(name, &url);
        }
        // What belongs to a real payment API does not go to a played one.
        command.env_remove("STRIPE_API_KEY");
        match self.plan.model {
            Model::Played => {
                command.args(["--model", "played"]).env("OPENAI_BASE_URL", self.world.openai_url());
                command.env_remove("OPENAI_API_KEY").env_remove("ANTHROPIC_API_KEY");
            }
            Model::Openai => drop(command.args(["--model", "openai"])),
            Model::Anthropic => drop(command.args(["--model", "anthropic"])),
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command.spawn().context("worker could not be started")
    }

    fn watch(
        &mut self,
        child: &mut Child,
        life: Option<Duration>,
        progress: &mut Progress,
    ) -> anyhow::Result<End> {
        let (started, at_work) = (Instant::now(), at_work(child));
        let mut born: Option<Instant> = None;
        let mut looked: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait()? {
                if status.success() {
                    return Ok(End::Finished);
                }
                bail!("worker ended by itself: {status}");
            }
            if born.is_none() && at_work.load(Ordering::Acquire) {
                born = Some(Instant::now());
            }
            if born.zip(life).is_some_and(|(born, life)| born.elapsed() >= life) {
                return Ok(End::Killed);
            }
            if born.is_none() && started.elapsed() > START_MAX {
                bail!("worker did not go to work within {START_MAX:?}");
            }
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                let seen = self.look()?;
                progress.update(&seen);
                if seen != self.last {
                    (self.last, self.changed) = (seen, Instant::now());
                }
                if self.changed.elapsed() > PATIENCE {
                    return Ok(End::Stuck);
                }
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Reads where all runs stand, and answers those that wait for a person.
    fn look(&mut self) -> anyhow::Result<Seen> {
        let mut seen = Seen { planned: self.plan.runs, kills: self.done.kills, ..Seen::default() };
        let Some(runs) = self.runs()? else { return Ok(seen) };
        for run in &runs {
            seen.count(run);
            match run.status {
                Status::Waiting if run.doing.starts_with("signal publish") => self.answer(run)?,
                Status::Parked => self.retry(run)?,
                _ => {}
            }
        }
        Ok(seen)
    }

    /// `None` as long as no child has made the journal.
    fn runs(&mut self) -> anyhow::Result<Option<Vec<RunSummary>>> {
        if self.journal.is_none() {
            match SqliteJournal::open_reader(self.db) {
                Ok(journal) => self.journal = Some(journal),
                Err(Error::Missing { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let query = RunQuery { limit: self.plan.runs + 1, ..RunQuery::default() };
        Ok(self.journal.as_ref().map(|journal| journal.runs(&query)).transpose()?)
    }

    fn answer(&mut self, run: &RunSummary) -> anyhow::Result<()> {
        let since = *self.asking.entry(run.run).or_insert_with(Instant::now);
        if since.elapsed() < READING || !self.answered.insert(run.run) {
            return Ok(());
        }
        let verdict = self.plan.verdict(run.workflow_id.as_str());
        let payload = Payload::of(&verdict)?;
        let id = Some(format!("verdict-{}", run.run));
        self.post(run.run, &Message::Signal { name: "publish".to_owned(), payload, id })?;
        self.done.signals += 1;
        Ok(())
    }

    /// What an operator does about a compensation that failed for good: mend what was wrong, and try again.
    fn retry(&mut self, run: &RunSummary) -> anyhow::Result<()> {
        let tried = self.retried.entry(run.run).or_default();
        let since = *self.asking.entry(run.run).or_insert_with(Instant::now);
        if *tried >= RETRIES_MAX || since.elapsed() < READING * (*tried + 1) {
            return Ok(());
        }
        *tried += 1;
        self.done.retries += 1;
        self.post(run.run, &Message::Retry { by: "the demo's operator".to_owned() })
    }

    fn post(&self, run: RunId, message: &Message) -> anyhow::Result<()> {
        if let Some(journal) = &self.journal {
            journal.post(run, message, clock())?;
        }
        Ok(())
    }
}

/// Becomes true when the child says that it is at work.
fn at_work(child: &mut Child) -> Arc<AtomicBool> {
    let said = Arc::new(AtomicBool::new(false));
    if let Some(mut stdout) = child.stdout.take() {
        let said = Arc::clone(&said);
        // Ends with the child's end of the pipe.
        std::thread::spawn(move || said.store(stdout.read_exact(&mut [0]).is_ok(), Ordering::Release));
    }
    said
}

/// This very program, even if its file was replaced meanwhile.
fn own_program() -> std::io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() { Ok(own.to_owned()) } else { std::env::current_exe() }
}

/// The journal as an absolute path, so that parent and child mean the same file.
pub(super) fn absolute(db: &Path) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(db)?)
}
