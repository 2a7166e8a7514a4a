//! Messages on their way to a run: signals and updates of the server's, and what becomes of one that comes too late.

use midwatch_workflow::{EngineError, Message, RunId, RunResult};
use temporalio_client::errors::{WorkflowInteractionError, WorkflowUpdateError};
use temporalio_client::{UntypedSignal, UntypedUpdate, WorkflowExecuteUpdateOptions, WorkflowSignalOptions};
use temporalio_common::data_converters::RawValue;

use crate::connect::trouble;
use crate::engine::Temporal;
use crate::standing::{Standing, standing};
use crate::wire::{MESSAGE, arguments, raw, raw_of, read};

/// Whether the server took a message, or holds no open execution for it.
enum Taken {
    Yes,
    TooLate,
}

impl Temporal {
    /// Sends a message to a run.
    pub(crate) async fn deliver(&self, run: RunId, message: Message) -> Result<(), EngineError> {
        let temporal = self.temporal_of(run).await?;
        let taken = match &message {
            // These may be refused, so the run itself must answer.
            Message::Resolve { .. } | Message::Retry { .. } => self.update(run, &temporal, &message).await?,
            Message::Fork { .. } => {
                return Err(EngineError::Refused { run, why: "cannot be forked on Temporal".to_owned() });
            }
            Message::Signal { name, payload, id } => {
                let mut input = arguments([raw(payload.as_str())]);
                input.payloads.extend(id.as_ref().map(raw_of));
                self.signal(&temporal, name, input).await?
            }
            message => self.signal(&temporal, MESSAGE, arguments([raw_of(message)])).await?,
        };
        match taken {
            Taken::Yes => Ok(()),
            Taken::TooLate => self.too_late(run, &temporal, message).await,
        }
    }

    async fn signal(&self, temporal: &str, name: &str, input: RawValue) -> Result<Taken, EngineError> {
        let signal = UntypedSignal::new(name);
        match self.handle(temporal).signal(signal, input, WorkflowSignalOptions::default()).await {
            Ok(()) => Ok(Taken::Yes),
            Err(WorkflowInteractionError::NotFound(_)) => Ok(Taken::TooLate),
            Err(error) => Err(trouble(&self.address, error)),
        }
    }

    async fn update(&self, run: RunId, temporal: &str, message: &Message) -> Result<Taken, EngineError> {
        let options = WorkflowExecuteUpdateOptions::default();
        let update = UntypedUpdate::new(MESSAGE);
        match self.handle(temporal).execute_update(update, arguments([raw_of(message)]), options).await {
            Ok(answer) => match read::<Option<String>>(answer.payloads.first()).flatten() {
                Some(why) => Err(EngineError::Refused { run, why }),
                None => Ok(Taken::Yes),
            },
            Err(WorkflowUpdateError::NotFound(_)) => Ok(Taken::TooLate),
            Err(error) => Err(trouble(&self.address, error)),
        }
    }

    /// The server holds no open execution of the run: the journal is told, and then whoever sent the message. A run that
    /// the server does not know at all is ended by whoever cancels it.
    async fn too_late(&self, run: RunId, temporal: &str, message: Message) -> Result<(), EngineError> {
        self.catch_up.end(run, temporal).await;
        if let Some(result) = self.catch_up.recorded(run).await {
            return Err(ended(run, &result));
        }
        if let Message::Cancel { reason, by } = &message
            && self.catch_up.end_by_order(run, temporal, reason, by).await
        {
            return Ok(());
        }
        let why = match standing(&self.catch_up.client, run, &[temporal.to_owned()]).await {
            Standing::Missing => format!(
                "is not known to the Temporal server at {}; `midwatch cancel` ends it in the journal",
                self.address
            ),
            _ => "has ended at the server; start another one to go another way".to_owned(),
        };
        Err(EngineError::Refused { run, why })
    }
}

fn ended(run: RunId, result: &RunResult) -> EngineError {
    let how = match result {
        RunResult::Completed(_) => "completed".to_owned(),
        RunResult::Failed { failure, .. } => failure.to_string(),
    };
    let why = format!("has ended ({how}); start another one to go another way");
    EngineError::Refused { run, why }
}
