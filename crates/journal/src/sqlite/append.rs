//! The statements of the writer: what one append, one letter or one answer does inside a transaction.

use midwatch_workflow::{RunId, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::repeat::is_repeat;
use crate::{Append, Appended, Error, RunSummary};

/// A summary and its JSON, encoded before it reaches the writer.
pub(super) struct Listed {
    summary: Box<RunSummary>,
    json: String,
}

impl Listed {
    pub(super) fn new(summary: Box<RunSummary>) -> Result<Self, Error> {
        let json = serde_json::to_string(&summary).map_err(Error::damaged)?;
        Ok(Self { summary, json })
    }
}

/// An append on its way to the disk.
pub(super) struct Entry {
    pub(super) run: RunId,
    pub(super) first: u64,
    /// Empty if only the summary is replaced.
    pub(super) body: String,
    pub(super) listed: Option<Listed>,
}

impl Entry {
    /// # Errors
    /// [`Error::TooLarge`].
    pub(super) fn new(append: Append) -> Result<Self, Error> {
        let is_summary_only = append.is_summary_only();
        let Append { run, first, body, summary } = append;
        if body.len() > Append::BYTES_MAX {
            return Err(Error::TooLarge { bytes: body.len() });
        }
        let body = if is_summary_only { String::new() } else { body };
        let listed = summary.map(Listed::new).transpose()?;
        Ok(Self { run, first, body, listed })
    }

    /// About how much it adds to the transaction.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + self.listed.as_ref().map_or(0, |listed| listed.json.len())
    }
}

/// What SQLite says of an append, or what is wrong with the append itself.
type Outcome = rusqlite::Result<Result<Appended, Error>>;

/// Everything that a commit does; prepared once, and looked up for each.
pub(super) struct Statements<'c> {
    begin: CachedStatement<'c>,
    commit: CachedStatement<'c>,
    insert: CachedStatement<'c>,
    body: CachedStatement<'c>,
    list: CachedStatement<'c>,
    update: CachedStatement<'c>,
    holder: CachedStatement<'c>,
    unlist: CachedStatement<'c>,
    post: CachedStatement<'c>,
    remove: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    /// How many a connection must be able to keep prepared.
    pub(super) const COUNT_MAX: usize = 16;

    pub(super) fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare_cached("BEGIN IMMEDIATE")?,
            commit: connection.prepare_cached("COMMIT")?,
            insert: connection
                .prepare_cached("INSERT INTO journal (run, first, body) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?,
            body: connection.prepare_cached("SELECT body FROM journal WHERE run = ?1 AND first = ?2")?,
            list: connection.prepare_cached(
                "INSERT INTO runs (run, workflow, workflow_id, twin, tenant, status, started_at, updated_at, cost, summary)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            )?,
            update: connection
                .prepare_cached("UPDATE runs SET status = ?2, updated_at = ?3, cost = ?4, summary = ?5 WHERE run = ?1")?,
            holder: connection
                .prepare_cached("SELECT run FROM runs WHERE workflow_id = ?1 AND workflow = ?2 AND twin = x''")?,
            unlist: connection.prepare_cached("DELETE FROM runs WHERE run = ?1")?,
            post: connection.prepare_cached(INSERT_LETTER)?,
            remove: connection.prepare_cached("DELETE FROM inbox WHERE id = ?1")?,
        })
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(drop)
    }

    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute([]).map(drop)
    }

    /// Writes an append, or says why not; the transaction goes on either way unless SQLite itself fails.
    pub(super) fn append(&mut self, entry: &Entry) -> Outcome {
        match &entry.listed {
            Some(listed) if entry.body.is_empty() => self.update(listed).map(|()| Ok(Appended::Written)),
            None if entry.body.is_empty() => Ok(Ok(Appended::Written)),
            Some(listed) if entry.first == 1 => self.start(entry, listed),
            listed => {
                let outcome = self.insert(entry)?;
                if let (Ok(true), Some(listed)) = (&outcome, listed) {
                    self.update(listed)?;
                }
                Ok(outcome.map(|_| Appended::Written))
            }
        }
    }

    /// The list comes first: it knows whether the workflow id is free.
    fn start(&mut self, entry: &Entry, listed: &Listed) -> Outcome {
        let is_listed = self.list(listed)?;
        if !is_listed
            && let Some(holder) = self.holder(&listed.summary)?
            && holder != entry.run
        {
            return Ok(Ok(Appended::Duplicate(holder)));
        }
        let outcome = self.insert(entry)?;
        if outcome.is_err() && is_listed {
            self.unlist.execute([entry.run.as_bytes()])?;
        }
        Ok(outcome.map(|_| Appended::Written))
    }

    /// Whether the row is new; what is there already must be the same.
    fn insert(&mut self, entry: &Entry) -> rusqlite::Result<Result<bool, Error>> {
        let Entry { run, first, body, .. } = entry;
        let first_signed = first.cast_signed();
        if self.insert.execute(params![run.as_bytes(), first_signed, body])? == 1 {
            return Ok(Ok(true));
        }
        let old: String = self.body.query_row(params![run.as_bytes(), first_signed], |row| row.get(0))?;
        let is_repeat = is_repeat(*first, &old, body);
        Ok(if is_repeat { Ok(false) } else { Err(Error::Conflict { run: *run, number: *first }) })
    }

    fn list(&mut self, listed: &Listed) -> rusqlite::Result<bool> {
        let Listed { summary, json } = listed;
        let twin: &[u8] = if summary.claims_workflow_id() { &[] } else { summary.run.as_bytes() };
        let listed = self.list.execute(params![
            summary.run.as_bytes(),
            summary.workflow,
            summary.workflow_id.as_str(),
            twin,
            summary.tenant,
            summary.status.as_str(),
            column(summary.started_at.as_micros()),
            column(summary.updated_at.as_micros()),
            column(summary.spent.cost.as_picos()),
            json,
        ])?;
        Ok(listed == 1)
    }

    fn update(&mut self, listed: &Listed) -> rusqlite::Result<()> {
        let Listed { summary, json } = listed;
        let updated = self.update.execute(params![
            summary.run.as_bytes(),
            summary.status.as_str(),
            column(summary.updated_at.as_micros()),
            column(summary.spent.cost.as_picos()),
            json,
        ])?;
        // Its start came without a summary.
        if updated == 0 {
            self.list(listed)?;
        }
        Ok(())
    }

    /// The run that has the workflow id that a new run claims.
    fn holder(&mut self, summary: &RunSummary) -> rusqlite::Result<Option<RunId>> {
        if !summary.claims_workflow_id() {
            return Ok(None);
        }
        let key = params![summary.workflow_id.as_str(), summary.workflow];
        self.holder.query_row(key, |row| row.get(0).map(RunId::from_bytes)).optional()
    }

    pub(super) fn post(&mut self, run: RunId, message: &str, at: Timestamp) -> rusqlite::Result<u64> {
        self.post.query_row(params![run.as_bytes(), column(at.as_micros()), message], |row| row.get(0))
    }

    pub(super) fn remove(&mut self, letters: &[u64]) -> rusqlite::Result<()> {
        for letter in letters {
            self.remove.execute([letter.cast_signed()])?;
        }
        Ok(())
    }
}

/// Leaves a letter and gives its number.
pub(super) const INSERT_LETTER: &str =
    "INSERT INTO inbox (run, at, message) VALUES (?1, ?2, ?3) RETURNING id";

/// A number as SQLite orders it. Beyond 63 bits only the order suffers: the summary has the exact value.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
