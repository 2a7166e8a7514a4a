//! Durable AI-agent workflows that say why they are slow, stuck or expensive.
//!
//! ```
//! use midwatch::{Context, Failure, StepContext, step, workflow};
//!
//! #[step(timeout = "30s")]
//! async fn charge_card(cx: StepContext, cents: u64) -> Result<String, Failure> {
//!     // The key is the same on every attempt: a payment API that honours it charges once.
//!     Ok(format!("{cents} cents charged under {}", cx.idempotency_key()))
//! }
//!
//! #[step]
//! async fn refund(_cx: StepContext, charge: String) -> Result<(), Failure> {
//!     println!("undoing: {charge}");
//!     Ok(())
//! }
//!
//! #[workflow]
//! async fn checkout(cx: Context, cents: u64) -> Result<String, Failure> {
//!     cx.step(charge_card, &cents).compensate(refund, |charge| charge).await
//! }
//! ```

#[cfg(feature = "async-openai")]
pub mod async_openai;
mod builder;
#[cfg(feature = "console")]
pub mod console;
mod embedded;
mod file;
mod front;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "genai")]
pub mod genai;
#[cfg(all(doctest, feature = "http"))]
mod guide;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
pub mod llm;
#[cfg(feature = "logs")]
pub mod logs;
#[cfg(feature = "http")]
mod prices;
#[cfg(feature = "receiver")]
pub mod receiver;
#[cfg(feature = "restate")]
mod restate;
pub mod retry;
#[cfg(feature = "rig")]
pub mod rig;
mod run;
#[cfg(feature = "temporal")]
mod temporal;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "otlp")]
mod traces;

#[cfg(feature = "http")]
pub use self::http::StepHttp;
pub use builder::{Builder, Kind, OpenError};
pub use embedded::{EmbeddedBuilder, InProcess};
pub use front::{Midwatch, StartCall, StartError};
#[cfg(feature = "gateway")]
pub use gateway::StepGateway;
#[cfg(feature = "http")]
pub use llm::StepLlm;
#[doc(inline)]
pub use midwatch_engine_embedded::{GateOptions, QueueOptions};
#[cfg(feature = "gateway")]
#[doc(inline)]
pub use midwatch_gateway::{Options as GatewayOptions, StartError as GatewayError};
#[doc(inline)]
pub use midwatch_macros::{step, workflow};
#[cfg(feature = "otlp")]
#[doc(inline)]
pub use midwatch_otlp::{Compression, Otlp, Protocol, SettingsError};
#[cfg(feature = "http")]
pub use midwatch_providers::{IntoFailure, OrFailure, PriceError, Prices, Provider};
#[doc(inline)]
pub use midwatch_workflow::{
    Approval, AttemptInfo, Backoff, Budget, Certainty, Charge, ChildCall, Class, Context, Data, Decision,
    DelayReason, Ended, Engine, EngineError, Event, EventKind, Failure, GatePolicy, GateState, GiveUp,
    Headroom, InvalidId, InvalidMoney, Jitter, KeyScope, Message, Money, Name, Named, NewRun, OnDuplicate,
    OnReached, ParkReason, Payload, Reporter, Reservation, Resolution, Retried, RetryPolicy, RunId, RunInfo,
    RunResult, RunStarted, SignalCall, Spent, Started, Step, StepCall, StepContext, StepDefinition,
    StepOptions, Timeouts, Timestamp, Tried, Usage, Used, Workflow, WorkflowDefinition, WorkflowId,
    WorkflowOptions, gate, step_fn, workflow_fn,
};
#[cfg(feature = "http")]
pub use prices::{PriceFileError, prices, use_price_file, use_prices};
#[cfg(feature = "restate")]
pub use restate::{OnRestate, RestateBuilder};
#[doc(inline)]
pub use retry::retry;
pub use run::{RunError, RunHandle};
#[cfg(feature = "temporal")]
pub use temporal::{OnTemporal, TemporalBuilder};
