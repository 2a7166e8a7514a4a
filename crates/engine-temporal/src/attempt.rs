//! One attempt: its places, the step's code under its limits, native heartbeats, and every way to end turned into a report.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use midwatch_engine_attempt::{Admissions, Limits, Reports, RunAccount, run};
use midwatch_workflow::{Charge, Class, Failure, Payload, Reporter as _, RunId, StepDefinition};
use temporalio_sdk::activities::ActivityContext;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::wire::{BYTES_MAX, Beat, Call, LastWord, Report, arguments, raw_of};

/// An attempt keeps at most so many signs of progress for the journal, the newest ones.
const BEATS_MAX: usize = 500;

/// How an attempt ended.
pub(crate) enum End {
    /// By itself, or by its limits.
    Over(Report),
    /// It was told to stop.
    Cancelled(Report),
}

/// What all attempts of a worker share.
pub(crate) struct Grounds {
    pub(crate) admissions: Admissions,
    /// The longest silence between native heartbeats.
    pub(crate) beat: Duration,
    /// Accounts of runs that have attempts under way here, so that those share what is left.
    pub(crate) accounts: Mutex<HashMap<RunId, Weak<RunAccount>>>,
}

/// Runs one attempt to its end, and tells the server all the while that it is alive.
pub(crate) async fn make(
    grounds: &Grounds,
    step: &StepDefinition,
    call: Call,
    input: Payload,
    native: ActivityContext,
) -> End {
    let account = grounds.account(&call);
    let news = Arc::new(Notify::new());
    let post = {
        let news = Arc::clone(&news);
        move || news.notify_one()
    };
    let gate = grounds.admissions.gate(call.target.as_ref());
    let reports = Reports::new(gate, account.clone(), post);
    let said = Mutex::default();
    let made = async {
        let places = grounds.admissions.admit(call.wish(), call.queue_timeout()).await?;
        if let Some(failure) = account.as_ref().and_then(|account| account.reached()) {
            return Err(failure);
        }
        let cx = call.context(Arc::clone(&reports) as _);
        let limits = Limits { timeout: call.timeout(), heartbeat: call.heartbeat() };
        // The wait for its places was no silence of its own.
        reports.alive();
        let result = run(limits, || reports.last_sign(), async { step.run(cx, input).await }).await;
        if let Some(pass) = places.pass {
            pass.ended(&result, &reports.charges());
        }
        result.and_then(small_enough)
    };
    tokio::select! {
        biased;
        result = made => End::Over(close(&reports, said, result)),
        never = beats(&native, &reports, &news, grounds.beat, &said) => match never {},
        () = native.cancelled() => {
            let failure = Failure::new(Class::Cancelled, "told to stop").ambiguous();
            End::Cancelled(close(&reports, said, Err(failure)))
        }
    }
}

impl Grounds {
    fn account(&self, call: &Call) -> Option<Arc<midwatch_engine_attempt::Account>> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = accounts.get(&call.run).and_then(Weak::upgrade);
        let run = match known {
            Some(run) => run,
            None => {
                let run = self.admissions.account(&call.info(), call.own, call.budget.as_ref())?;
                accounts.retain(|_, run| run.strong_count() > 0);
                accounts.insert(call.run, Arc::downgrade(&run));
                run
            }
        };
        Some(run.attempt(&call.step, call.budget, call.is_undoing))
    }
}

/// Ends reporting. Whatever the step's code still reports comes too late.
fn close(reports: &Reports, said: Mutex<Vec<Beat>>, mut result: Result<Payload, Failure>) -> Report {
    let charges = reports.end(&mut result);
    let mut beats = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A failed attempt leaves its last word of progress to the next one.
    if let Some(progress) = reports.unsaid().filter(|_| result.is_err()) {
        keep(&mut beats, progress, &charges);
    }
    Report { ended: result.into(), charges, beats }
}

fn keep(beats: &mut Vec<Beat>, progress: Payload, charges: &[Charge]) {
    if beats.len() >= BEATS_MAX {
        beats.remove(0);
    }
    beats.push(Beat { at: crate::time::timestamp(SystemTime::now()), progress, charges: charges.to_vec() });
}

fn small_enough(output: Payload) -> Result<Payload, Failure> {
    let bytes = output.as_str().len();
    if bytes <= BYTES_MAX {
        return Ok(output);
    }
    let message = format!("payload of {bytes} bytes is over Temporal's limit of {BYTES_MAX} bytes");
    Err(Failure::new(Class::InvalidRequest, message))
}

/// Sends native heartbeats: at once when there is something to say, and else to show that the worker lives. A reservation
/// goes out with the next one; the server does not say when it has it.
async fn beats(
    native: &ActivityContext,
    reports: &Reports,
    news: &Notify,
    every: Duration,
    said: &Mutex<Vec<Beat>>,
) -> Infallible {
    let mut word = LastWord::default();
    loop {
        let mut told = Vec::new();
        if let Some(report) = reports.take() {
            word.charges = report.charges;
            if report.is_progress {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                keep(&mut said, report.progress.clone(), &word.charges);
                word.progress = Some(report.progress);
            }
            told = report.replies;
        }
        if let Err(error) = native.record_heartbeat(arguments([raw_of(&word)])).await {
            tracing::warn!(%error, "heartbeat could not be sent");
        }
        for durable in told {
            let _ = durable.send(());
        }
        let _ = timeout(every, news.notified()).await;
    }
}
