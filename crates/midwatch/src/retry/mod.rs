//! Retries without an engine: the policy that steps use, around any function.

mod clock;
mod exhausted;
mod meter;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use midwatch_workflow::{
    Charge, Class, Decision, DelayReason, Failure, GiveUp, Money, Retried, RetryPolicy, Spent, Timestamp,
    Tried,
};

pub use clock::{Clock, SystemClock, VirtualClock};
pub use exhausted::{Exhausted, StoppedBy};
pub use meter::Meter;

/// The page for users of Tenacity; its code is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/coming-from-tenacity.md")]
struct ComingFromTenacity;

/// Retries whatever it is given by a policy.
///
/// ```
/// use midwatch::{Class, Failure, RetryPolicy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), midwatch::retry::Exhausted> {
/// # let clock = midwatch::retry::VirtualClock::default();
/// let answer = midwatch::retry(RetryPolicy::default())
/// #   .clock(clock)
///     .run(|attempt| async move {
///         if attempt.number() < 3 {
///             return Err(Failure::new(Class::RateLimited, "asked to slow down"));
///         }
///         Ok("third time lucky")
///     })
///     .await?;
/// assert_eq!(answer, "third time lucky");
/// # Ok(())
/// # }
/// ```
pub fn retry(policy: RetryPolicy) -> Retry {
    Retry {
        policy,
        budget: None,
        hooks: Hooks::default(),
        clock: Arc::new(SystemClock::default()),
        seed: RandomState::new().build_hasher().finish(),
    }
}

/// Retries by a policy; made by [`retry()`].
///
/// It can be used again: each run begins anew, and only a [`Meter`] goes on counting.
#[must_use = "nothing is tried until it runs"]
#[derive(Clone)]
pub struct Retry {
    policy: RetryPolicy,
    budget: Option<(Meter, Money)>,
    hooks: Hooks,
    clock: Arc<dyn Clock>,
    seed: u64,
}

type Before = dyn Fn(&Attempt) + Send + Sync;
type After = dyn Fn(&Attempt, Option<&Failure>) + Send + Sync;
type BeforeSleep = dyn Fn(&Pause) + Send + Sync;
type RetryIf = dyn Fn(&Failure) -> Option<Retried> + Send + Sync;
type StopWhen = dyn Fn(&Attempt, Duration) -> bool + Send + Sync;

#[derive(Clone, Default)]
struct Hooks {
    before: Option<Arc<Before>>,
    after: Option<Arc<After>>,
    before_sleep: Option<Arc<BeforeSleep>>,
    retry_if: Option<Arc<RetryIf>>,
    stop_when: Option<Arc<StopWhen>>,
}

/// One attempt, as the function that makes it knows it.
#[derive(Clone, Debug)]
pub struct Attempt {
    number: u32,
    meter: Meter,
}

impl Attempt {
    /// Which attempt this is, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Books what was spent; it counts whether the attempt succeeds or not.
    pub fn charge(&self, charge: Charge) {
        self.meter.charge(&charge);
    }

    /// What has been spent so far on the meter.
    pub fn spent(&self) -> Spent {
        self.meter.spent()
    }
}

/// A wait between two attempts.
#[derive(Clone, Debug)]
pub struct Pause {
    /// The attempt that failed, from 1.
    pub attempt: u32,
    /// What it failed with.
    pub failure: Failure,
    /// How long the wait is.
    pub delay: Duration,
    /// Why so long.
    pub because: DelayReason,
}

impl Retry {
    /// Stops as soon as what `meter` has counted reaches `usd`: before the first attempt too, so that many calls share one
    /// budget. Whatever attempts book and whatever failures carry is counted, failed attempts as well as successful ones.
    pub fn budget(self, meter: &Meter, usd: Money) -> Self {
        Self { budget: Some((meter.clone(), usd)), ..self }
    }

    /// Is called before every attempt.
    pub fn before(mut self, hook: impl Fn(&Attempt) + Send + Sync + 'static) -> Self {
        self.hooks.before = Some(Arc::new(hook));
        self
    }

    /// Is called after every attempt, with its failure if it failed.
    pub fn after(mut self, hook: impl Fn(&Attempt, Option<&Failure>) + Send + Sync + 'static) -> Self {
        self.hooks.after = Some(Arc::new(hook));
        self
    }

    /// Is called before every wait.
    pub fn before_sleep(mut self, hook: impl Fn(&Pause) + Send + Sync + 'static) -> Self {
        self.hooks.before_sleep = Some(Arc::new(hook));
        self
    }

    /// Decides whether a failure is retried where the class does not tell; `None` leaves it to the policy. The policy's
    /// stops hold in any case.
    pub fn retry_if(mut self, decide: impl Fn(&Failure) -> Option<Retried> + Send + Sync + 'static) -> Self {
        self.hooks.retry_if = Some(Arc::new(decide));
        self
    }

    /// Stops after a failed attempt when this says so of the attempt and the time since the first one began: because the
    /// process shuts down, or by a rule that the policy does not have.
    pub fn stop_when(mut self, stop: impl Fn(&Attempt, Duration) -> bool + Send + Sync + 'static) -> Self {
        self.hooks.stop_when = Some(Arc::new(stop));
        self
    }

