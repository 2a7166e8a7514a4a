//! A run as its starter sees it: to wait for, and to reach.

use std::marker::PhantomData;
use std::sync::Arc;

use midwatch_workflow::{Data, Engine, EngineError, Failure, Message, Payload, RunId, RunResult};
use serde::Serialize;

use crate::front::StartError;

/// A run, to wait for and to reach.
pub struct RunHandle<O> {
    run: RunId,
    is_new: bool,
    engine: Arc<dyn Engine>,
    output: PhantomData<fn() -> O>,
}

impl<O: Data> RunHandle<O> {
    pub(crate) fn new(run: RunId, is_new: bool, engine: Arc<dyn Engine>) -> Self {
        Self { run, is_new, engine, output: PhantomData }
    }

    /// The run's id, which is its trace id too.
    pub fn id(&self) -> RunId {
        self.run
    }

    /// Whether this call started it; otherwise it was there already.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Waits for the run's end and gives its output.
    ///
    /// # Errors
    /// [`RunError::Failed`] if it failed, was cancelled or timed out; [`RunError::Engine`] if its end cannot be known.
    pub async fn result(&self) -> Result<O, RunError> {
        match self.engine.result(self.run).await? {
            RunResult::Completed(output) => output.read().map_err(|failure| self.failed(failure, 0, 0)),
            RunResult::Failed { failure, compensated, resolved } => {
                Err(self.failed(failure, compensated, resolved))
            }
        }
    }

    fn failed(&self, failure: Failure, compensated: u32, resolved: u32) -> RunError {
        RunError::Failed { run: self.run, failure, compensated, resolved }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the run has ended or the payload has no JSON form.
    pub async fn signal<T: Serialize + ?Sized>(
        &self,
        name: impl Into<String>,
        payload: &T,
    ) -> Result<(), StartError> {
        let payload = Payload::of(payload).map_err(StartError::Input)?;
        let message = Message::Signal { name: name.into(), payload, id: None };
        Ok(self.engine.send(self.run, message).await?)
    }

    /// Tells the run to stop; its compensations follow.
    ///
    /// # Errors
    /// If the run has ended.
    pub async fn cancel(&self, reason: impl Into<String>) -> Result<(), EngineError> {
        let message = Message::Cancel { reason: reason.into(), by: "code".to_owned() };
        self.engine.send(self.run, message).await
    }

    /// Sends any other message.
    ///
    /// # Errors
    /// If the run cannot take it.
    pub async fn send(&self, message: Message) -> Result<(), EngineError> {
        self.engine.send(self.run, message).await
    }
}

/// How a run ended without an output.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It failed.
    #[error("run {run} failed{}: {failure}", compensation(*.compensated, *.resolved))]
    Failed {
        /// The run.
        run: RunId,
        /// What it failed with.
        failure: Failure,
        /// How many steps were undone.
        compensated: u32,
        /// How many of those a person settled by hand.
        resolved: u32,
    },
    /// Its end cannot be known here.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn compensation(compensated: u32, resolved: u32) -> String {
    match (compensated, resolved) {
        (0, _) => String::new(),
        (n, 0) => format!(" ({n} steps undone)"),
        (n, by_hand) => format!(" ({n} steps undone, {by_hand} of them by hand)"),
    }
}
