//! Sends the traces of runs, and metrics, to whatever takes OTLP: a Collector, Jaeger, Tempo, Datadog, Phoenix.
//!
//! A trace is a fold over the journal ([`midwatch_observe::trace`]). So nothing is queued here and nothing can be lost
//! here: a [`Follower`] reads the journal from where it was, hands on the spans that have become final, and only then
//! moves its cursor. While the collector is away the cursor stays, in a file beside the journal; what is held in memory is
//! one batch. A span that is sent twice has the same id both times.
//!
//! Metrics are sums from one beginning, so a [`Pusher`] keeps nothing either: what a collector missed is in what it gets next.
//!
//! It works in the process of the engine or in any other that can read the journal.
//!
//! # What this crate is not
//!
//! It is no OpenTelemetry SDK, and sets nothing up for other libraries of the process: no global provider, no propagator.
//! Of OpenTelemetry's own crates it uses the messages (`opentelemetry-proto`). Their exporter keeps queue, retry and shutdown to
//! itself and tells of a failure in words alone; whether spans may be sent again, must be split or are refused for good is
//! decided here by status.

mod cursor;
mod encode;
mod export;
mod follow;
mod push;
mod send;
mod settings;

pub use cursor::{Cursor, CursorError};
pub use export::{Exported, export};
pub use follow::{Begin, Follower, Report, Start, StartError};
pub use push::{Pushed, Pusher, Reading};
pub use send::{SendError, Sender};
pub use settings::{Compression, Otlp, Protocol, SettingsError, Signal};
