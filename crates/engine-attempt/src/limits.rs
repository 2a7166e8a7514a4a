//! The limits of an attempt, with every way to end turned into a result.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use midwatch_workflow::{
    Attempt, Charge, Class, Failure, Payload, StepContext, StepDefinition, panic_message,
};
use tokio::time::{Instant, sleep_until, timeout};

use crate::reports::Reports;

/// How long an attempt may take, and stay silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How long it may take.
    pub timeout: Duration,
    /// How long it may go without a sign of life, if it must give any.
    pub heartbeat: Option<Duration>,
}

impl From<&Attempt> for Limits {
    fn from(attempt: &Attempt) -> Self {
        Self { timeout: attempt.timeout, heartbeat: attempt.heartbeat }
    }
}

/// Runs one attempt at a step to its end, and gives all that it spent. Whatever its code reports after that is too late.
pub async fn make(
    step: StepDefinition,
    cx: StepContext,
    input: Payload,
    limits: Limits,
    reports: Arc<Reports>,
) -> (Result<Payload, Failure>, Vec<Charge>) {
    let body = async { step.run(cx, input).await };
    let mut result = run(limits, || reports.last_sign(), body).await;
    let charges = reports.end(&mut result);
    (result, charges)
}

/// Lets an attempt's code run within its limits. What is cut by them, or panics, may have had its effect.
///
/// # Errors
/// The code's own failure; class `timeout`, `stalled` or, of a panic, `bug`.
pub async fn run(
    limits: Limits,
    last_sign: impl Fn() -> Instant,
    body: impl Future<Output = Result<Payload, Failure>>,
) -> Result<Payload, Failure> {
    let body = AssertUnwindSafe(body).catch_unwind();
    match timeout(limits.timeout, watched(body, limits.heartbeat, last_sign)).await {
        Ok(Ok(Ok(result))) => result,
        Ok(Ok(Err(panic))) => {
            Err(Failure::new(Class::Bug, format!("panicked: {}", panic_message(&*panic))).ambiguous())
        }
        Ok(Err(stalled)) => Err(stalled),
        Err(_) => {
            let message = format!("no answer within {:?}", limits.timeout);
            Err(Failure::new(Class::Timeout, message).ambiguous())
        }
    }
}

/// Lets a future run as long as signs of life come.
async fn watched<F: Future>(
    body: F,
    limit: Option<Duration>,
    last_sign: impl Fn() -> Instant,
) -> Result<F::Output, Failure> {
    let Some(limit) = limit else { return Ok(body.await) };
    let mut body = std::pin::pin!(body);
    loop {
        let due = last_sign() + limit;
        tokio::select! {
            biased;
            output = &mut body => return Ok(output),
            () = sleep_until(due) => {
                if last_sign() + limit <= Instant::now() {
                    let message = format!("no heartbeat for {limit:?}");
                    return Err(Failure::new(Class::Stalled, message).ambiguous());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn class_of(
        limits: Limits,
        body: impl Future<Output = Result<Payload, Failure>>,
    ) -> Option<(Class, bool)> {
        let begun = Instant::now();
        let ended = run(limits, || begun, body).await;
        ended.err().map(|failure| (failure.class, failure.ambiguous))
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_cut_or_panics_may_have_had_its_effect_and_one_that_fails_says_so_itself() {
        let limits = Limits { timeout: 5 * SECOND, heartbeat: None };
        let watched = Limits { heartbeat: Some(SECOND), ..limits };
        assert_eq!(class_of(limits, std::future::pending()).await, Some((Class::Timeout, true)));
        assert_eq!(class_of(watched, std::future::pending()).await, Some((Class::Stalled, true)));
        assert_eq!(class_of(limits, async { panic!("no") }).await, Some((Class::Bug, true)));
        let fails = async { Err(Failure::new(Class::Server, "down")) };
        assert_eq!(class_of(limits, fails).await, Some((Class::Server, false)));
        assert_eq!(class_of(limits, async { Ok(Payload::null()) }).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_put_off_the_limit_of_silence() {
        let sign = Mutex::new(Instant::now());
        let body = async {
            for _ in 0..4 {
                tokio::time::sleep(SECOND * 3 / 4).await;
                *sign.lock().unwrap() = Instant::now();
            }
            Ok(Payload::null())
        };
        let limits = Limits { timeout: 60 * SECOND, heartbeat: Some(SECOND) };
        assert!(run(limits, || *sign.lock().unwrap(), body).await.is_ok());
    }
}
