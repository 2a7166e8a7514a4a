//! Steps as activities: any registered step under its run-time name.
//!
//! The SDK asks an activity for its name through a static function, once and at once while it is registered: a
//! thread-local carries the name there.

use std::cell::RefCell;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use midwatch_workflow::{Class, Ended, Failure, Payload, StepDefinition};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::ApplicationFailure;
use temporalio_common::{ActivityDefinition, ActivityError};
use temporalio_sdk::activities::{
    ActivityContext, ActivityDefinitions, ActivityImplementer, ExecutableActivity,
};

use crate::attempt::{self, End, Grounds};
use crate::wire::{Call, Report, arguments, raw_of, read, read_payload};

thread_local! {
    static NAME: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Registers something of the SDK's under a name that is known at run time only.
pub(crate) fn named<T>(name: &str, register: impl FnOnce() -> T) -> T {
    NAME.with(|slot| *slot.borrow_mut() = name.to_owned());
    let registered = register();
    NAME.with(|slot| slot.borrow_mut().clear());
    registered
}

/// The name under which something is being registered.
pub(crate) fn name_now() -> String {
    NAME.with(|slot| slot.borrow().clone())
}

/// A step as the SDK knows it.
pub(crate) struct StepActivity {
    name: String,
}

impl ActivityDefinition for StepActivity {
    type Input = RawValue;
    type Output = RawValue;

    fn name(&self) -> &str {
        &self.name
    }
}

/// What makes the attempts.
pub(crate) struct Attempts {
    pub(crate) step: StepDefinition,
    pub(crate) grounds: Arc<Grounds>,
}

impl ActivityImplementer for Attempts {
    fn register_all(self: Arc<Self>, definitions: &mut ActivityDefinitions) {
        definitions.register_activity::<StepActivity>(self);
    }
}

impl ExecutableActivity for StepActivity {
    type Implementer = Attempts;
    const REQUIRES_INSTANCE: bool = true;

    fn definition() -> Self {
        Self { name: name_now() }
    }

    fn execute(
        attempts: Option<Arc<Attempts>>,
        native: ActivityContext,
        input: RawValue,
    ) -> BoxFuture<'static, Result<RawValue, ActivityError>> {
        Box::pin(async move {
            let Some(attempts) = attempts else { return Err(refused("the step is not registered")) };
            let call: Option<Call> = read(input.payloads.get(1));
            let data: Option<Payload> = read_payload(input.payloads.first());
            let (Some(call), Some(data)) = (call, data) else {
                return Err(refused("the activity was not started by midwatch"));
            };
            match attempt::make(&attempts.grounds, &attempts.step, call, data, native).await {
                End::Cancelled(report) => {
                    Err(ActivityError::cancelled_with_details(arguments([raw_of(&report)])))
                }
                End::Over(report) => match &report.ended {
                    Ended::Ok(_) => Ok(arguments([raw_of(&report)])),
                    Ended::Failed(failure) => Err(failed(failure, &report)),
                },
            }
        })
    }
}

/// A failure as Temporal's UI shows it; the retry is the workflow's, so the server makes none.
fn failed(failure: &Failure, report: &Report) -> ActivityError {
    let failure = ApplicationFailure::builder(failure.to_string())
        .type_name(failure.class.to_string())
        .non_retryable(true)
        .details(arguments([raw_of(report)]));
    ActivityError::application(failure.build())
}

fn refused(why: &str) -> ActivityError {
    let failure = Failure::new(Class::InvalidRequest, why);
    let report = Report { ended: Ended::Failed(failure.clone()), charges: Vec::new(), beats: Vec::new() };
    failed(&failure, &report)
}
