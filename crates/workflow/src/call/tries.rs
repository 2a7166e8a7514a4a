//! The retry loop: each attempt is an operation with one try, each wait a durable timer, on every engine alike.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::context::{Asked, Context};
use crate::event::{Note, TimerPurpose};
use crate::op::{Attempt, OpKind, Outcome};
use crate::pattern::saga::{self, Undo, UndoOf};
use crate::policy::{Decision, DelayReason, GiveUp, OnReached, Tried};
use crate::state::Answer;
use crate::{
    Amount, Budget, Charge, Class, Failure, KeyScope, Name, OpId, ParkReason, Payload, Resolution, Spent,
    Step, StepOptions, Timestamp, attempt_key, step_key,
};

/// A step without its types.
#[derive(Clone, Debug)]
pub(crate) struct StepSpec {
    pub(crate) name: Name,
    pub(crate) options: StepOptions,
    /// The step that would undo it.
    pub(crate) undo: Option<Name>,
    /// For a compensation: what it undoes.
    pub(crate) undoes: Option<OpId>,
}

impl StepSpec {
    pub(crate) fn of<S: Step>(step: &S) -> Self {
        Self { name: step.name(), options: step.options(), undo: None, undoes: None }
    }
}

/// A compensation that is registered before the first attempt.
pub(crate) struct Uncertain {
    pub(crate) spec: Box<StepSpec>,
    pub(crate) input: InputOfKey,
}

/// Makes a compensation's input of the step's idempotency key.
type InputOfKey = Box<dyn FnOnce(&str) -> Result<Payload, Failure> + Send>;

/// Runs a step until it succeeds or has failed for good; gives its first operation and its output.
pub(crate) async fn run_step(
    cx: &Context,
    spec: &StepSpec,
    input: Payload,
    uncertain: Option<Uncertain>,
) -> Result<(OpId, Payload), Failure> {
    let mut tries = Tries::begin(cx, spec, input);
    let ended = tries.run(uncertain).await;
    match (tries.first, &ended) {
        (Some(first), Err(_)) if !tries.was_ambiguous => saga::forget(cx, first),
        _ => {}
    }
    let first = tries.first.unwrap_or_else(|| cx.shared().lock().last_op());
    ended.map(|output| (first, output))
}

enum Reaction {
    Again,
    Done(Payload),
}

/// What a step has tried so far.
pub(crate) struct Tries<'a> {
    cx: &'a Context,
    spec: &'a StepSpec,
    input: Payload,
    nth: u32,
    key: Arc<str>,
    since: Timestamp,
    /// Attempts asked for, lost ones too.
    asked: u32,
    lost: u32,
    /// Attempts that a budget refused.
    refused: u32,
    /// Attempts that ended before a person had the step tried again: the policy begins anew, keys and numbers go on.
    forgiven: u32,
    spent: Spent,
    /// What had been spent when a person last let the step go on: its budget begins anew from there.
    granted: Amount,
    /// What persons had added to the run's budget when the step began.
    raised_before: Amount,
    was_ambiguous: bool,
    first: Option<OpId>,
}

impl<'a> Tries<'a> {
    pub(crate) fn begin(cx: &'a Context, spec: &'a StepSpec, input: Payload) -> Self {
        let mut state = cx.shared().lock();
        let nth = state.nth_use(&spec.name);
        let (since, raised_before) = (state.now, state.raised);
        drop(state);
        let key = step_key(&cx.shared().key_base, &spec.name, nth).into();
        Self {
            cx,
            spec,
            input,
            nth,
            key,
            since,
            asked: 0,
            lost: 0,
            refused: 0,
            forgiven: 0,
            spent: Spent::default(),
            granted: Amount::default(),
            raised_before,
            was_ambiguous: false,
            first: None,
        }
    }

