//! A journal that says when something was appended.

use std::sync::Arc;

use midwatch_journal::{Append, Done, Error, Journal, Letter, Row, RunQuery, RunSummary};
use midwatch_workflow::{Event, Message, RunId, Timestamp};
use tokio::sync::Notify;

/// Passes all on, and rings after every append.
pub(super) struct Watched {
    journal: Arc<dyn Journal>,
    pub(super) appended: Arc<Notify>,
}

impl Watched {
    pub(super) fn over(journal: Arc<dyn Journal>, appended: &Arc<Notify>) -> Arc<dyn Journal> {
        Arc::new(Self { journal, appended: Arc::clone(appended) })
    }
}

impl Journal for Watched {
    fn append(&self, append: Append, done: Done) {
        let appended = Arc::clone(&self.appended);
        let done: Done = Box::new(move |result| {
            done(result);
            appended.notify_one();
        });
        self.journal.append(append, done);
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        self.journal.events(run, after)
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        self.journal.run(run)
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        self.journal.runs(query)
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        self.journal.since(after, limit)
    }

    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error> {
        self.journal.post(run, message, at)
    }

    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error> {
        self.journal.letters(answered, limit)
    }
}
