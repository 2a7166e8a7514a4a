//! One recorded run as a value: what is told becomes events, numbered and encoded, ready for spool and journal.

mod attempts;
#[cfg(test)]
mod tests;
mod unwritten;

use std::collections::HashMap;

use midwatch_journal::{Fold, Open, Status};
use midwatch_workflow::event::Note;
use midwatch_workflow::{
    Class, Ended, Event, EventKind, Failure, Message, Name, OpId, Payload, RunResult, RunStarted, Timestamp,
};

use self::unwritten::Unwritten;
use crate::marks::{Ids, Marks};
use crate::orders::{Orders, Standing, answer};

/// One run.
pub(crate) struct RunState {
    pub(crate) fold: Fold,
    /// Where the run stood before it ended, for when it is taken up again.
    before_end: Option<(u64, Box<Fold>)>,
    uses: HashMap<String, u32>,
    /// The last use of a step by a request that failed, and the attempt.
    failed: HashMap<(String, u64), (u32, u32)>,
    asked: HashMap<OpId, (String, Option<u64>)>,
    marks: Marks,
    /// Watched attempts under way, by their marks.
    watched: HashMap<String, (OpId, Use)>,
    /// Marks of calls that were read from the journal.
    calls: Vec<String>,
    /// Somebody says when it is over.
    pub(crate) is_held: bool,
    pub(crate) orders: Orders,
    last: Option<(u64, Ended)>,
    /// How and when the run ended last, also if it was taken up since.
    ended: Option<(RunResult, Timestamp)>,
    ops: u32,
    /// The trace that it belongs to.
    pub(crate) trace: [u8; 16],
    /// Whether it is recorded.
    pub(crate) is_sampled: bool,
    /// How often the run was taken up again.
    pub(crate) rewinds: u32,
    /// How many events the journal was given.
    written: u64,
    unwritten: Unwritten,
    summarized: (Status, Timestamp),
    is_owed: bool,
    /// When the run was last told of anything.
    pub(crate) touched: Timestamp,
    /// The latest time that anybody spoke of.
    clock: Timestamp,
    pub(crate) is_dirty: bool,
}

/// Events that were told together.
pub(crate) struct Told {
    pub(crate) first: u64,
    pub(crate) text: String,
    pub(crate) last: u64,
}

/// A use of a step, and the attempt at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// The step.
    pub step: Name,
    /// The how-manieth use of it.
    pub nth: u32,
    /// The attempt.
    pub attempt: u32,
}

impl RunState {
    /// Begins a run.
    pub(crate) fn begin(start: RunStarted, at: Timestamp) -> (Self, Told) {
        let mut state = Self::at(Fold::begin(&start, at), at);
        state.is_held = Ids::of(&start.input).held;
        (state.trace, state.is_sampled) = (start.trace(), start.is_sampled());
        let event = Event { at, kind: EventKind::RunStarted(Box::new(start)) };
        let told = state.put(1, &[event]);
        (state, told)
    }

    /// Takes up a run from the journal.
    pub(crate) fn of(events: &[Event]) -> Option<Self> {
        let fold = Fold::of(events)?;
        let touched = fold.summary.updated_at;
        let mut state = Self::at(fold, touched);
        state.written = events.len() as u64;
        for (number, event) in (1..).zip(events) {
            state.learn(number, &event.kind);
            if let EventKind::RunEnded { result } = &event.kind {
                state.ended = Some((result.clone(), event.at));
            }
        }
        let end = events.iter().rposition(|event| matches!(event.kind, EventKind::RunEnded { .. }));
        if let Some(end) = end.filter(|_| state.is_ended()) {
            state.before_end = Fold::of(&events[..end]).map(|fold| (end as u64, Box::new(fold)));
        }
        Some(state)
    }

    fn at(fold: Fold, at: Timestamp) -> Self {
        Self {
            summarized: (fold.summary.status, at),
            fold,
            before_end: None,
            uses: HashMap::new(),
            failed: HashMap::new(),
            asked: HashMap::new(),
            marks: Marks::default(),
            watched: HashMap::new(),
            calls: Vec::new(),
            is_held: false,
            orders: Orders::default(),
            last: None,
            ended: None,
            ops: 0,
            trace: [0; 16],
            is_sampled: true,
            rewinds: 0,
            written: 0,
            unwritten: Unwritten::default(),
            is_owed: true,
            touched: at,
            clock: at,
            is_dirty: false,
        }
    }

