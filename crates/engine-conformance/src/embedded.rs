//! The embedded engine's part: in memory under a virtual clock, with a crash at every append; and on SQLite for real.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_embedded::{Clock, Embedded, Options, QueueOptions, Registry};
use midwatch_journal::memory::{CrashingJournal, MemoryJournal, When};
use midwatch_journal::replay::replay;
use midwatch_journal::{Fold, Journal};
use midwatch_workflow::{Engine, EventKind, Progress, Timestamp};

use crate::exercise::difference;
use crate::{Account, Code, Crashes, Exercise, Harness, Report, Trouble, exercises, perform};

/// At which append each life of the engine ends; lives beyond the plan go on for ever.
pub type CrashPlan = Vec<(u64, When)>;

/// When the virtual clock starts.
const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// The embedded engine on a journal that outlives it.
pub struct EmbeddedHarness {
    image: Arc<dyn Journal>,
    /// What the engine writes to instead, if it is to crash.
    crashing: Option<(MemoryJournal, VecDeque<(u64, When)>)>,
    journal: Option<Arc<CrashingJournal>>,
    engine: Option<Arc<Embedded>>,
    clock: Clock,
    linger: Duration,
    lives: u32,
    appends: Arc<std::sync::atomic::AtomicU64>,
}

impl EmbeddedHarness {
    /// On a journal in memory, under the runtime's clock, with these crashes. Runs that wait stay in memory for `linger`.
    pub fn in_memory(plan: CrashPlan, linger: Duration) -> Self {
        let disk = MemoryJournal::new();
        let clock = Clock::runtime(START);
        let image = Arc::new(disk.clone());
        Self { crashing: Some((disk, plan.into())), ..Self::on(image, clock, linger) }
    }

    /// On any journal, under any clock.
    pub fn on(image: Arc<dyn Journal>, clock: Clock, linger: Duration) -> Self {
        Self {
            image,
            crashing: None,
            journal: None,
            engine: None,
            clock,
            linger,
            lives: 0,
            appends: Arc::default(),
        }
    }

    fn journal_to_write(&mut self) -> Arc<dyn Journal> {
        let Some((disk, plan)) = &mut self.crashing else { return Arc::clone(&self.image) };
        let journal = CrashingJournal::new(disk.clone());
        let journal = Arc::new(match plan.pop_front() {
            Some((append, when)) => journal.crash_at(append, when),
            None => journal,
        });
        self.journal = Some(Arc::clone(&journal));
        journal
    }

    fn options(&self) -> Options {
        Options {
            clock: self.clock,
            linger: self.linger,
            // Nobody writes letters here, and under a virtual clock every look is a step of time.
            inbox_poll: Duration::from_secs(3600),
            ..Options::new(format!("life {}", self.lives))
        }
    }
}

impl Harness for EmbeddedHarness {
    fn open(&mut self, code: Code) -> BoxFuture<'_, Result<(), Trouble>> {
        self.lives += 1;
        let journal = self.journal_to_write();
        let mut options = self.options();
        let mut registry = Registry::default();
        code.workflows.into_iter().for_each(|workflow| registry.add_workflow(workflow));
        code.steps.into_iter().for_each(|step| registry.add_step(step));
        for (name, concurrency) in code.queues {
            options.queues.insert(name, QueueOptions::concurrency(concurrency));
        }
        Box::pin(async move {
            let engine = Embedded::open(journal, registry, options).await;
            self.engine = Some(Arc::new(engine.map_err(|error| Trouble::new(format!("open: {error}")))?));
            Ok(())
        })
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        if let Some(journal) = &self.journal {
            self.appends.store(journal.appends(), std::sync::atomic::Ordering::Relaxed);
        }
        self.engine = None;
        Box::pin(async {})
    }

    fn has_crashed(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.is_crashed())
    }

    fn engine(&self) -> Arc<dyn Engine> {
        match &self.engine {
            Some(engine) => Arc::clone(engine) as _,
            None => Arc::new(Closed),
        }
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.image)
    }
}

/// What is there between a crash and the next start.
struct Closed;

impl Engine for Closed {
    fn start(
        &self,
        _: midwatch_workflow::NewRun,
    ) -> BoxFuture<'_, Result<midwatch_workflow::Started, midwatch_workflow::EngineError>> {
        Box::pin(async { Err(midwatch_workflow::EngineError::Stopped) })
    }

    fn send(
        &self,
        _: midwatch_workflow::RunId,
        _: midwatch_workflow::Message,
    ) -> BoxFuture<'_, Result<(), midwatch_workflow::EngineError>> {
        Box::pin(async { Err(midwatch_workflow::EngineError::Stopped) })
    }

    fn result(
        &self,
        _: midwatch_workflow::RunId,
    ) -> BoxFuture<'_, Result<midwatch_workflow::RunResult, midwatch_workflow::EngineError>> {
        Box::pin(async { Err(midwatch_workflow::EngineError::Stopped) })
    }

    fn host<'a>(&'a self, _: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<(), midwatch_workflow::EngineError>> {
        Box::pin(async { Err(midwatch_workflow::EngineError::Stopped) })
    }
}

