//! The thread that watches, and what it found last.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use midwatch_inspect::Surveyor;
use midwatch_journal::Commits;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_observe::metrics::{Histogram, Metrics, family, gauges};
use midwatch_observe::{Standing, metrics};
use midwatch_workflow::Timestamp;

use crate::follow::{Follower, Progress};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] midwatch_journal::Error),
    /// The operating system gives no thread.
    #[error("no thread to watch with: {0}")]
    Thread(#[source] std::io::Error),
}

/// How a journal is watched.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often the journal is read. A reading that takes long makes the next one wait longer, for at most a tenth of
    /// the time is spent reading.
    pub every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { every: Duration::from_secs(5) }
    }
}

/// What the last reading found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Everything that is served.
    pub metrics: Arc<Metrics>,
    /// How the journal stands; `None` if it could not be read.
    pub standing: Option<Arc<Standing>>,
    /// When the reading ended.
    pub at: Instant,
    /// The time that it read for.
    pub time: Timestamp,
}

impl Found {
    /// Whether it is so old that the watcher must be hanging: then it is passed on to nobody.
    pub fn is_stale(&self) -> bool {
        self.at.elapsed() > STALE
    }
}

/// A journal that is being watched, until this is dropped.
#[derive(Debug)]
pub struct Watch {
    pub(crate) found: Arc<RwLock<Found>>,
    /// When it began to count.
    since: Timestamp,
    /// What alerts have to say of themselves.
    pub(crate) alerts: Arc<Mutex<Metrics>>,
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch the journal at `path`; the first reading is done when this returns.
    ///
    /// # Errors
    /// If there is no journal, or it cannot be read.
    pub fn start(path: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        let journal = SqliteJournal::open_reader(path)?;
        let (since, follower) = (clock(), Follower::new(&journal)?);
        let alerts = Arc::new(Mutex::new(Metrics::default()));
        let surveyor = Surveyor::default();
        let mut watcher = Watcher { journal, follower, surveyor, alerts: Arc::clone(&alerts), trouble: None };
        let (first, progress) = watcher.read();
        let found = Arc::new(RwLock::new(first));
        let shared = Arc::clone(&found);
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("midwatch-watch".to_owned())
            .spawn(move || watcher.run(&options, &shared, &stopped, progress))
            .map_err(Error::Thread)?;
        Ok(Self { found, since, alerts, stop: Some(stop), thread: Some(thread) })
    }

    /// What the last reading found.
    pub fn found(&self) -> Found {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When its counters began.
    pub fn since(&self) -> Timestamp {
        self.since
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends after the reading that it is at. A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// The thread's own state.
struct Watcher {
    journal: SqliteJournal,
    follower: Follower,
    surveyor: Surveyor,
    alerts: Arc<Mutex<Metrics>>,
    /// Why the journal could not be read the last time.
    trouble: Option<String>,
}

/// What is older than this is stale.
const STALE: Duration = Duration::from_secs(120);

/// The thread rests at least so many times as long as it reads.
const REST: u32 = 9;

impl Watcher {
    fn run(
        mut self,
        options: &Options,
        shared: &RwLock<Found>,
        stopped: &Receiver<()>,
        mut progress: Progress,
    ) {
        let mut took = Duration::ZERO;
        loop {
            // Runs go first: what there is to count waits in the journal meanwhile.
            let rest = match progress {
                Progress::AtTip => options.every.max(took * REST),
                Progress::Behind => took * REST,
            };
            if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let begun = Instant::now();
            let (found, next) = self.read();
            (took, progress) = (begun.elapsed(), next);
            *shared.write().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }

    /// Reads everything once. What cannot be read has no value, and the metrics say that it could not be read.
    fn read(&mut self) -> (Found, Progress) {
        let now = clock();
        let followed = self.follower.go_on(&self.journal);
        let surveyed = self.surveyor.survey(&self.journal, now);
        let is_up = followed.is_ok() && surveyed.is_ok();
        self.say(followed.as_ref().err().or(surveyed.as_ref().err()));
        let standing = surveyed.ok().map(Arc::new);
        let mut metrics = self.follower.counts.metrics.clone();
        metrics.extend(standing.as_deref().map(gauges).unwrap_or_default());
        metrics.extend(own(is_up, self.follower.position, now));
        metrics.extend(commits(self.journal.path()));
        metrics.extend(self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let found = Found { metrics: Arc::new(metrics), standing, at: Instant::now(), time: now };
        (found, followed.unwrap_or(Progress::AtTip))
    }

    /// Logs trouble when it begins or changes, and its end, not every few seconds.
    fn say(&mut self, trouble: Option<&midwatch_journal::Error>) {
        let trouble = trouble.map(ToString::to_string);
        if trouble != self.trouble {
            let journal = self.journal.path().display();
            match &trouble {
                Some(error) => tracing::warn!(%error, %journal, "the journal cannot be read"),
                None => tracing::info!(%journal, "the journal can be read again"),
            }
            self.trouble = trouble;
        }
    }
}

/// What the watcher says of itself in metrics.
#[allow(clippy::cast_precision_loss)] // for charts only
fn own(is_up: bool, position: u64, now: Timestamp) -> Metrics {
    let mut own = Metrics::default();
    own.set(&family::JOURNAL_UP, &[], if is_up { 1.0 } else { 0.0 });
    own.set(&family::POSITION, &[], position as f64);
    own.set(&family::REFRESHED, &[], metrics::Unit::Seconds.shown(now.as_micros()));
    own.set(&family::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
    own
}

/// What commits took, as the owner shows it beside the journal.
fn commits(journal: &Path) -> Metrics {
    let mut commits = Metrics::default();
    // Another version may count by other bounds.
    let is_known = |shown: &Commits| shown.buckets.len() == Commits::BOUNDS.len() + 1;
    if let Some(shown) = Commits::read(journal).ok().flatten().filter(is_known) {
        let histogram = Histogram { buckets: shown.buckets, sum: shown.micros, since: Some(shown.since) };
        commits.put(&family::COMMIT_DURATION, histogram);
    }
    commits
}

/// The system's clock.
pub(crate) fn clock() -> Timestamp {
    Timestamp::from_micros(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writers_buckets_are_those_of_the_family() {
        assert_eq!(Commits::BOUNDS, family::COMMIT_BUCKETS);
    }
}
