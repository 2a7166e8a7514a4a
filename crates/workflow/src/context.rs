//! What a workflow can ask for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::call::{ChildCall, SignalCall, StepCall};
use crate::event::{Note, TimerPurpose};
use crate::op::OpKind;
use crate::state::{Answer, Shared, Shield};
use crate::{Data, Failure, OpId, RunId, Step, Timestamp, Workflow, WorkflowId};

/// Given to every workflow; cheap to clone. All that a workflow may do besides computing.
///
/// Its futures work with `join!`, `FuturesUnordered` and biased `select!`. An unbiased `tokio::select!` or
/// `futures::select!` polls in random order, so that a replay would ask in another order: write `biased;`.
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
    shield: Shield,
}

impl Context {
    pub(crate) fn new(shared: Arc<Shared>, shield: Shield) -> Self {
        Self { shared, shield }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Runs a step, with retries, until it succeeds or has failed for good. Starts when awaited.
    pub fn step<S: Step>(&self, step: S, input: &S::Input) -> StepCall<S::Output> {
        StepCall::new(self.clone(), &step, input)
    }

    /// Sleeps; durable, so a run may sleep for months.
    ///
    /// # Errors
    /// If the run is cancelled meanwhile.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, Result<(), Failure>> {
        let cx = self.clone();
        Box::pin(async move {
            let until = cx.now() + duration;
            cx.timer(until, TimerPurpose::Sleep)?.await.map(drop)
        })
    }

    /// Waits for a signal of this name; signals that came before are taken first, in their order.
    pub fn signal<T: Data>(&self, name: impl Into<String>) -> SignalCall<T> {
        SignalCall::new(self.clone(), name.into())
    }

    /// Starts a child run and waits for its end. It belongs to the same trace and is cancelled with its parent.
    pub fn child<W: Workflow>(&self, workflow: W, input: &W::Input) -> ChildCall<W::Output> {
        ChildCall::new(self.clone(), &workflow, input)
    }

    /// Waits for all, and gives all outputs or the first failure. Unlike `try_join!` it drops none half-way, so none is
    /// left with an unknown effect.
    ///
    /// # Errors
    /// The failure of the first future in order that failed, after all ended.
    pub async fn join_all<F, T>(&self, futures: impl IntoIterator<Item = F>) -> Result<Vec<T>, Failure>
    where
        F: IntoFuture<Output = Result<T, Failure>>,
    {
        join_all(futures.into_iter().map(IntoFuture::into_future)).await.into_iter().collect()
    }

    /// The time at which the run last got an answer; the same on replay.
    pub fn now(&self) -> Timestamp {
        self.shared.lock().now
    }

    /// A random number; the same on replay.
    pub fn random(&self) -> u64 {
        let draw = self.shared.lock().next_draw();
        let origin = self.shared.start.forked_from.map_or(self.run_id(), |fork| fork.origin);
        xxh3_64_with_seed(origin.as_bytes(), draw)
    }

    /// A random UUID (version 4) in its usual form; the same on replay.
    pub fn uuid(&self) -> String {
        let bytes = (u128::from(self.random()) << 64 | u128::from(self.random())).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// Whether this run takes the new side of a deliberate change of code: yes for runs that had not come this far
    /// when the new code arrived.
    pub fn patched(&self, id: &str) -> bool {
        self.shared.lock().patched(id)
    }

    /// Sets a line of text that people see beside the run.
    pub fn set_status(&self, text: impl Into<String>) {
        self.shared.lock().note(Note::Status(text.into()));
    }

    /// Registers a compensation by hand, for an effect that is no step's own.
    ///
    /// # Errors
    /// Class `invalid_request` if the input has no JSON form.
    pub fn compensate<S: Step>(&self, undo: S, input: &S::Input) -> Result<(), Failure> {
        crate::pattern::saga::register(self, &undo, input)
    }

    /// Runs the registered compensations now, in reverse order, as if the run had failed with `cause`, and goes on after.
    pub async fn unwind(&self, cause: Failure) {
        let shielded = Context { shared: Arc::clone(&self.shared), shield: Shield::Shielded };
        crate::pattern::saga::unwind(&shielded, cause).await;
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.shared.start.run
    }

    /// The user's id for the run.
    pub fn workflow_id(&self) -> &WorkflowId {
        &self.shared.start.workflow_id
    }

    /// Why the run was told to stop, if it was.
    pub fn cancelled(&self) -> Option<Failure> {
        self.shared.lock().cancelled.clone()
    }

    pub(crate) fn timer(&self, until: Timestamp, purpose: TimerPurpose) -> Result<Asked, Failure> {
        self.ask(OpKind::Timer { until, purpose })
    }

    /// Asks for an operation at once; the future waits for its answer.
    pub(crate) fn ask(&self, kind: OpKind) -> Result<Asked, Failure> {
        let id = self.shared.lock().ask(kind, self.shield)?;
        Ok(Asked { id, shared: Arc::clone(&self.shared) })
    }
}

/// An operation that was asked for. Dropping it abandons the operation.
pub(crate) struct Asked {
    pub(crate) id: OpId,
    shared: Arc<Shared>,
}

impl Future for Asked {
    type Output = Result<Answer, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        match self.shared.lock().poll(self.id, cx.waker()) {
            Some(Answer::Cancelled(failure)) => Poll::Ready(Err(failure)),
            Some(answer) => Poll::Ready(Ok(answer)),
            None => Poll::Pending,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.shared.lock().abandon(self.id);
    }
}
