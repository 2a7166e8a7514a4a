//! The mirror: the events that hosts make of the server's history, written to a midwatch journal.
//!
//! The server may take a workflow task back, and give it again with more in it. So events of a task stay tentative until
//! the next one comes, the run ends, or a while has passed without a word of the server's.
//!
//! A replay makes the same events again. They are recognised by their number among the events that come from history; the
//! mirror's own events (`recovered`, `parked` and `unparked` by the engine) have none. Once the journal has a run's end, a
//! replay has nothing more to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use midwatch_journal::Journal;
use midwatch_workflow::{Event, ParkReason, RunId, Timestamp};
use temporalio_common::protos::coresdk::workflow_activation::remove_from_cache::EvictionReason;
use temporalio_common::protos::coresdk::workflow_activation::{
    WorkflowActivation, workflow_activation_job::Variant,
};
use temporalio_sdk::interceptors::WorkerInterceptor;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::ends::End;
use crate::mirror_writer::Writer;

/// How many events may wait for the journal. What comes beyond is left out, and written when its run is next replayed.
const WAITING_MAX: usize = 100_000;

/// What the mirror is told.
pub(crate) enum Told {
    /// A host made events, the first of this number, when its history was so long.
    Events { task: Arc<str>, run: RunId, first: u64, length: u32, events: Vec<Event> },
    /// The server has closed the execution by itself; what its history says beyond this length led to nothing.
    Cut { run: RunId, task: Arc<str>, length: u32 },
    /// The server has taken what the execution's last task came to.
    Accepted(Arc<str>),
    /// The execution left memory; `Stands` says whether its last task counts.
    Evicted(Arc<str>, Stands),
    /// The run cannot go on with this code.
    Halted { task: Arc<str>, run: RunId, reason: ParkReason, message: String },
    /// The server says how the run ended, and none of its tasks will.
    Ended { run: RunId, end: Box<End>, at: Timestamp },
    /// The worker has stopped, and all its tasks are answered.
    Closed,
}

/// Whether the last task of an execution counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stands {
    Yes,
    No,
}

/// The hosts' end of the mirror. Clones share it.
#[derive(Clone)]
pub(crate) struct Mirror {
    sender: UnboundedSender<Told>,
    waiting: Arc<AtomicUsize>,
}

impl Mirror {
    /// Starts to write to a journal, in the name of this worker.
    pub(crate) fn open(journal: Arc<dyn Journal>, worker: String) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer::new(journal, worker, receiver, Arc::clone(&waiting));
        (Self { sender, waiting }, tokio::spawn(writer.write()))
    }

    pub(crate) fn tell(&self, task: &Arc<str>, run: RunId, first: u64, length: u32, events: Vec<Event>) {
        if self.waiting.load(Ordering::Relaxed) > WAITING_MAX {
            tracing::warn!(%run, "the journal is away: events are left out until the run is replayed");
            return;
        }
        self.waiting.fetch_add(events.len(), Ordering::Relaxed);
        self.send(Told::Events { task: Arc::clone(task), run, first, length, events });
    }

    pub(crate) fn halted(&self, task: &Arc<str>, run: RunId, reason: ParkReason, message: &str) {
        self.send(Told::Halted { task: Arc::clone(task), run, reason, message: message.to_owned() });
    }

    /// Leaves out, until the run is ended, what a replay of this execution makes of its history beyond this length.
    pub(crate) fn cut(&self, run: RunId, execution: &str, length: u32) {
        self.send(Told::Cut { run, task: execution.into(), length });
    }

    /// Ends a run whose last execution the server has closed, after all that was told of it before.
    pub(crate) fn ended(&self, run: RunId, end: End, at: Timestamp) {
        self.send(Told::Ended { run, end: Box::new(end), at });
    }

    pub(crate) fn close(&self) {
        self.send(Told::Closed);
    }

    fn send(&self, told: Told) {
        // A writer that is gone was told to close, or died with its process: the history has it all.
        let _ = self.sender.send(told);
    }
}

/// Watches what the server says of its tasks.
pub(crate) struct Watch(pub(crate) Mirror);

#[async_trait(?Send)]
impl WorkerInterceptor for Watch {
    async fn on_workflow_activation(&self, activation: &WorkflowActivation) -> Result<(), anyhow::Error> {
        let task: Arc<str> = activation.run_id.as_str().into();
        let eviction = activation.jobs.iter().find_map(|job| match &job.variant {
            Some(Variant::RemoveFromCache(eviction)) => Some(eviction.reason()),
            _ => None,
        });
        self.0.send(match eviction {
            None => Told::Accepted(task),
            Some(reason) => Told::Evicted(task, stands(reason)),
        });
        Ok(())
    }
}

fn stands(reason: EvictionReason) -> Stands {
    match reason {
        EvictionReason::CacheFull
        | EvictionReason::LangRequested
        | EvictionReason::WorkflowExecutionEnding => Stands::Yes,
        EvictionReason::Unspecified
        | EvictionReason::CacheMiss
        | EvictionReason::Nondeterminism
        | EvictionReason::LangFail
        | EvictionReason::TaskNotFound
        | EvictionReason::UnhandledCommand
        | EvictionReason::Fatal
        | EvictionReason::PaginationOrHistoryFetch => Stands::No,
    }
}
