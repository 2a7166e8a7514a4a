//! What a host is opened with.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use midwatch_engine_attempt::{AdmissionOptions, Clock, GateOptions, QueueOptions, SharedBudgets};
use midwatch_workflow::Name;

/// How a host behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How this process is called in the journal.
    pub worker: String,
    /// Restate's ingress, where runs are started, e.g. `http://127.0.0.1:8080`.
    pub ingress: String,
    /// Restate's admin API, where this process is registered, e.g. `http://127.0.0.1:9070`.
    pub admin: String,
    /// Where this process listens for Restate. Runs are pinned to the address, so a process that is to go on with them
    /// after a restart needs the same one again; port 0 takes any.
    pub listen: SocketAddr,
    /// How Restate reaches this process, if not by the address that it listens on.
    pub advertise: Option<String>,
    /// Put before the name of every service, for several applications on one server.
    pub prefix: String,
    /// Restate's public keys (`publickeyv1_…`); if there are any, requests that none of them signed are refused.
    pub identity_keys: Vec<String>,
    /// The limits of named queues in this process; a queue without an entry has none.
    pub queues: HashMap<Name, QueueOptions>,
    /// The gates of targets in this process; all that a step names have one, unless they are turned off.
    pub gates: GateOptions,
    /// Budgets that many runs share, as far as this process makes their attempts.
    pub budgets: SharedBudgets,
    /// The longest that any attempt may take; Restate leaves an invocation alone for as long.
    ///
    /// An attempt that takes longer than this is cut by the server and done again, for ever.
    pub attempt_max: Duration,
    /// How long Restate remembers a run that has ended: its result, and that its workflow id is taken.
    pub retention: Duration,
    /// How long a run that only waits stays in memory.
    pub linger: Duration,
    /// How long attempts under way may go on when the host stops.
    pub drain: Duration,
    /// How often runs that are open in the journal and not in memory are compared with the server, which may have ended
    /// them by itself.
    pub compare_every: Duration,
}

impl Options {
    /// What the journal's writer is best told to be patient for, behind a [spool](midwatch_journal::spool::SpooledJournal)
    /// so that no run waits for it: the server needs the processor that a commit for each append would take.
    pub const JOURNAL_PATIENCE: Duration = Duration::from_micros(4_000);

    /// The defaults: a server on this machine with its usual ports, any free port of the loopback interface, attempts of
    /// at most 1 h, 7 days of memory of ended runs, 10 s in memory, 30 s to drain, open runs compared every five minutes.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            ingress: "http://127.0.0.1:8080".to_owned(),
            admin: "http://127.0.0.1:9070".to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            prefix: String::new(),
            identity_keys: Vec::new(),
            queues: HashMap::new(),
            gates: GateOptions::default(),
            budgets: SharedBudgets::default(),
            attempt_max: Duration::from_secs(3600),
            retention: Duration::from_secs(7 * 24 * 3600),
            linger: Duration::from_secs(10),
            drain: Duration::from_secs(30),
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
