//! The world outside the engine: receivers that honour idempotency keys, and what they saw.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use midwatch_journal::Journal;
use midwatch_journal::story::lost_attempts;
use midwatch_workflow::{Class, Failure, StepContext, StepDefinition, step_fn};
use serde_json::Value;

/// Outlives every crash of an engine. Clones share it.
#[derive(Clone, Default)]
pub struct World(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    journal: OnceLock<Arc<dyn Journal>>,
}

#[derive(Default)]
struct State {
    effects: Vec<String>,
    keys: HashSet<(String, String)>,
    repeats: usize,
    at_once: usize,
    at_once_max: usize,
    mended: bool,
}

impl World {
    /// Where attempts that were lost are counted.
    pub(crate) fn know(&self, journal: Arc<dyn Journal>) {
        let _ = self.0.journal.set(journal);
    }

    /// Makes a step that runs in this world.
    pub fn step<F, Fut>(&self, name: &'static str, attempt: F) -> StepDefinition
    where
        F: Fn(Turn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, Failure>> + Send,
    {
        let world = self.clone();
        StepDefinition::of(step_fn(name, move |cx: StepContext, input: Value| {
            let number = cx.attempt() - world.lost(&cx).min(cx.attempt() - 1);
            attempt(Turn { cx, input, number, world: world.clone() })
        }))
    }

    /// Makes a step that has one effect, named after its input, and gives its input back.
    pub fn effect_step(&self, name: &'static str) -> StepDefinition {
        self.step(name, |turn| async move {
            turn.effect();
            Ok(turn.input)
        })
    }

    /// Makes a step that fails for certain, with this class.
    pub fn failing_step(&self, name: &'static str, class: Class) -> StepDefinition {
        self.step(name, move |_| async move { Err(Failure::new(class, "no")) })
    }

    /// What was done, each under its key once.
    pub fn effects(&self) -> Vec<String> {
        self.state().effects.clone()
    }

    /// How many requests repeated a key.
    pub fn repeats(&self) -> usize {
        self.state().repeats
    }

    /// The most attempts that were at work at once; see [`Turn::at_work`].
    pub fn at_once_max(&self) -> usize {
        self.state().at_once_max
    }

    /// Mends what was broken: see [`World::is_mended`].
    pub fn mend(&self) {
        self.state().mended = true;
    }

    /// Whether somebody has mended what was broken.
    pub fn is_mended(&self) -> bool {
        self.state().mended
    }

    /// Makes a step that fails for certain, with this class, until it is mended; then it has its effect.
    pub fn broken_step(&self, name: &'static str, class: Class) -> StepDefinition {
        self.step(name, move |turn| async move {
            if !turn.world.is_mended() {
                return Err(Failure::new(class, "broken"));
            }
            turn.effect();
            Ok(turn.input)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many attempts at this very use of the step were lost with their process.
    fn lost(&self, cx: &StepContext) -> u32 {
        let Some(journal) = self.0.journal.get() else { return 0 };
        lost_attempts(&journal.events(cx.run_id(), 0).unwrap_or_default(), cx.step(), cx.attempt())
    }
}

/// An attempt, in the world.
pub struct Turn {
    /// What the engine says of it.
    pub cx: StepContext,
    /// What the step was given.
    pub input: Value,
    /// Which attempt it is, those not counted that a crash took: what a step does must not depend on crashes.
    pub number: u32,
    world: World,
}

impl Turn {
    /// Has the effect that the step is for. The receiver honours the key: a repeat changes nothing.
    pub fn effect(&self) {
        let what = match &self.input {
            Value::Null => self.cx.step().to_owned(),
            input => format!("{} {input}", self.cx.step()),
        };
        let mut state = self.world.state();
        if state.keys.insert((self.cx.idempotency_key().to_owned(), what.clone())) {
            state.effects.push(what);
        } else {
            state.repeats += 1;
        }
    }

    /// Counts the attempt as at work until what is given back is dropped.
    pub fn at_work(&self) -> AtWork {
        let mut state = self.world.state();
        state.at_once += 1;
        state.at_once_max = state.at_once_max.max(state.at_once);
        AtWork(self.world.clone())
    }
}

/// An attempt at work.
pub struct AtWork(World);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.state().at_once -= 1;
    }
}
