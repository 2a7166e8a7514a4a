//! A child run as its parent calls it.

use std::marker::PhantomData;

use futures_util::future::BoxFuture;

use crate::context::Context;
use crate::op::{Child, OpKind, Outcome};
use crate::state::Answer;
use crate::{Class, Data, Failure, Name, Payload, Workflow, WorkflowId};

/// A child run that will start when it is awaited; made by [`Context::child`].
#[must_use = "a child run starts when it is awaited"]
pub struct ChildCall<O> {
    cx: Context,
    workflow: Name,
    workflow_id: Option<WorkflowId>,
    input: Result<Payload, Failure>,
    output: PhantomData<fn() -> O>,
}

impl<O: Data> ChildCall<O> {
    pub(crate) fn new<W: Workflow<Output = O>>(cx: Context, workflow: &W, input: &W::Input) -> Self {
        let (workflow, input) = (workflow.name(), Payload::of(input));
        Self { cx, workflow, workflow_id: None, input, output: PhantomData }
    }

    /// Names the run; by default it is named after its parent, its workflow and its place.
    pub fn id(mut self, id: WorkflowId) -> Self {
        self.workflow_id = Some(id);
        self
    }

    async fn run(self) -> Result<O, Failure> {
        let input = self.input?;
        let (at, place) = {
            let state = self.cx.shared().lock();
            (state.now, state.last_op().0 + 1)
        };
        let run = self.cx.run_id().derive(at, format!("{}#{place}", self.workflow).as_bytes());
        let by_place = || WorkflowId::new(format!("{}/{}#{place}", self.cx.workflow_id(), self.workflow));
        let workflow_id = self.workflow_id.or_else(|| by_place().ok()).unwrap_or_else(|| run.into());
        let child = Child { workflow: self.workflow, workflow_id, run, input };
        match self.cx.ask(OpKind::Child(Box::new(child)))?.await? {
            // The child stopped because the parent was told to: what the parent was told is the cause.
            Answer::Outcome(Outcome::Child(Err(failure))) if failure.class == Class::Cancelled => {
                Err(self.cx.cancelled().unwrap_or(failure))
            }
            Answer::Outcome(Outcome::Child(result)) => result?.read(),
            _ => Err(Failure::new(Class::Bug, "engine answered a child run with something else")),
        }
    }
}

impl<O: Data> IntoFuture for ChildCall<O> {
    type Output = Result<O, Failure>;
    type IntoFuture = BoxFuture<'static, Result<O, Failure>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
