//! Workflows as the SDK knows them: one host for every registered workflow, under its run-time name.
//!
//! Handlers of signals and updates only put what came into the host's inbox; the [driver](crate::drive) takes it from
//! there, so that all that reaches a run reaches it in one order.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use midwatch_journal::RunSummary;
use midwatch_workflow::{Message, Payload, Registry};
use temporalio_common::data_converters::{PayloadConverter, RawValue};
use temporalio_common::protos::temporal::api::common::v1::Payloads;
use temporalio_common::{HasWorkflowDefinition, WorkflowDefinition};
use temporalio_sdk::workflow_interceptors::WorkflowOutputValue;
use temporalio_sdk::workflows::{
    UpdateDefinitionDescriptor, WorkflowDefinitionDescriptor, WorkflowError, WorkflowImplementation,
};
use temporalio_sdk::{
    WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, WorkflowContextView,
    WorkflowTermination,
};

use crate::drive::drive;
use crate::mirror::Mirror;
use crate::step::name_now;
use crate::translate::Input;
use crate::wire::{MESSAGE, STATUS, arguments, raw_of, read, read_payload};

/// What all workflows of a worker share.
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    pub(crate) mirror: Mirror,
    /// How long a native heartbeat may be missing until an attempt counts as lost.
    pub(crate) lost_after: std::time::Duration,
}

/// One workflow execution.
pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    /// What came and was not taken yet.
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) replies: BTreeMap<u64, Result<(), String>>,
    asked: u64,
    /// Where the run stands, for queries.
    pub(crate) summary: Option<RunSummary>,
}

impl Host {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, inbox: VecDeque::new(), replies: BTreeMap::new(), asked: 0, summary: None }
    }
}

/// The run method, as the SDK's types want it.
pub(crate) struct HostRun;

impl WorkflowDefinition for HostRun {
    type Input = RawValue;
    type Output = RawValue;

    fn name(&self) -> &str {
        "midwatch"
    }
}

impl HasWorkflowDefinition for HostRun {
    type Run = Self;
}

type Decoded = Result<Option<Box<dyn Any>>, WorkflowError>;

impl WorkflowImplementation for Host {
    type Run = HostRun;
    const HAS_INIT: bool = false;
    const INIT_TAKES_INPUT: bool = false;

    fn name() -> &'static str {
        "midwatch"
    }

    fn definition() -> WorkflowDefinitionDescriptor {
        // Asked for again whenever an update comes, so the updates must not depend on the registration.
        let update = UpdateDefinitionDescriptor { name: MESSAGE.to_owned(), has_validator: false };
        WorkflowDefinitionDescriptor {
            workflow_type: name_now(),
            has_init: false,
            init_takes_input: false,
            signals: Vec::new(),
            queries: Vec::new(),
            updates: vec![update],
        }
    }

    fn init(_: WorkflowContextView, _: Option<RawValue>) -> Self {
        unreachable!("registered with a factory")
    }

    fn run(
        cx: WorkflowContext<Self>,
        input: Option<RawValue>,
    ) -> LocalBoxFuture<'static, Result<Box<dyn WorkflowOutputValue>, WorkflowTermination>> {
        drive(cx, input.unwrap_or_else(RawValue::empty)).boxed_local()
    }

    fn decode_signal_input(_: &str, payloads: Payloads, _: &PayloadConverter) -> Decoded {
        Ok(Some(Box::new(payloads)))
    }

    fn dispatch_signal(
        cx: WorkflowContext<Self>,
        name: &str,
        input: Box<dyn Any>,
    ) -> LocalBoxFuture<'static, Result<(), WorkflowError>> {
        let payloads = input.downcast::<Payloads>().map(|payloads| payloads.payloads).unwrap_or_default();
        let input = match name {
            MESSAGE => read(payloads.first()).map(|message: Message| Input::Message(message, None)),
            // Whoever signals by hand sends one payload; a second one is the sender's id for it.
            _ => {
                let payload = read_payload(payloads.first()).unwrap_or_else(Payload::null);
                let message = Message::Signal { name: name.to_owned(), payload, id: read(payloads.get(1)) };
                Some(Input::Message(message, None))
            }
        };
        match input {
            Some(input) => cx.state_mut(|host| host.inbox.push_back(input)),
            None => tracing::warn!(workflow = cx.workflow_id(), "signal brings no message of midwatch's"),
        }
        std::future::ready(Ok(())).boxed_local()
    }

    fn decode_query_input(name: &str, payloads: &Payloads, _: &PayloadConverter) -> Decoded {
        Ok((name == STATUS).then(|| Box::new(payloads.clone()) as Box<dyn Any>))
    }

    fn dispatch_query(
        &self,
        _: WorkflowContextView,
        _: &str,
        _: Box<dyn Any>,
    ) -> Result<Box<dyn WorkflowOutputValue>, WorkflowError> {
        Ok(Box::new(arguments([raw_of(&self.summary)])))
    }

    fn decode_update_input(_: &str, payloads: Payloads, _: &PayloadConverter) -> Decoded {
        Ok(Some(Box::new(payloads)))
    }

    fn dispatch_update(
        cx: WorkflowContext<Self>,
        _: &str,
        input: Box<dyn Any>,
    ) -> LocalBoxFuture<'static, Result<Box<dyn WorkflowOutputValue>, WorkflowError>> {
        let payloads = input.downcast::<Payloads>().map(|payloads| payloads.payloads).unwrap_or_default();
        let Some(message) = read::<Message>(payloads.first()) else {
            let why: Box<dyn std::error::Error + Send + Sync> = "no message of midwatch's".into();
            return std::future::ready(Err(WorkflowError::Execution(why))).boxed_local();
        };
        let number = cx.state_mut(|host| {
            host.asked += 1;
            host.inbox.push_back(Input::Message(message, Some(host.asked)));
            host.asked
        });
        async move {
            let options =
                WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new());
            let is_answered = |host: &Host| host.replies.contains_key(&number);
            // A token that nobody cancels: the wait cannot fail.
            let _ = cx.wait_condition_with_options(is_answered, options.build()).await;
            let answer = cx.state_mut(|host| host.replies.remove(&number));
            let refusal = answer.and_then(Result::err);
            Ok(Box::new(arguments([raw_of(&refusal)])) as Box<dyn WorkflowOutputValue>)
        }
        .boxed_local()
    }

    fn validate_update(&self, _: WorkflowContextView, _: &str, _: Box<dyn Any>) -> Result<(), WorkflowError> {
        Ok(())
    }
}
