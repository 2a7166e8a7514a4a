//! What an attempt reports while it runs: signs of life, progress, and what it spends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_gates::TargetGate;
use midwatch_workflow::{Charge, Failure, Headroom, Payload, Reporter, Spent, Used};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::budget::Account;

/// Heartbeats closer together than this are kept in memory only; the newest of them may be lost with the process.
const BEAT_SPACING: Duration = Duration::from_millis(500);

/// What an attempt reports while it runs.
///
/// Whoever made it is told by `post` that there is something to [`take`](Reports::take): at most once until it is taken, so
/// that a step that reports in a tight loop floods nobody.
pub struct Reports {
    post: Box<dyn Fn() + Send + Sync>,
    /// Where what the target says of its limits goes.
    gate: Option<Arc<TargetGate>>,
    /// What the attempt draws on, if any budget concerns it.
    account: Option<Arc<Account>>,
    is_posted: AtomicBool,
    state: Mutex<ReportState>,
}

struct ReportState {
    sign: Instant,
    posted: Option<Instant>,
    progress: Option<Payload>,
    /// Whether `progress` is newer than what was taken.
    is_unsaid: bool,
    /// `None` where a bound was released.
    charges: Vec<Option<Charge>>,
    /// The places of bounds that nobody settled yet, and how to find out better.
    open: Vec<(usize, Option<Used>)>,
    /// Answered when what is reported now is durable.
    replies: Vec<Durable>,
    is_closed: bool,
}

/// Told when what an attempt reported is durable. Dropped, it never will be.
pub type Durable = oneshot::Sender<()>;

/// What an attempt reported last.
pub struct Report {
    /// Its last word of progress; `null` if it never said any.
    pub progress: Payload,
    /// Whether that is news.
    pub is_progress: bool,
    /// All that it spent so far, bounds of calls under way among it.
    pub charges: Vec<Charge>,
    /// Each is told when this report is durable.
    pub replies: Vec<Durable>,
}

impl Reports {
    /// Makes the reports of an attempt that draws on `account` and teaches `gate` what its target says of its limits.
    pub fn new(
        gate: Option<Arc<TargetGate>>,
        account: Option<Arc<Account>>,
        post: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = ReportState {
            sign: Instant::now(),
            posted: None,
            progress: None,
            is_unsaid: false,
            charges: Vec::new(),
            open: Vec::new(),
            replies: Vec::new(),
            is_closed: false,
        };
        let (post, is_posted) = (Box::new(post), AtomicBool::new(false));
        Arc::new(Self { post, gate, account, is_posted, state: Mutex::new(state) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ReportState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it last gave a sign of life.
    pub fn last_sign(&self) -> Instant {
        self.lock().sign
    }

    /// What was reported last; `None` once the attempt has ended.
    pub fn take(&self) -> Option<Report> {
        self.is_posted.store(false, Ordering::Release);
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        Some(Report {
            is_progress: std::mem::take(&mut state.is_unsaid),
            progress: state.progress.clone().unwrap_or_else(Payload::null),
            charges: state.charges.iter().flatten().cloned().collect(),
            replies: std::mem::take(&mut state.replies),
        })
    }

    /// All that was spent so far.
    pub fn charges(&self) -> Vec<Charge> {
        self.lock().charges.iter().flatten().cloned().collect()
    }

    /// Ends reporting and gives all charges. Whatever the step's code still reports comes too late.
    pub fn close(&self) -> Vec<Charge> {
        let mut state = self.lock();
        state.is_closed = true;
        let open = std::mem::take(&mut state.open);
        let mut charges = std::mem::take(&mut state.charges);
        drop(state);
        for (place, used) in open {
            let Some(Some(booked)) = charges.get_mut(place) else { continue };
            // A bound that nobody settled is what the call took, unless somebody has followed it.
            let bound = booked.clone();
            *booked = used.map_or_else(|| bound.clone(), |used| used());
            if let Some(account) = &self.account {
                account.settle(&bound, Some(booked));
            }
        }
        charges.into_iter().flatten().collect()
    }

    /// Ends reporting for good: whatever a failure brings along is counted with the rest.
    pub fn end(&self, result: &mut Result<Payload, Failure>) -> Vec<Charge> {
        let mut charges = self.close();
        if let Err(failure) = result {
            self.count(&failure.charges);
            charges.append(&mut failure.charges);
        }
        charges
    }

    /// Counts charges that came with a failure towards the budgets.
    fn count(&self, charges: &[Charge]) {
        if let Some(account) = &self.account {
            charges.iter().for_each(|charge| account.spend(charge));
        }
    }

    /// The last word of progress, if nobody took it.
    pub fn unsaid(&self) -> Option<Payload> {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_unsaid) { state.progress.take() } else { None }
    }

    fn post(&self) {
        if !self.is_posted.swap(true, Ordering::AcqRel) {
            (self.post)();
        }
    }
}

impl Reporter for Reports {
    fn heartbeat(&self, progress: Payload) {
        let mut state = self.lock();
        let now = Instant::now();
        state.sign = now;
        state.progress = Some(progress);
        state.is_unsaid = true;
        let is_due = state.posted.is_none_or(|posted| posted + BEAT_SPACING <= now);
        if is_due && !state.is_closed {
            state.posted = Some(now);
            drop(state);
            self.post();
        }
    }

    fn headroom(&self, headroom: Headroom) {
        if let Some(gate) = &self.gate {
            gate.headroom(headroom);
        }
    }

    fn alive(&self) {
        self.lock().sign = Instant::now();
    }

    fn charge(&self, charge: Charge) {
        let mut state = self.lock();
        state.sign = Instant::now();
        if state.is_closed {
            tracing::warn!(target = charge.target, "charge after the end of its attempt is not booked");
            return;
        }
        self.count(std::slice::from_ref(&charge));
        state.charges.push(Some(charge));
        drop(state);
        // Spend reaches the journal at once, so that a killed process loses none of it.
        self.post();
    }

    fn spent(&self) -> Spent {
        let mut spent = Spent::default();
        self.lock().charges.iter().flatten().for_each(|charge| spent.add(charge));
        spent
    }

    fn reserve(&self, bound: Charge) -> BoxFuture<'_, Result<usize, Failure>> {
        Box::pin(async move {
            if let Some(account) = &self.account {
                account.reserve(&bound, || self.alive()).await?;
            }
            let (reply, durable) = oneshot::channel();
            let place = {
                let mut state = self.lock();
                state.sign = Instant::now();
                state.charges.push(Some(bound));
                state.replies.push(reply);
                let place = state.charges.len() - 1;
                state.open.push((place, None));
                place
            };
            self.post();
            // If it cannot be recorded, the attempt stops here: without its record the call must not be made.
            if durable.await.is_err() {
                std::future::pending::<()>().await;
            }
            Ok(place)
        })
    }

    fn follow(&self, place: usize, used: Used) {
        if let Some((_, known)) = self.lock().open.iter_mut().find(|(open, _)| *open == place) {
            *known = Some(used);
        }
    }

    fn settle(&self, place: usize, charge: Option<Charge>) {
        let mut state = self.lock();
        state.sign = Instant::now();
        if state.is_closed {
            return;
        }
        if let Some(booked) = state.charges.get_mut(place) {
            let bound = std::mem::replace(booked, charge.clone());
            let at = state.open.iter().position(|(open, _)| *open == place);
            let was_open = at.map(|at| state.open.swap_remove(at)).is_some();
            if let (Some(account), true, Some(bound)) = (&self.account, was_open, &bound) {
                account.settle(bound, charge.as_ref());
            }
        }
        drop(state);
        self.post();
    }
}
