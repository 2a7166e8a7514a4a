//! What the engine is opened with.

use std::collections::HashMap;
use std::time::Duration;

use midwatch_engine_attempt::{AdmissionOptions, Clock, GateOptions, QueueOptions, SharedBudgets};
use midwatch_workflow::Name;

/// How the engine reaches its server and behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server is.
    pub server: Server,
    /// The task queue that starters and workers share.
    pub task_queue: String,
    /// How this process is called in the journal.
    pub worker: String,
    /// How long attempts under way may go on when the engine stops.
    pub drain: Duration,
    /// How long a worker may be silent until its attempts count as lost.
    pub lost_after: Duration,
    /// How many runs stay in memory between their tasks.
    pub cached_runs: usize,
    /// The limits of named queues in this worker; a queue without an entry has none.
    pub queues: HashMap<Name, QueueOptions>,
    /// The gates of targets in this worker; all that a step names have one, unless they are turned off.
    pub gates: GateOptions,
    /// Budgets that many runs share, as far as this worker makes their attempts.
    pub budgets: SharedBudgets,
    /// How long a task waits for the worker that has its run in memory, before any worker may take it.
    pub sticky: Duration,
    /// After how many events of its history a run that is started here goes on in a new execution, as do its children;
    /// 50 at least. Without it, when the server suggests it.
    pub history_max: Option<u32>,
    /// How often runs that are open in the journal are compared with the server, which may have ended them by itself.
    pub compare_every: Duration,
}

impl Options {
    /// The defaults for a server at this address: task queue `midwatch`, 30 s to drain, attempts lost after 10 s, 1000
    /// runs in memory, 2 s of patience for the worker that has them, open runs compared every five minutes.
    pub fn new(server: Server, worker: impl Into<String>) -> Self {
        Self {
            server,
            task_queue: "midwatch".to_owned(),
            worker: worker.into(),
            drain: Duration::from_secs(30),
            lost_after: Duration::from_secs(10),
            cached_runs: 1000,
            queues: HashMap::new(),
            gates: GateOptions::default(),
            budgets: SharedBudgets::default(),
            sticky: Duration::from_secs(2),
            history_max: None,
            compare_every: Duration::from_secs(300),
        }
    }

    pub(crate) fn admissions(&self) -> AdmissionOptions {
        AdmissionOptions {
            worker: self.worker.clone(),
            clock: Clock::system(),
            queues: self.queues.clone(),
            gates: self.gates.clone(),
            budgets: self.budgets.clone(),
        }
    }
}

/// Where a Temporal server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Server {
    /// At this URL, e.g. `http://127.0.0.1:7233`, without TLS or credentials.
    At {
        /// The URL.
        url: String,
        /// The namespace.
        namespace: String,
    },
    /// Where Temporal's own configuration says: the environment (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`,
    /// `TEMPORAL_API_KEY`, `TEMPORAL_TLS_…`) and its `temporal.toml`.
    Configured,
}

impl Server {
    /// A server at this URL, in the namespace `default`.
    pub fn at(url: impl Into<String>) -> Self {
        Server::At { url: url.into(), namespace: "default".to_owned() }
    }
}