    /// What is known beyond the fold.
    fn learn(&mut self, number: u64, kind: &EventKind) {
        self.orders.learn(kind);
        self.ops = self.ops.max(kind.op().map_or(0, |op| op.0));
        match kind {
            EventKind::RunStarted(start) => {
                self.is_held = Ids::of(&start.input).held;
                (self.trace, self.is_sampled) = (start.trace(), start.is_sampled());
            }
            EventKind::AttemptScheduled(asked) => {
                let ids = asked.input.as_ref().map(Ids::of).unwrap_or_default();
                let uses = self.uses.entry(asked.step.to_string()).or_default();
                *uses = (*uses).max(asked.nth);
                let same = ids.same.and_then(|same| u64::from_str_radix(&same, 16).ok());
                self.asked.insert(asked.op, (asked.step.to_string(), same));
                ids.also.into_iter().for_each(|mark| self.learn_mark(mark));
                if let Some(mark) = ids.mark {
                    if ids.watched {
                        let use_of = Use { step: asked.step.clone(), nth: asked.nth, attempt: asked.attempt };
                        self.watched.insert(mark.clone(), (asked.op, use_of));
                    } else {
                        self.calls.push(mark.clone());
                    }
                    self.learn_mark(mark);
                }
            }
            EventKind::Heartbeat { progress, .. } => {
                Ids::of(progress).also.into_iter().for_each(|mark| self.learn_mark(mark));
            }
            EventKind::Rewound { .. } => self.rewinds += 1,
            EventKind::AttemptEnded { op, result, .. } => {
                self.last = Some((number, result.clone()));
                if let Ended::Ok(output) = result {
                    self.calls.extend(Ids::of(output).call());
                }
                self.asked.remove(op);
                self.watched.retain(|_, (watched, _)| watched != op);
            }
            _ => {}
        }
    }

    pub(crate) fn learn_mark(&mut self, mark: String) {
        self.marks.add(mark);
    }

    /// The calls that were read from the journal, once.
    pub(crate) fn take_calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn knows(&self, mark: &str) -> bool {
        self.marks.contains(mark)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.fold.summary.ended_at.is_some()
    }

    /// Says something that only needs recording.
    pub(crate) fn note(&mut self, note: Note, at: Timestamp) -> Told {
        self.ops += 1;
        let op = OpId(self.ops);
        self.tell(vec![EventKind::Noted { op, note }], at)
    }

    /// Takes an order; `None` if it changes nothing.
    ///
    /// # Errors
    /// Why the run cannot take it.
    pub(crate) fn order(&mut self, message: Message, at: Timestamp) -> Result<Option<Told>, String> {
        let kinds = answer(&mut self.fold, message)?;
        kinds.iter().for_each(|kind| self.orders.learn(kind));
        Ok((!kinds.is_empty()).then(|| self.tell(kinds, at)))
    }

    pub(crate) fn standing(&self) -> Standing {
        self.orders.standing(&self.fold)
    }

    /// Ends the run, unless it has ended or something is under way.
    pub(crate) fn end(&mut self, result: Option<RunResult>, at: Timestamp) -> Option<Told> {
        if self.is_ended() || !self.fold.open.is_empty() {
            return None;
        }
        let result = result.unwrap_or_else(|| self.outcome());
        self.before_end = Some((self.fold.summary.events, Box::new(self.fold.clone())));
        self.ended = Some((result.clone(), at));
        Some(self.tell(vec![EventKind::RunEnded { result }], at))
    }

    /// Ends a run again that was taken up only for what had happened before its end; `None` unless that is so.
    pub(crate) fn end_as_before(&mut self) -> Option<Told> {
        let (result, at) = self.ended.clone().filter(|(_, at)| self.touched <= *at)?;
        self.end(Some(result), at)
    }

    /// A run whose last attempt failed has failed.
    fn outcome(&self) -> RunResult {
        match &self.last {
            Some((_, Ended::Failed(failure))) => {
                let failure = Failure { charges: Vec::new(), ..failure.clone() };
                RunResult::Failed { failure, compensated: 0, resolved: 0 }
            }
            _ => RunResult::Completed(Payload::null()),
        }
    }

    /// The process that was here before is gone: what was under way is lost, and waits are over.
    pub(crate) fn recover(&mut self, worker: &str, at: Timestamp) -> Told {
        let mut kinds = vec![EventKind::Recovered { worker: worker.to_owned() }];
        let watched: Vec<OpId> = self.watched.values().map(|(op, _)| *op).collect();
        for (op, open) in self.fold.open.iter().filter(|(op, _)| !watched.contains(op)) {
            kinds.push(match open {
                Open::Attempt { charges, .. } => {
                    let what = "the process died during the call";
                    let result = Ended::Failed(Failure::new(Class::Lost, what).ambiguous());
                    EventKind::AttemptEnded { op: *op, result, charges: charges.clone() }
                }
                _ => EventKind::Abandoned { op: *op },
            });
        }
        for kind in &kinds {
            self.learn(0, kind);
        }
        self.tell(kinds, at)
    }

    /// Makes events and takes them in.
    pub(crate) fn tell(&mut self, kinds: Vec<EventKind>, at: Timestamp) -> Told {
        let first = self.fold.summary.events + 1;
        let events: Vec<Event> = kinds.into_iter().map(|kind| Event { at, kind }).collect();
        for event in &events {
            match event.kind {
                EventKind::Rewound { .. } => {
                    self.rewinds += 1;
                    self.take_up();
                }
                _ => self.fold.apply(event),
            }
        }
        self.put(first, &events)
    }

    /// Goes back to before the end, as a fold over all events does; counts stay.
    fn take_up(&mut self) {
        if let Some((_, before)) = self.before_end.take() {
            let now = std::mem::replace(&mut self.fold, *before);
            self.fold.summary.events = now.summary.events + 1;
            self.fold.summary.updated_at = now.summary.updated_at;
        }
    }
}