/// How long runs that wait stay in memory: one exercise is done with each.
const LINGERS: [Duration; 2] = [Duration::from_millis(100), Duration::ZERO];

/// Performs an exercise on the embedded engine in memory, compares its journal, and then kills it everywhere.
///
/// # Errors
/// What went wrong, and at which crash.
pub fn on_embedded(exercise: &Exercise) -> Result<(), Trouble> {
    for linger in LINGERS {
        let (account, appends) = under_virtual_time(Vec::new(), linger, |harness| async move {
            exercise.check(Box::new(harness)).await
        });
        let account = account?;
        check_replay(&account)?;
        crash_everywhere(exercise, &account, appends, linger)?;
    }
    Ok(())
}

/// Performs all exercises on the embedded engine in memory, with all their crashes.
pub fn report() -> Report {
    let mut report = Report::default();
    for exercise in exercises::ALL {
        report.count(exercise.name, on_embedded(exercise).map_err(|trouble| trouble.to_string()));
    }
    report
}

/// Performs an exercise again and again, with a crash at each of its appends, and another one soon after.
///
/// # Errors
/// If a crash changed what it must not change.
pub fn crash_everywhere(
    exercise: &Exercise,
    calm: &Account,
    appends: u64,
    linger: Duration,
) -> Result<(), Trouble> {
    let whens = [When::BeforeWrite, When::AfterWrite];
    for (append, when) in (1..=appends).flat_map(|append| whens.map(|when| (append, when))) {
        let again = whens.into_iter().flat_map(|when| (1..=3).map(move |append| Some((append, when))));
        for again in [None].into_iter().chain(again) {
            let plan: CrashPlan = [Some((append, when)), again].into_iter().flatten().collect();
            let (account, _) =
                under_virtual_time(plan.clone(), linger, |harness| perform(exercise, Box::new(harness)));
            let checked = account.and_then(|account| {
                check_replay(&account)?;
                compare(exercise, calm, &account)
            });
            checked.map_err(|trouble| {
                let plan: Vec<String> =
                    plan.iter().map(|(n, when)| format!("append {n} ({when:?})")).collect();
                Trouble::new(format!("killed at {}, linger {linger:?}: {trouble}", plan.join(", then at ")))
            })?;
        }
    }
    Ok(())
}

fn under_virtual_time<F, Fut, T>(plan: CrashPlan, linger: Duration, act: F) -> (T, u64)
where
    F: FnOnce(EmbeddedHarness) -> Fut,
    Fut: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    #[allow(clippy::expect_used)] // a machine that cannot make a runtime runs no tests
    let runtime = runtime.expect("a runtime for a test");
    runtime.block_on(async {
        let harness = EmbeddedHarness::in_memory(plan, linger);
        let appends = Arc::clone(&harness.appends);
        let answer = act(harness).await;
        (answer, appends.load(std::sync::atomic::Ordering::Relaxed))
    })
}

fn compare(exercise: &Exercise, calm: &Account, crashed: &Account) -> Result<(), Trouble> {
    if let Crashes::ChangeEffects(_) = exercise.crashes {
        return Ok(());
    }
    let sorted = |account: &Account| {
        let mut effects = account.effects.clone();
        effects.sort();
        effects
    };
    if sorted(calm) != sorted(crashed) {
        let what = format!("effects {:?} became {:?}", calm.effects, crashed.effects);
        return Err(Trouble::new(what));
    }
    let (calm, crashed_story) = (calm.story_without_crashes(), crashed.story_without_crashes());
    if exercise.crashes == Crashes::ChangeNothing && calm != crashed_story {
        let what = difference("the calm run", &calm, "the one that was killed", &crashed_story);
        return Err(Trouble::new(format!("{what}\nin full\n{}", crashed.story())));
    }
    Ok(())
}

/// A journal that was written must be read back to where its run stood: nothing fresh, and the end where it ended.
fn check_replay(account: &Account) -> Result<(), Trouble> {
    for events in &account.runs {
        let (Some(fold), Some(EventKind::RunStarted(start))) =
            (Fold::of(events), events.first().map(|e| &e.kind))
        else {
            continue;
        };
        let workflow = account.code.workflows.iter().find(|workflow| *workflow.name() == *start.workflow);
        let Some(workflow) = workflow.filter(|_| fold.halted.is_none()) else { continue };
        let trouble = |why: String| Trouble::new(format!("replay of {}: {why}", start.workflow));
        let replayed = replay(workflow, events, &fold).map_err(|error| trouble(format!("{error:?}")))?;
        let ended = events.last().and_then(|event| match &event.kind {
            EventKind::RunEnded { result } => Some(result.clone()),
            _ => None,
        });
        let expected = ended.map_or(Progress::Waiting, Progress::Done);
        if replayed.progress != expected || !replayed.fresh.is_empty() {
            let what = format!("{:?} with fresh {:?}, not {expected:?}", replayed.progress, replayed.fresh);
            return Err(trouble(format!("{what}\n{}", account.story())));
        }
    }
    Ok(())
}