    /// Tells the time and waits by another clock, e.g. a [`VirtualClock`] in tests.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Draws jitter from this seed, so that the same waits come out again.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Tries until it succeeds or there is reason to stop. Errors of your own pass with `?` if they turn into a
    /// [`Failure`]; to try again for what is no error, return a failure.
    ///
    /// Within a step leave retrying to the step: retries inside retries multiply.
    ///
    /// # Errors
    /// [`Exhausted`], with the last failure as its source.
    pub async fn run<T, F, Fut>(&self, mut attempt: F) -> Result<T, Exhausted>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut loop_ = Loop::begin(self);
        loop {
            let this = loop_.next()?;
            match loop_.judge(this.clone(), attempt(this).await)? {
                Next::Done(output) => return Ok(output),
                Next::After(delay) => self.clock.sleep(delay).await,
            }
        }
    }

    /// The same for a function that blocks; waits block the thread.
    ///
    /// # Errors
    /// [`Exhausted`], with the last failure as its source.
    pub fn run_blocking<T, F>(&self, mut attempt: F) -> Result<T, Exhausted>
    where
        F: FnMut(Attempt) -> Result<T, Failure>,
    {
        let mut loop_ = Loop::begin(self);
        loop {
            let this = loop_.next()?;
            match loop_.judge(this.clone(), attempt(this))? {
                Next::Done(output) => return Ok(output),
                Next::After(delay) => self.clock.sleep_blocking(delay),
            }
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// What follows an attempt.
enum Next<T> {
    Done(T),
    After(Duration),
}

/// The decisions of one run, the same for both ways of waiting.
struct Loop<'a> {
    retry: &'a Retry,
    meter: Meter,
    /// What others had spent on the meter before.
    before: Spent,
    since: Timestamp,
    attempts: u32,
    lost: u32,
    last: Option<Failure>,
}

impl<'a> Loop<'a> {
    fn begin(retry: &'a Retry) -> Self {
        let meter = retry.budget.as_ref().map_or_else(Meter::default, |(meter, _)| meter.clone());
        let before = meter.spent();
        Self { retry, meter, before, since: retry.clock.now(), attempts: 0, lost: 0, last: None }
    }

    /// Passes the gate before an attempt.
    fn next(&mut self) -> Result<Attempt, Exhausted> {
        if let Some((meter, limit)) = &self.retry.budget {
            let spent = meter.spent().cost;
            if spent >= *limit {
                let message = format!("{spent} of {limit} are spent");
                let last = self.last.take().unwrap_or_else(|| Failure::new(Class::Budget, message));
                return Err(self.exhausted(last, StoppedBy::Budget));
            }
        }
        self.attempts += 1;
        let attempt = Attempt { number: self.attempts, meter: self.meter.clone() };
        if let Some(before) = &self.retry.hooks.before {
            before(&attempt);
        }
        Ok(attempt)
    }

    fn judge<T>(&mut self, attempt: Attempt, result: Result<T, Failure>) -> Result<Next<T>, Exhausted> {
        if let Err(failure) = &result {
            failure.charges.iter().for_each(|charge| self.meter.charge(charge));
        }
        if let Some(after) = &self.retry.hooks.after {
            after(&attempt, result.as_ref().err());
        }
        match result {
            Ok(output) => Ok(Next::Done(output)),
            Err(failure) => self.react(&attempt, failure),
        }
    }

    fn react<T>(&mut self, attempt: &Attempt, failure: Failure) -> Result<Next<T>, Exhausted> {
        let hooks = &self.retry.hooks;
        self.lost += u32::from(failure.class == Class::Lost);
        let elapsed = self.retry.clock.now().since(self.since);
        if hooks.stop_when.as_ref().is_some_and(|stop| stop(attempt, elapsed)) {
            return Err(self.exhausted(failure, StoppedBy::Caller));
        }
        match self.decide(&failure) {
            Decision::GiveUp(why) => Err(self.exhausted(failure, StoppedBy::Policy(why))),
            Decision::Retry { delay, because } => {
                if let Some(before_sleep) = &hooks.before_sleep {
                    before_sleep(&Pause { attempt: self.attempts, failure: failure.clone(), delay, because });
                }
                self.last = Some(failure);
                Ok(Next::After(delay))
            }
        }
    }

    fn decide(&self, failure: &Failure) -> Decision {
        let tried = Tried {
            attempts: self.attempts - self.lost,
            lost: self.lost,
            since: self.since,
            cost: self.spent().cost,
            deadline: None,
        };
        let (policy, now, seed) = (&self.retry.policy, self.retry.clock.now(), self.retry.seed);
        match self.retry.hooks.retry_if.as_ref().and_then(|decide| decide(failure)) {
            Some(Retried::No) => Decision::GiveUp(GiveUp::Class),
            Some(Retried::Yes) => {
                policy.clone().class(failure.class, Retried::Yes).decide(&tried, failure, now, seed)
            }
            None => policy.decide(&tried, failure, now, seed),
        }
    }

    /// What this run spent. Others who use the same meter at the same time are counted in.
    fn spent(&self) -> Spent {
        meter::difference(&self.meter.spent(), &self.before)
    }

    fn exhausted(&self, last: Failure, stopped_by: StoppedBy) -> Exhausted {
        let elapsed = self.retry.clock.now().since(self.since);
        Exhausted { attempts: self.attempts, elapsed, spent: self.spent(), stopped_by, last: Box::new(last) }
    }
}
