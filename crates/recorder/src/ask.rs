//! What callers say of a run and of an attempt.

use std::time::Duration;

use midwatch_journal::RunSummary;
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Budget, Charge, Name, Payload, RunId, Timestamp, WorkflowId};

/// How the worker of every recorded run begins: by it a recorder knows its own runs again, and engines those that are not
/// theirs.
pub const WORKER: &str = RunSummary::RECORDER;

/// How a recorder works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who records, as runs show it; [`WORKER`] is put before it.
    pub worker: String,
    /// A run without attempts under way ends after so long without a new one: before its silence counts as a stall. 4 minutes.
    pub idle: Duration,
    /// A [held](NewRun::is_held) run is given up after so long without a word: what was under way in it counts as lost. 1 hour.
    pub held: Duration,
    /// How long what was told may wait for more to share a commit with. 8 ms.
    pub linger: Duration,
    /// The most that may wait for the journal, in bytes; beyond it nothing is taken. 64 MiB.
    pub behind_max: usize,
    /// How many runs are kept in memory before the longest idle ones are ended early. 10,000.
    pub runs_max: usize,
}

impl Options {
    /// The defaults.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            idle: Duration::from_secs(4 * 60),
            held: Duration::from_secs(3600),
            linger: Duration::from_millis(8),
            behind_max: 64 << 20,
            runs_max: 10_000,
        }
    }

    pub(crate) fn worker_name(&self) -> String {
        format!("{WORKER} {}", self.worker)
    }
}

/// A run, as it is begun if there is none of this workflow and workflow id.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The workflow's name.
    pub workflow: String,
    /// The caller's name for the run; see [`workflow_id`](crate::workflow_id).
    pub workflow_id: WorkflowId,
    /// The id of the run if it is begun now: a trace id, where the caller has one.
    pub run: RunId,
    /// When it began.
    pub began: Timestamp,
    /// Somebody says when it is over, with [`Run::end`](crate::Run::end): its silence alone does not end it, and may be a
    /// stall. Kept in the input, if that is an object or nothing.
    pub is_held: bool,
    /// What the run was given, as far as that is to be kept.
    pub input: Payload,
    /// For whom it runs.
    pub tenant: Option<String>,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// What it may spend, for those who look; who refuses calls is the caller.
    pub budget: Option<Budget>,
}

impl NewRun {
    /// A run with a fresh id and nothing else.
    pub fn new(workflow: impl Into<String>, workflow_id: WorkflowId, now: Timestamp) -> Self {
        let mut random = [0; 10];
        random.fill_with(|| fastrand::u8(..));
        Self {
            workflow: workflow.into(),
            workflow_id,
            run: RunId::new(now, random),
            began: now,
            is_held: false,
            input: Payload::null(),
            tenant: None,
            traceparent: None,
            budget: None,
        }
    }
}

/// An attempt that is about to be made, or was made elsewhere.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// The step's name.
    pub step: Name,
    /// What is kept of its input; a JSON object gains what tells the attempt from others.
    pub input: Option<Payload>,
    /// Who is called, `provider:model`.
    pub target: Option<Name>,
    /// How long it may take.
    pub timeout: Duration,
    /// The longest silence between its heartbeats.
    pub heartbeat: Option<Duration>,
    /// What holds it back; [`Attempt::start`](crate::Attempt::start) follows.
    pub waits: Option<WaitReason>,
    /// What stands for the request: if an attempt of the same step with the same request failed last, this is the next
    /// attempt at it, and else a new use of the step.
    pub same: Option<u64>,
    /// What others call this attempt, e.g. a span id: [`Run::knows`](crate::Run::knows) finds it, and
    /// [`Recorder::booked`](crate::Recorder::booked) unless it is watched.
    pub mark: Option<String>,
    /// Other marks that are known from now on, without spaces.
    pub also: Vec<String>,
    /// Somebody else makes it, and goes on with it when this process dies: it stays under way then, and
    /// [`Run::under_way`](crate::Run::under_way) finds it by its mark.
    pub is_watched: bool,
    /// The most that it may cost, on record before it begins.
    pub bounds: Vec<Charge>,
}

impl NewAttempt {
    /// An attempt of ten minutes at most, and nothing else.
    pub fn new(step: impl Into<Name>) -> Self {
        Self {
            step: step.into(),
            input: None,
            target: None,
            timeout: Duration::from_secs(600),
            heartbeat: None,
            waits: None,
            same: None,
            mark: None,
            also: Vec::new(),
            is_watched: false,
            bounds: Vec::new(),
        }
    }
}
