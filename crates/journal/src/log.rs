//! The seam between engines and storage.

use midwatch_workflow::{Event, Message, Money, RunId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Error, RunSummary, Status};

/// Where events are kept. Reading blocks on the disk; appending does not.
pub trait Journal: Send + Sync + 'static {
    /// Takes events to be written; `done` is called when they are durable, or when they cannot be.
    ///
    /// Returns at once, or after about a millisecond at most if it wrote them itself. The appends of one run are written in
    /// the order in which they come. `done` runs on the thread that wrote, maybe within this call, and must not block.
    fn append(&self, append: Append, done: Done);

    /// The events of a run after the event number `after` (0 for all), in order.
    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error>;

    /// What is known of one run.
    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error>;

    /// The runs that fit a query.
    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error>;

    /// Rows of all runs in commit order after the position `after`, at most `limit` of them.
    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error>;

    /// Leaves a message for the process that owns the journal; durable when this returns. Gives the letter's number.
    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error>;

    /// The oldest letters, up to `limit`; those in `answered` are removed first.
    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error>;
}

/// Called once with what came of an append.
pub type Done = Box<dyn FnOnce(Result<Appended, Error>) + Send>;

/// Events of one run to be written in one piece: all of them or none.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The number of the first event; 1 starts the run.
    pub first: u64,
    /// The events as a JSON array; without any, only the summary is replaced.
    pub body: String,
    /// The run's new summary, if it changed enough to matter; always there when `first` is 1.
    pub summary: Option<Box<RunSummary>>,
}

impl Append {
    /// Encodes events.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if they take more than [`Append::BYTES_MAX`].
    pub fn new(
        run: RunId,
        first: u64,
        events: &[Event],
        summary: Option<Box<RunSummary>>,
    ) -> Result<Self, Error> {
        let body = serde_json::to_string(events).map_err(Error::damaged)?;
        if body.len() > Self::BYTES_MAX {
            return Err(Error::TooLarge { bytes: body.len() });
        }
        Ok(Self { run, first, body, summary })
    }

    /// Whether it brings no event, only a summary.
    pub fn is_summary_only(&self) -> bool {
        matches!(self.body.as_str(), "" | "[]")
    }

    /// The most that one append may hold, in bytes of JSON.
    pub const BYTES_MAX: usize = 64 << 20;
}

/// What came of an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// It is durable.
    Written,
    /// A start whose workflow id is taken by this run: nothing was written. Forks and children never get this answer.
    Duplicate(RunId),
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// With this very workflow id.
    pub workflow_id: Option<String>,
    /// In one of these states; any if empty.
    pub statuses: Vec<Status>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Whose run id starts with these hex digits, ends with them after `r_`, or whose workflow id contains this text.
    pub text: Option<String>,
    /// Started at this time or later.
    pub started_from: Option<Timestamp>,
    /// Started before this time; with [`Order::Newest`], the cursor of a page.
    pub started_before: Option<Timestamp>,
    /// Last changed at this time or later.
    pub updated_from: Option<Timestamp>,
    /// Last changed before this time.
    pub updated_before: Option<Timestamp>,
    /// That cost so much or more.
    pub cost_from: Option<Money>,
    /// That cost so much or less; with [`Order::Costliest`], the cursor of a page.
    pub cost_upto: Option<Money>,
    /// In which order.
    pub order: Order,
    /// How many to skip.
    pub skip: usize,
    /// At most so many; 0 for the default of 100.
    pub limit: usize,
}

/// In which order runs are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Latest start first.
    #[default]
    Newest,
    /// Earliest start first.
    Oldest,
    /// Highest cost first.
    Costliest,
    /// Longest without change first.
    Stalest,
}

/// One append as it stands in the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its place in commit order, from 1, without meaning beyond order.
    pub position: u64,
    /// The run.
    pub run: RunId,
    /// The number of its first event.
    pub first: u64,
    /// The events.
    pub events: Vec<Event>,
}

/// A message that another process left for a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// Its number.
    pub id: u64,
    /// The run.
    pub run: RunId,
    /// When it was left.
    pub at: Timestamp,
    /// What it says.
    pub message: Message,
}
