//! What is known of traces whose end has not been seen: which run they belong to, and which of their calls are counted.
//!
//! All of it is in memory and bounded. What must outlive the process is in the journal, as marks of the run.

use std::collections::{HashMap, HashSet};

use midwatch_workflow::{Failure, RunId, Timestamp, WorkflowId};

use crate::span::SpanId;

/// So many traces are known, the latest ones; and so many spans of each.
const TRACES_MAX: usize = 20_000;
const SPANS_MAX: usize = 10_000;
/// So deep spans are within each other, as far as is looked.
const DEPTH_MAX: usize = 200;

/// A run's workflow and workflow id.
pub(crate) type RunKey = (String, WorkflowId);

/// What is known of a trace.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The run of its spans that name none.
    pub(crate) run: Option<RunKey>,
    /// Spans below which, and spans in which, something is counted.
    pub(crate) counted: Counted,
    /// When the last attempt at a node ended.
    pub(crate) nodes: HashMap<u64, Timestamp>,
    /// Marks of nodes under way, whose own spans have not come.
    pub(crate) open: HashSet<String>,
    /// How it ended, once its first span has.
    pub(crate) over: Option<Over>,
    /// Nothing has come since what it left behind was ended.
    is_closed: bool,
    /// When something of it last came, by the clock here.
    pub(crate) heard: Timestamp,
}

/// How a trace ended.
#[derive(Clone, Debug)]
pub(crate) struct Over {
    pub(crate) failure: Option<Failure>,
    pub(crate) at: Timestamp,
}

/// Which spans are paid for. Spans come innermost first, and a call may be told by several of them, each within the other:
/// what one says is counted once.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    above: HashSet<SpanId>,
    at: HashSet<SpanId>,
    parents: HashMap<SpanId, SpanId>,
}

impl Counted {
    /// Notes that a span came.
    pub(crate) fn came(&mut self, span: SpanId, parent: Option<SpanId>) {
        if self.parents.len() < SPANS_MAX {
            self.parents.extend(parent.map(|parent| (span, parent)));
        }
    }

    /// Something below this span is counted, and so below all that it is in.
    pub(crate) fn below(&mut self, span: SpanId) {
        let all: Vec<SpanId> = self.up(span).collect();
        if self.above.len() + all.len() <= SPANS_MAX {
            self.above.extend(all);
        }
    }

    /// A span and what it is in, as far as that has come.
    fn up(&self, span: SpanId) -> impl Iterator<Item = SpanId> {
        std::iter::successors(Some(span), |span| self.parents.get(span).copied()).take(DEPTH_MAX)
    }

    /// This span is counted, and what is within it therefore is.
    pub(crate) fn at(&mut self, span: SpanId) {
        if self.at.len() < SPANS_MAX {
            self.at.insert(span);
        }
    }

    pub(crate) fn is_below(&self, span: SpanId) -> bool {
        self.above.contains(&span)
    }

    /// Whether this span, or one that it is in, is counted.
    pub(crate) fn is_at(&self, span: SpanId) -> bool {
        self.up(span).any(|span| self.at.contains(&span))
    }
}

/// All traces that are known.
#[derive(Debug, Default)]
pub(crate) struct Traces(HashMap<RunId, Trace>);

impl Traces {
    /// The trace, to be known from now on.
    pub(crate) fn of(&mut self, trace: RunId, now: Timestamp) -> &mut Trace {
        if self.0.len() >= TRACES_MAX && !self.0.contains_key(&trace) {
            self.make_room();
        }
        let found = self.0.entry(trace).or_default();
        found.heard = now;
        found.is_closed = false;
        found
    }

    /// The trace, if it is known.
    pub(crate) fn get(&self, trace: RunId) -> Option<&Trace> {
        self.0.get(&trace)
    }

    /// Forgets the tenth that was silent for longest.
    fn make_room(&mut self) {
        let mut heard: Vec<(Timestamp, RunId)> =
            self.0.iter().map(|(id, trace)| (trace.heard, *id)).collect();
        heard.sort_unstable();
        for (_, id) in heard.into_iter().take(TRACES_MAX / 10) {
            self.0.remove(&id);
        }
    }

    /// Whether a run has a trace that has not ended.
    pub(crate) fn is_open(&self, run: &RunKey) -> bool {
        self.0.values().any(|trace| trace.over.is_none() && trace.run.as_ref() == Some(run))
    }

    /// Ended traces that nothing came of any more since `before`, each once: its run, how it ended, and what it left open.
    pub(crate) fn settled(&mut self, before: Timestamp) -> Vec<(RunKey, Over, HashSet<String>)> {
        let is_settled = |trace: &Trace| !trace.is_closed && trace.over.is_some() && trace.heard <= before;
        let settled = self.0.values_mut().filter(|trace| is_settled(trace));
        let close = |trace: &mut Trace| {
            trace.is_closed = true;
            // What is in the journal is enough from here on.
            trace.counted = Counted::default();
            trace.nodes = HashMap::new();
            Some((trace.run.clone()?, trace.over.clone()?, std::mem::take(&mut trace.open)))
        };
        settled.filter_map(close).collect()
    }

    /// Forgets traces that nothing came of since `before`.
    pub(crate) fn forget(&mut self, before: Timestamp) {
        self.0.retain(|_, trace| trace.heard > before);
    }
}
