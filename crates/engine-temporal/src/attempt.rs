//! One attempt: the step's code under its limits, with native heartbeats, and every way to end turned into a report.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use midwatch_workflow::{
    Charge, Class, Failure, Payload, Reporter, Spent, StepDefinition, Timestamp, panic_message,
};
use temporalio_sdk::activities::ActivityContext;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::wire::{BYTES_MAX, Beat, Call, LastWord, Report, arguments, raw_of};

/// Heartbeats closer together than this become one event, the last of them.
const BEAT_SPACING: Duration = Duration::from_millis(500);

/// An attempt keeps at most so many signs of progress for the journal, the newest ones.
const BEATS_MAX: usize = 500;

/// How an attempt ended.
pub(crate) enum End {
    /// By itself, or by its limits.
    Over(Report),
    /// It was told to stop.
    Cancelled(Report),
}

/// Runs one attempt to its end, and tells the server at least every `beat` that it is alive.
pub(crate) async fn run(
    step: StepDefinition,
    call: Call,
    input: Payload,
    native: ActivityContext,
    beat: Duration,
) -> End {
    let reports = Arc::new(Reports::default());
    let cx = call.context(Arc::clone(&reports) as _);
    let body = AssertUnwindSafe(async { step.run(cx, input).await }).catch_unwind();
    let limit = call.timeout();
    let limited = timeout(limit, watched(body, call.heartbeat(), &reports));
    let result = tokio::select! {
        biased;
        result = limited => result,
        never = beats(&native, &reports, beat) => match never {},
        () = native.cancelled() => {
            let failure = Failure::new(Class::Cancelled, "told to stop").ambiguous();
            return End::Cancelled(reports.close(Err(failure)));
        }
    };
    let result = match result {
        Ok(Ok(Ok(result))) => result,
        Ok(Ok(Err(panic))) => {
            Err(Failure::new(Class::Bug, format!("panicked: {}", panic_message(&*panic))).ambiguous())
        }
        Ok(Err(stalled)) => Err(stalled),
        Err(_) => Err(Failure::new(Class::Timeout, format!("no answer within {limit:?}")).ambiguous()),
    };
    End::Over(reports.close(result.and_then(small_enough)))
}

fn small_enough(output: Payload) -> Result<Payload, Failure> {
    let bytes = output.as_str().len();
    if bytes <= BYTES_MAX {
        return Ok(output);
    }
    let message = format!("payload of {bytes} bytes is over Temporal's limit of {BYTES_MAX} bytes");
    Err(Failure::new(Class::InvalidRequest, message))
}

/// Lets a future run as long as the step's own heartbeats come.
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

/// Sends native heartbeats: at once when there is something to say, and else to show that the worker lives.
async fn beats(native: &ActivityContext, reports: &Reports, every: Duration) -> std::convert::Infallible {
    loop {
        let word = reports.last_word();
        if let Err(error) = native.record_heartbeat(arguments([raw_of(&word)])).await {
            tracing::warn!(%error, "heartbeat could not be sent");
        }
        let _ = timeout(every, reports.said.notified()).await;
    }
}

/// What an attempt reports while it runs.
struct Reports {
    said: Notify,
    state: Mutex<State>,
}

struct State {
    sign: Instant,
    progress: Option<Payload>,
    beats: Vec<Beat>,
    /// When the last of `beats` was taken.
    beat: Option<Instant>,
    /// A sign of progress that came too soon after the last of `beats`.
    unsaid: Option<Beat>,
    /// `None` where a bound was released.
    charges: Vec<Option<Charge>>,
    is_closed: bool,
}

impl Default for Reports {
    fn default() -> Self {
        let state = State {
            sign: Instant::now(),
            progress: None,
            beats: Vec::new(),
            beat: None,
            unsaid: None,
            charges: Vec::new(),
            is_closed: false,
        };
        Self { said: Notify::new(), state: Mutex::new(state) }
    }
}

impl Reports {
    /// No foreign code runs under this lock, so a poisoned one still holds a whole state.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_sign(&self) -> Instant {
        self.lock().sign
    }

    fn last_word(&self) -> LastWord {
        let state = self.lock();
        LastWord { progress: state.progress.clone(), charges: state.charges() }
    }

    /// Ends reporting. Whatever the step's code still reports comes too late.
    fn close(&self, result: Result<Payload, Failure>) -> Report {
        let mut state = self.lock();
        state.is_closed = true;
        let mut charges = state.charges();
        let mut result = result;
        if let Err(failure) = &mut result {
            charges.append(&mut failure.charges);
            // A failed attempt leaves its last word of progress to the next one.
            let unsaid = state.unsaid.take();
            state.beats.extend(unsaid);
        }
        Report { ended: result.into(), charges, beats: std::mem::take(&mut state.beats) }
    }
}

impl State {
    fn charges(&self) -> Vec<Charge> {
        self.charges.iter().flatten().cloned().collect()
    }
}

impl Reporter for Reports {
    fn heartbeat(&self, progress: Payload) {
        let mut state = self.lock();
        let now = Instant::now();
        state.sign = now;
        state.progress = Some(progress.clone());
        let beat = Beat { at: wall_clock(), progress, charges: state.charges() };
        if state.beat.is_none_or(|last| last + BEAT_SPACING <= now) {
            state.beat = Some(now);
            state.unsaid = None;
            if state.beats.len() >= BEATS_MAX {
                state.beats.remove(0);
            }
            state.beats.push(beat);
        } else {
            state.unsaid = Some(beat);
        }
        drop(state);
        self.said.notify_one();
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
        drop(state);
        self.said.notify_one();
    }

    fn spent(&self) -> Spent {
        let mut spent = Spent::default();
        self.lock().charges.iter().flatten().for_each(|charge| spent.add(charge));
        spent
    }

    /// The bound leaves with the next heartbeat; the server does not say when it has it.
    fn reserve(&self, bound: Charge) -> futures_util::future::BoxFuture<'_, Result<usize, Failure>> {
        let mut state = self.lock();
        state.sign = Instant::now();
        state.charges.push(Some(bound));
        let place = state.charges.len() - 1;
        drop(state);
        self.said.notify_one();
        Box::pin(std::future::ready(Ok(place)))
    }

    fn settle(&self, place: usize, charge: Option<Charge>) {
        let mut state = self.lock();
        state.sign = Instant::now();
        if !state.is_closed
            && let Some(booked) = state.charges.get_mut(place)
        {
            *booked = charge;
        }
        drop(state);
        self.said.notify_one();
    }
}

fn wall_clock() -> Timestamp {
    crate::time::timestamp(SystemTime::now())
}
