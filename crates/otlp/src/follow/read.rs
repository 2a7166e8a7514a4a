//! From rows of the journal to spans that have become final.

use std::collections::HashMap;

use midwatch_journal::{Error, Journal, Row};
use midwatch_observe::trace::{Span, Tracer};
use midwatch_workflow::{EventKind, RunId};

/// So many rows are read at once.
const ROWS_MAX: usize = 256;
/// Of so many open runs what is known is kept in memory; of others it is read again.
const TRACERS_MAX: usize = 4_096;

/// Reads a journal row by row.
pub(super) struct Reader {
    position: u64,
    tracers: HashMap<RunId, Known>,
    batches: u64,
    /// Whether spans of traces are read, too, that who began them does not have recorded.
    reads_unsampled: bool,
}

struct Known {
    tracer: Tracer,
    /// The batch that it was last needed for.
    used: u64,
}

/// What was read.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) spans: Vec<Span>,
    /// The last row of it.
    pub(super) position: u64,
    /// Rows of which nothing can be told.
    pub(super) unreadable: Vec<String>,
}

impl Reader {
    pub(super) fn at(position: u64, reads_unsampled: bool) -> Self {
        Self { position, tracers: HashMap::new(), batches: 0, reads_unsampled }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads on; a batch that stands where the last one stood is empty.
    ///
    /// # Errors
    /// What the journal says, but for damage: that is passed over, row by row, and said.
    pub(super) fn read(&mut self, journal: &dyn Journal) -> Result<Batch, Error> {
        let mut batch = Batch { position: self.position, ..Batch::default() };
        self.batches += 1;
        let rows = match journal.since(self.position, ROWS_MAX) {
            Ok(rows) => rows,
            Err(error @ Error::Damaged { .. }) => {
                batch.unreadable.push(error.to_string());
                self.position += 1;
                batch.position = self.position;
                return Ok(batch);
            }
            Err(error) => return Err(error),
        };
        for row in &rows {
            match self.take(journal, row, &mut batch.spans) {
                Ok(()) => {}
                Err(error @ Error::Damaged { .. }) => batch.unreadable.push(error.to_string()),
                Err(error) => return Err(error),
            }
            (self.position, batch.position) = (row.position, row.position);
        }
        batch.spans.retain(|span| span.is_sampled || self.reads_unsampled);
        self.forget();
        Ok(batch)
    }

    fn take(&mut self, journal: &dyn Journal, row: &Row, spans: &mut Vec<Span>) -> Result<(), Error> {
        let known = self.tracers.remove(&row.run).map(|known| known.tracer);
        let known = known.filter(|tracer| tracer.number() + 1 == row.first);
        let (mut tracer, events) = match (known, row.events.split_first()) {
            (_, None) => return Ok(()),
            (Some(tracer), _) => (tracer, &row.events[..]),
            (None, Some((first, rest))) => match &first.kind {
                EventKind::RunStarted(start) if row.first == 1 => {
                    (Tracer::begin(start, first.at, spans), rest)
                }
                _ => match before(journal, row.run, row.first)? {
                    Some(tracer) => (tracer, &row.events[..]),
                    None => return Ok(()),
                },
            },
        };
        for event in events {
            match event.kind {
                EventKind::Rewound { to, .. } => {
                    let mut all = journal.events(row.run, 0)?;
                    all.truncate(usize::try_from(tracer.number()).unwrap_or(usize::MAX));
                    tracer.rewind(&all, to, event.at, spans);
                }
                _ => tracer.apply(event, spans),
            }
        }
        if !tracer.is_ended() {
            self.tracers.insert(row.run, Known { tracer, used: self.batches });
        }
        Ok(())
    }

    /// Lets go of the runs that said nothing for longest.
    fn forget(&mut self) {
        if self.tracers.len() <= TRACERS_MAX {
            return;
        }
        let mut used: Vec<u64> = self.tracers.values().map(|known| known.used).collect();
        let half = used.len() / 2;
        let (_, limit, _) = used.select_nth_unstable(half);
        let limit = *limit;
        self.tracers.retain(|_, known| known.used > limit);
    }
}

/// What is known of a run before one of its events; `None` if it has no start.
fn before(journal: &dyn Journal, run: RunId, first: u64) -> Result<Option<Tracer>, Error> {
    let mut events = journal.events(run, 0)?;
    events.truncate(usize::try_from(first - 1).unwrap_or(usize::MAX));
    Ok(Tracer::of(&events).map(|(tracer, _)| tracer))
}