    /// Tries until an attempt succeeds or the step has failed for good.
    pub(crate) async fn run(&mut self, mut uncertain: Option<Uncertain>) -> Result<Payload, Failure> {
        loop {
            if let Some(output) = self.pass_budgets().await? {
                return Ok(output);
            }
            let asked = self.ask()?;
            let first = *self.first.get_or_insert(asked.id);
            if let Some(Uncertain { spec, input }) = uncertain.take() {
                let input = input(&self.key)?;
                self.cx.shared().lock().undos.push(Undo {
                    step: first,
                    of: UndoOf::Step,
                    spec: *spec,
                    input,
                });
            }
            let failure = match self.end_of(asked).await? {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            match self.react(failure).await? {
                Reaction::Again => {}
                Reaction::Done(output) => return Ok(output),
            }
        }
    }

    /// Lets the step be tried again after it had failed for good. It is the same step still, so its key stays.
    pub(crate) fn forgive(&mut self) {
        self.since = self.cx.now();
        self.lost = 0;
        self.forgiven = self.asked - self.refused;
        self.spent = Spent::default();
    }

    fn ask(&mut self) -> Result<Asked, Failure> {
        self.asked += 1;
        let options = &self.spec.options;
        let left = self.deadline().since(self.cx.now());
        let key = match options.keys {
            KeyScope::Step => Arc::clone(&self.key),
            KeyScope::Attempt => attempt_key(&self.key, self.asked).into(),
        };
        self.cx.ask(OpKind::Attempt(Box::new(Attempt {
            step: self.spec.name.clone(),
            nth: self.nth,
            attempt: self.asked,
            input: self.input.clone(),
            key,
            timeout: options.timeouts.attempt.min(left),
            heartbeat: options.timeouts.heartbeat,
            queue_timeout: options.timeouts.queue.min(left),
            queue: options.queue.clone(),
            priority: options.priority,
            target: options.target.clone(),
            undo: self.spec.undo.clone(),
            undoes: self.spec.undoes,
            budget: self.budget_left(),
        })))
    }

    /// The step's own budget. What a person adds to the run's while the step is under way, the step may spend as well.
    fn budget(&self) -> Option<Budget> {
        let mut budget = self.spec.options.budget?;
        let raised = self.cx.shared().lock().raised.minus(self.raised_before);
        budget.raise(raised.usd, raised.tokens);
        Some(budget)
    }

    fn budget_left(&self) -> Option<Budget> {
        let budget = self.budget()?;
        let spent = Amount::from(&self.spent).minus(self.granted);
        Some(Budget {
            usd: budget.usd.map(|limit| limit.minus(spent.usd)),
            tokens: budget.tokens.map(|limit| limit.saturating_sub(spent.tokens)),
            ..budget
        })
    }

    fn deadline(&self) -> Timestamp {
        self.since + self.spec.options.timeouts.step
    }

    /// Waits for an attempt's end; the outer error is a cancellation.
    async fn end_of(&mut self, asked: Asked) -> Result<Result<Payload, Failure>, Failure> {
        // One that is cut may have had its effect.
        let answer = asked.await.inspect_err(|_| self.was_ambiguous = true)?;
        let (result, charges) = match answer {
            Answer::Outcome(Outcome::Attempt(result, charges)) => (result, charges),
            _ => (Err(Failure::new(Class::Bug, "engine answered an attempt with something else")), vec![]),
        };
        self.count(&result, &charges);
        Ok(result)
    }

    fn count(&mut self, result: &Result<Payload, Failure>, charges: &[Charge]) {
        self.spent.add_all(charges);
        if let Err(failure) = result {
            self.lost += u32::from(failure.class == Class::Lost);
            self.refused += u32::from(failure.class == Class::Budget);
            self.was_ambiguous |= failure.ambiguous;
        }
    }

    /// Retries after a wait, asks a person, or gives up.
    async fn react(&mut self, failure: Failure) -> Result<Reaction, Failure> {
        match failure.class {
            // A new key would do the work twice, and the old one gets the old answer: a person must look.
            Class::ReplayedFailure => return self.ask_person(ParkReason::ReplayedFailure, failure).await,
            Class::Budget if self.parks_on(&failure) => {
                return self.ask_person(ParkReason::Budget, failure).await;
            }
            _ => {}
        }
        let tried = Tried {
            attempts: self.asked - self.lost - self.refused - self.forgiven,
            lost: self.lost,
            since: self.since,
            cost: self.spent.cost,
            deadline: Some(self.limit()),
        };
        let now = self.cx.now();
        match self.spec.options.retry.decide(&tried, &failure, now, self.seed()) {
            Decision::Retry { delay, because } => {
                self.wait(now + delay, because).await?;
                Ok(Reaction::Again)
            }
            Decision::GiveUp(because) => Err(self.give_up(failure, because)),
        }
    }

    /// The earlier of the step's and the run's deadline. A compensation is not bound by the run's.
    fn limit(&self) -> Timestamp {
        match self.cx.shared().deadline() {
            Some(run) if self.spec.undoes.is_none() => run.min(self.deadline()),
            _ => self.deadline(),
        }
    }

    fn seed(&self) -> u64 {
        let run = self.cx.run_id();
        xxh3_64_with_seed(self.spec.name.as_bytes(), u64::from(self.nth))
            ^ xxh3_64_with_seed(run.as_bytes(), 0)
    }

    async fn wait(&self, until: Timestamp, because: DelayReason) -> Result<(), Failure> {
        if until <= self.cx.now() {
            return Ok(());
        }
        let purpose = TimerPurpose::Retry {
            step: self.spec.name.to_string(),
            nth: self.nth,
            attempt: self.asked + 1,
            of: self.spec.options.retry.attempts.saturating_add(self.lost + self.forgiven),
            because,
        };
        self.cx.timer(until, purpose)?.await.map(drop)
    }

    fn give_up(&self, failure: Failure, because: GiveUp) -> Failure {
        self.cx.shared().lock().note(Note::GaveUp {
            step: self.spec.name.to_string(),
            nth: self.nth,
            attempts: self.asked,
            because,
        });
        Failure { attempts: self.asked, ambiguous: self.was_ambiguous, ..failure }
    }

    /// The gate before every attempt: the step's budget, then the run's. Compensations pass: undoing costs what it costs.
    /// Gives an output if a person says that the step was done by hand.
    async fn pass_budgets(&mut self) -> Result<Option<Payload>, Failure> {
        while let Some(reached) = self.budget_reached().filter(|_| self.spec.undoes.is_none()) {
            let failure = Failure::new(Class::Budget, reached);
            if !self.parks_on_budget() {
                return Err(failure);
            }
            match self.ask_person(ParkReason::Budget, failure).await? {
                Reaction::Again => {}
                Reaction::Done(output) => return Ok(Some(output)),
            }
        }
        Ok(None)
    }

    fn budget_reached(&self) -> Option<String> {
        let spent = Amount::from(&self.spent).minus(self.granted);
        let step = self.budget().and_then(|budget| budget.reached(spent));
        let step = step.map(|what| format!("step {}: {what}", self.spec.name));
        let state = self.cx.shared().lock();
        step.or_else(|| {
            let run = state.budget.and_then(|budget| budget.reached(Amount::from(&state.spent)));
            run.map(|what| format!("run: {what}"))
        })
    }

    /// The budget that refused says so; if it was something else that did, those of step and run say it.
    fn parks_on(&self, failure: &Failure) -> bool {
        failure.on_reached.map_or_else(|| self.parks_on_budget(), |rule| rule == OnReached::Park)
    }

    fn parks_on_budget(&self) -> bool {
        let run = self.cx.shared().lock().budget;
        let budgets = [self.spec.options.budget, run];
        let mut rules = budgets.into_iter().flatten().map(|budget| budget.on_reached);
        rules
            .next()
            .is_some_and(|first| first == OnReached::Park && rules.all(|rule| rule == OnReached::Park))
    }

    async fn ask_person(&mut self, reason: ParkReason, failure: Failure) -> Result<Reaction, Failure> {
        let message = format!("step {}: {failure}", self.spec.name);
        let asked_at = self.cx.now();
        let answer = park(self.cx, &self.spec.name, reason, message).await?;
        // The time that a person takes to answer is not the step's.
        self.since = self.since + self.cx.now().since(asked_at);
        match answer {
            Resolution::Retry => {
                if reason == ParkReason::Budget {
                    self.granted = Amount::from(&self.spent);
                }
                Ok(Reaction::Again)
            }
            Resolution::Done(output) => Ok(Reaction::Done(output)),
            Resolution::Fail => Err(self.give_up(failure, GiveUp::Class)),
        }
    }
}

/// Waits for a person's answer.
pub(crate) async fn park(
    cx: &Context,
    step: &Name,
    reason: ParkReason,
    message: String,
) -> Result<Resolution, Failure> {
    match cx.ask(OpKind::Park { step: step.clone(), reason, message })?.await? {
        Answer::Outcome(Outcome::Resolved(resolution)) => Ok(resolution),
        _ => Err(Failure::new(Class::Bug, "engine answered a parked operation with something else")),
    }
}
