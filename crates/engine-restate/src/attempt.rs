//! One attempt: the step's code under its limits, with every way to end turned into a result.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use midwatch_workflow::{
    Charge, Class, Failure, OpId, Payload, Reporter, Spent, StepContext, StepDefinition, panic_message,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep_until, timeout};

use crate::queue::Permit;

/// What an attempt tells its run.
pub(crate) enum Told {
    /// It ended.
    Ended(OpId, Result<Payload, Failure>, Vec<Charge>),
    /// It has something to report.
    Reported(OpId),
    /// Its turn in its queue has come.
    Admitted(OpId, Permit),
    /// It has waited too long for its turn.
    NotAdmitted(OpId),
}

/// How long an attempt may take, and stay silent.
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
    let mut result = match timeout(limits.timeout, watched(body, limits.heartbeat, &reports)).await {
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

/// Heartbeats closer together than this are kept in memory only; the newest of them may be lost with the process.
const BEAT_SPACING: Duration = Duration::from_millis(500);

/// What an attempt reports while it runs.
pub(crate) struct Reports {
    op: OpId,
    run: UnboundedSender<Told>,
    state: Mutex<State>,
}

struct State {
    sign: Instant,
    beaten: Option<Instant>,
    progress: Option<Payload>,
    /// Whether `progress` is newer than what the run was told.
    is_unsaid: bool,
    /// `None` where a bound was released.
    charges: Vec<Option<Charge>>,
    /// At most one report is on its way to the run; newer ones replace it.
    is_posted: bool,
    is_closed: bool,
}

impl Reports {
    pub(crate) fn new(op: OpId, run: UnboundedSender<Told>) -> Arc<Self> {
        let state = State {
            sign: Instant::now(),
            beaten: None,
            progress: None,
            is_unsaid: false,
            charges: Vec::new(),
            is_posted: false,
            is_closed: false,
        };
        Arc::new(Self { op, run, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_sign(&self) -> Instant {
        self.lock().sign
    }

    /// What was reported last, for the journal.
    pub(crate) fn take(&self) -> Option<(Payload, Vec<Charge>)> {
        let mut state = self.lock();
        state.is_posted = false;
        if state.is_closed {
            return None;
        }
        state.is_unsaid = false;
        let progress = state.progress.clone().unwrap_or_else(Payload::null);
        Some((progress, state.charges.iter().flatten().cloned().collect()))
    }

    /// Ends reporting and gives all charges. A bound that nobody settled is what the call took, as far as anybody knows.
    pub(crate) fn close(&self) -> Vec<Charge> {
        let mut state = self.lock();
        state.is_closed = true;
        std::mem::take(&mut state.charges).into_iter().flatten().collect()
    }

    /// The last word of progress, if the run was not told of it.
    pub(crate) fn unsaid(&self) -> Option<Payload> {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_unsaid) { state.progress.take() } else { None }
    }

    /// Has the run come for what there is to report.
    fn post(&self, mut state: MutexGuard<'_, State>) {
        if !std::mem::replace(&mut state.is_posted, true) {
            // A run that is gone takes no reports, and needs none.
            let _ = self.run.send(Told::Reported(self.op));
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
        let is_due = state.beaten.is_none_or(|beaten| beaten + BEAT_SPACING <= now);
        if is_due && !state.is_closed {
            state.beaten = Some(now);
            self.post(state);
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
        state.charges.push(Some(charge));
        self.post(state);
    }

    fn spent(&self) -> Spent {
        let mut spent = Spent::default();
        self.lock().charges.iter().flatten().for_each(|charge| spent.add(charge));
        spent
    }

    fn reserve(&self, bound: Charge) -> BoxFuture<'_, Result<usize, Failure>> {
        let mut state = self.lock();
        state.sign = Instant::now();
        state.charges.push(Some(bound));
        let place = state.charges.len() - 1;
        self.post(state);
        Box::pin(std::future::ready(Ok(place)))
    }

    fn settle(&self, place: usize, charge: Option<Charge>) {
        let mut state = self.lock();
        state.sign = Instant::now();
        if state.is_closed {
            return;
        }
        if let Some(booked) = state.charges.get_mut(place) {
            *booked = charge;
        }
        self.post(state);
    }
}
