//! One attempt: the step's code under its limits, with every way to end turned into a result.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use midwatch_workflow::{
    Charge, Class, Failure, Headroom, OpId, Payload, Reporter, Spent, StepContext, StepDefinition,
    panic_message,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::budget::Account;
use crate::gate::TargetGate;
use crate::run::{Input, Reply};

/// What runs an attempt, apart from the step's own code.
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) heartbeat: Option<Duration>,
}

/// Runs one attempt to its end.
pub(crate) async fn run(
    step: StepDefinition,
    cx: StepContext,
    input: Payload,
    limits: Limits,
    reports: Arc<Reports>,
) -> (Result<Payload, Failure>, Vec<Charge>) {
    let body = AssertUnwindSafe(async { step.run(cx, input).await }).catch_unwind();
    let limited = timeout(limits.timeout, watched(body, limits.heartbeat, &reports));
    let mut result = match limited.await {
        Ok(Ok(Ok(result))) => result,
        Ok(Ok(Err(panic))) => {
            Err(Failure::new(Class::Bug, format!("panicked: {}", panic_message(&*panic))).ambiguous())
        }
        Ok(Err(stalled)) => Err(stalled),
        Err(_) => {
            let message = format!("no answer within {:?}", limits.timeout);
            Err(Failure::new(Class::Timeout, message).ambiguous())
        }
    };
    let mut charges = reports.close();
    if let Err(failure) = &mut result {
        reports.count(&failure.charges);
        charges.append(&mut failure.charges);
    }
    (result, charges)
}

/// Lets a future run as long as heartbeats come.
async fn watched<F: Future>(
    body: F,
    limit: Option<Duration>,
    reports: &Reports,
) -> Result<F::Output, Failure> {
    let Some(limit) = limit else { return Ok(body.await) };
    let mut body = std::pin::pin!(body);
    loop {
        let due = reports.last_sign() + limit;
        tokio::select! {
            biased;
            output = &mut body => return Ok(output),
            () = sleep_until(due) => {
                if reports.last_sign() + limit <= Instant::now() {
                    let message = format!("no heartbeat for {limit:?}");
                    return Err(Failure::new(Class::Stalled, message).ambiguous());
                }
            }
        }
    }
}

/// What an attempt reports while it runs.
pub(crate) struct Reports {
    op: OpId,
    run: UnboundedSender<Input>,
    /// Where what the target says of its limits goes.
    gate: Option<Arc<TargetGate>>,
    /// What the attempt draws on, if any budget concerns it.
    account: Option<Arc<Account>>,
    /// At most one report is on its way to the run; newer ones replace it.
    is_posted: AtomicBool,
    state: Mutex<ReportState>,
}

struct ReportState {
    sign: Instant,
    posted: Option<Instant>,
    progress: Option<Payload>,
    /// Whether `progress` is newer than what the run was told.
    is_unsaid: bool,
    /// `None` where a bound was released.
    charges: Vec<Option<Charge>>,
    /// The places of bounds that nobody settled yet.
    open: Vec<usize>,
    /// Answered when what is reported now is durable.
    replies: Vec<Reply>,
    is_closed: bool,
}

/// What an attempt reported last.
pub(crate) struct Report {
    pub(crate) progress: Payload,
    pub(crate) charges: Vec<Charge>,
    /// Answered when it is durable.
    pub(crate) replies: Vec<Reply>,
}

/// Heartbeats closer together than this are kept in memory only; the newest of them may be lost with the process.
const BEAT_SPACING: Duration = Duration::from_millis(500);

impl Reports {
    pub(crate) fn new(
        op: OpId,
        run: UnboundedSender<Input>,
        gate: Option<Arc<TargetGate>>,
        account: Option<Arc<Account>>,
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
        Arc::new(Self { op, run, gate, account, is_posted: AtomicBool::new(false), state: Mutex::new(state) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ReportState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_sign(&self) -> Instant {
        self.lock().sign
    }

    /// What was reported last, for the journal.
    pub(crate) fn take(&self) -> Option<Report> {
        self.is_posted.store(false, Ordering::Release);
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        state.is_unsaid = false;
        Some(Report {
            progress: state.progress.clone().unwrap_or_else(Payload::null),
            charges: state.charges.iter().flatten().cloned().collect(),
            replies: std::mem::take(&mut state.replies),
        })
    }

    /// Ends reporting and gives all charges. Whatever the step's code still reports comes too late.
    pub(crate) fn close(&self) -> Vec<Charge> {
        let mut state = self.lock();
        state.is_closed = true;
        let open = std::mem::take(&mut state.open);
        let charges = std::mem::take(&mut state.charges);
        drop(state);
        if let Some(account) = &self.account {
            // A bound that nobody settled is what the call took, as far as anybody will ever know.
            let left = open.iter().filter_map(|place| charges.get(*place)?.as_ref());
            left.for_each(|bound| account.settle(bound, Some(bound)));
        }
        charges.into_iter().flatten().collect()
    }

    /// Counts charges that came with a failure towards the budgets.
    fn count(&self, charges: &[Charge]) {
        if let Some(account) = &self.account {
            charges.iter().for_each(|charge| account.spend(charge));
        }
    }

    /// The last word of progress, if the run was not told of it.
    pub(crate) fn unsaid(&self) -> Option<Payload> {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_unsaid) { state.progress.take() } else { None }
    }

    fn post(&self) {
        if !self.is_posted.swap(true, Ordering::AcqRel) {
            // A run that is gone takes no reports, and needs none.
            let _ = self.run.send(Input::Reported(self.op));
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
                state.open.push(place);
                place
            };
            self.post();
            // If the journal fails, the run stops here: without its record the call must not be made.
            if !matches!(durable.await, Ok(Ok(()))) {
                std::future::pending::<()>().await;
            }
            Ok(place)
        })
    }

    fn settle(&self, place: usize, charge: Option<Charge>) {
        let mut state = self.lock();
        state.sign = Instant::now();
        if state.is_closed {
            return;
        }
        if let Some(booked) = state.charges.get_mut(place) {
            let bound = std::mem::replace(booked, charge.clone());
            let is_open = state.open.iter().position(|open| *open == place);
            if let (Some(account), Some(at), Some(bound)) = (&self.account, is_open, &bound) {
                state.open.swap_remove(at);
                account.settle(bound, charge.as_ref());
            }
        }
        drop(state);
        self.post();
    }
}
