//! Writes runs that *others* carry out into a midwatch journal: calls that pass the gateway, spans that come in over OTLP.
//!
//! A run is found by workflow and workflow id, or begun. Attempts begin and end in it as they do on an engine, with what
//! they spent, so `ls`, `show`, `why`, `cost` and `stalls` work on recorded runs as on all others. After a while without
//! calls a run ends; a call that comes later takes it up again.
//!
//! ```
//! use midwatch_recorder::{NewAttempt, NewRun, Options, Recorder};
//! use midwatch_workflow::{Payload, Timestamp, WorkflowId};
//!
//! # let folder = tempfile::tempdir()?;
//! let now = Timestamp::from_micros(1_790_000_000_000_000);
//! let recorder = Recorder::open(folder.path().join("midwatch.db"), Options::new("docs"), now)?;
//! let run = recorder.run(NewRun::new("research", WorkflowId::new("thread-7")?, now), now)?;
//! let attempt = run.begin(NewAttempt::new("ask_model"), now)?;
//! attempt.end(Ok(Payload::null()), Vec::new(), now);
//! recorder.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is durable when
//!
//! Whatever is told here is in the spool, a file beside the journal, before the call returns: it survives the death of the
//! process. It is in the journal, synced, a few milliseconds later, together with what all other runs have to say; who
//! needs that first waits for [`Attempt::durable`]. An attempt that was under way when the process died is recorded as
//! lost by the next one, with what it said beforehand that it may cost.
//!
//! What this crate is not: it carries nothing out, retries nothing, and decides nothing but when a run counts as over.

mod ask;
mod attempt;
mod booked;
mod error;
mod hear;
mod identity;
mod marks;
mod orders;
mod recorder;
mod recovery;
mod run;
mod shared;
mod state;
mod tend;
mod writer;

pub use ask::{NewAttempt, NewRun, Options, WORKER};
pub use attempt::{Attempt, Wait};
pub use booked::Place;
pub use error::Error;
pub use identity::workflow_id;
pub use orders::Standing;
pub use recorder::Recorder;
pub use run::Run;
pub use state::Use;
