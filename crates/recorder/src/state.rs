//! One recorded run as a value: what is told becomes events, numbered and encoded, ready for spool and journal.

use std::collections::HashMap;
use std::time::Duration;

use crate::ask::NewAttempt;
use crate::marks::{Ids, Marks};
use crate::orders::{Orders, Standing, answer};
use crate::spool::Held;
use midwatch_journal::{Append, Fold, Open, RunSummary, Status};
use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose};
use midwatch_workflow::{
    Charge, Class, Ended, Event, EventKind, Failure, Message, Name, OpId, Payload, RunResult, RunStarted,
    Timestamp,
};

/// So many step names a run may have; what comes beyond is told as [`OTHER`].
const STEPS_MAX: usize = 1_000;
const OTHER: &str = "other";
/// The longest step name, in bytes.
const STEP_BYTES_MAX: usize = 200;
/// So many failed requests of a run are known again when they come once more.
const KNOWN_MAX: usize = 10_000;
/// How long a summary of a busy run may trail its journal.
const SUMMARY_LAG: Duration = Duration::from_millis(750);

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

#[derive(Default)]
struct Unwritten {
    /// Items of a JSON array.
    text: String,
    /// What was told, without what is between the items.
    bytes: usize,
    count: u64,
    held: Held,
}

/// Events that were told together.
pub(crate) struct Told {
    pub(crate) first: u64,
    pub(crate) text: String,
    pub(crate) last: u64,
}

/// An append for the journal, the number of its last event, and what of the spool it frees.
pub(crate) struct Taken {
    pub(crate) append: Append,
    pub(crate) upto: u64,
    pub(crate) held: Held,
    pub(crate) bytes: usize,
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

    pub(crate) fn under_way(&self, mark: &str) -> Option<(OpId, Use)> {
        self.watched.get(mark).cloned()
    }

    pub(crate) fn charges(&self, op: OpId) -> Vec<Charge> {
        match self.fold.open.get(&op) {
            Some(Open::Attempt { charges, .. }) => charges.clone(),
            _ => Vec::new(),
        }
    }

    /// Says that something happened within an attempt.
    pub(crate) fn beat(
        &mut self,
        op: OpId,
        marks: &[String],
        progress: &Payload,
        charges: Vec<Charge>,
        at: Timestamp,
    ) -> Told {
        marks.iter().for_each(|mark| self.learn_mark(mark.clone()));
        let progress = Ids { also: marks.to_vec(), ..Ids::default() }.put_on(Some(progress));
        let progress = progress.unwrap_or_else(Payload::null);
        self.tell(vec![EventKind::Heartbeat { op, progress, charges }], at)
    }

    /// Ends the watched attempts that are under way; `None` if there are none.
    pub(crate) fn lose_watched(&mut self, lost: &Failure, at: Timestamp) -> Option<Told> {
        let watched = std::mem::take(&mut self.watched);
        let mut ops: Vec<OpId> = watched.into_values().map(|(op, _)| op).collect();
        ops.sort();
        let end = |op| EventKind::AttemptEnded {
            op,
            result: Ended::Failed(lost.clone()),
            charges: self.charges(op),
        };
        let kinds: Vec<EventKind> = ops.into_iter().map(end).collect();
        (!kinds.is_empty()).then(|| self.tell(kinds, at))
    }

    pub(crate) fn knows(&self, mark: &str) -> bool {
        self.marks.contains(mark)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.fold.summary.ended_at.is_some()
    }

    /// Asks for an attempt; a run that had ended is taken up again.
    pub(crate) fn schedule(
        &mut self,
        new: NewAttempt,
        again: Option<&Use>,
        at: Timestamp,
    ) -> (OpId, Use, Told) {
        let mut kinds = Vec::with_capacity(3);
        if let Some((to, _)) = &self.before_end {
            kinds.push(EventKind::Rewound { to: *to, by: "a new call".to_owned() });
        }
        let step = self.step_name(&new.step);
        let use_of = self.use_of(step, new.same, again);
        self.ops += 1;
        let op = OpId(self.ops);
        self.asked.insert(op, (use_of.step.to_string(), new.same));
        let is_first = use_of.attempt == 1;
        let ids = Ids {
            same: new.same.filter(|_| is_first).map(|same| format!("{same:016x}")),
            mark: new.mark.clone(),
            also: new.also,
            watched: new.is_watched,
            ..Ids::default()
        };
        let input = ids.put_on(new.input.as_ref().filter(|_| is_first));
        ids.also.into_iter().for_each(|mark| self.learn_mark(mark));
        if let Some(mark) = new.mark {
            if new.is_watched {
                self.watched.insert(mark.clone(), (op, use_of.clone()));
            }
            self.learn_mark(mark);
        }
        kinds.push(EventKind::AttemptScheduled(Box::new(AttemptScheduled {
            op,
            step: use_of.step.clone(),
            nth: use_of.nth,
            attempt: use_of.attempt,
            input,
            timeout: new.timeout,
            heartbeat: new.heartbeat,
            queue: None,
            target: new.target,
            undo: None,
            undoes: None,
            waits: new.waits,
        })));
        if !new.bounds.is_empty() {
            kinds.push(EventKind::Heartbeat { op, progress: Payload::null(), charges: new.bounds });
        }
        (op, use_of, self.tell(kinds, at))
    }

    fn step_name(&self, step: &Name) -> Name {
        let kept = step.floor_char_boundary(STEP_BYTES_MAX);
        let name = &step[..kept];
        match self.uses.contains_key(name) || self.uses.len() < STEPS_MAX {
            true if kept == step.len() => step.clone(),
            true => name.to_owned().into(),
            false => OTHER.into(),
        }
    }

    fn use_of(&mut self, step: Name, same: Option<u64>, again: Option<&Use>) -> Use {
        if let Some(again) = again {
            return Use { attempt: again.attempt + 1, ..again.clone() };
        }
        let failed = same.and_then(|same| self.failed.remove(&(step.to_string(), same)));
        if let Some((nth, attempt)) = failed {
            return Use { step, nth, attempt: attempt + 1 };
        }
        let uses = match self.uses.get_mut(&*step) {
            Some(uses) => uses,
            None => self.uses.entry(step.to_string()).or_default(),
        };
        *uses += 1;
        let nth = *uses;
        Use { step, nth, attempt: 1 }
    }

    /// Ends an attempt; `None` if it is not under way.
    pub(crate) fn end_attempt(
        &mut self,
        op: OpId,
        use_of: &Use,
        result: Result<Payload, Failure>,
        charges: Option<Vec<Charge>>,
        at: Timestamp,
    ) -> Option<Told> {
        let Some(Open::Attempt { charges: said, .. }) = self.fold.open.get(&op) else { return None };
        let charges = charges.unwrap_or_else(|| said.clone());
        self.watched.retain(|_, (watched, _)| *watched != op);
        if let Some((step, Some(same))) = self.asked.remove(&op)
            && result.is_err()
            && self.failed.len() < KNOWN_MAX
        {
            self.failed.insert((step, same), (use_of.nth, use_of.attempt));
        }
        let result = Ended::from(result);
        self.last = Some((self.fold.summary.events + 1, result.clone()));
        Some(self.tell(vec![EventKind::AttemptEnded { op, result, charges }], at))
    }

    /// Says that an attempt waits before it is made once more.
    pub(crate) fn wait(&mut self, until: Timestamp, purpose: TimerPurpose, at: Timestamp) -> (OpId, Told) {
        self.ops += 1;
        let op = OpId(self.ops);
        (op, self.tell(vec![EventKind::TimerStarted { op, until, purpose }], at))
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

    fn put(&mut self, first: u64, events: &[Event]) -> Told {
        let mut text = String::with_capacity(256 * events.len());
        for event in events {
            // An event is data throughout: it has a JSON form.
            let json = serde_json::to_string(event).unwrap_or_default();
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&json);
        }
        self.touched = events.last().map_or(self.touched, |event| self.touched.max(event.at));
        self.clock = self.clock.max(self.touched);
        if !self.unwritten.text.is_empty() {
            self.unwritten.text.push(',');
        }
        self.unwritten.text.push_str(&text);
        self.unwritten.bytes += text.len();
        self.unwritten.count += events.len() as u64;
        self.is_owed = true;
        Told { first, text, last: first + events.len() as u64 - 1 }
    }

    /// What the spool holds of the events that are not written yet.
    pub(crate) fn held(&mut self) -> &mut Held {
        &mut self.unwritten.held
    }

    pub(crate) fn is_unwritten(&self) -> bool {
        self.unwritten.count > 0
    }

    /// Whether a summary is due that no event will bring.
    pub(crate) fn is_summary_due(&mut self, now: Timestamp) -> bool {
        self.clock = self.clock.max(now);
        self.is_owed && self.unwritten.count == 0 && self.lags()
    }

    fn lags(&self) -> bool {
        self.clock.since(self.summarized.1) >= SUMMARY_LAG
    }

    /// Hands over what the journal has not been given.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let unwritten = std::mem::take(&mut self.unwritten);
        let first = self.written + 1;
        let summary = self.summary_if_due(first == 1);
        if unwritten.count == 0 && summary.is_none() {
            return None;
        }
        self.written += unwritten.count;
        let body = if unwritten.count == 0 { String::new() } else { format!("[{}]", unwritten.text) };
        let append = Append { run: self.fold.summary.run, first, body, summary };
        Some(Taken { append, upto: self.written, held: unwritten.held, bytes: unwritten.bytes })
    }

    fn summary_if_due(&mut self, is_first: bool) -> Option<Box<RunSummary>> {
        if !self.is_owed {
            return None;
        }
        self.fold.summarize();
        let status = self.fold.summary.status;
        let is_due = is_first || self.is_ended() || status != self.summarized.0 || self.lags();
        is_due.then(|| {
            self.is_owed = false;
            self.summarized = (status, self.clock);
            Box::new(self.fold.summary.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::{Certainty, RunId, Usage, WorkflowId};

    use super::*;

    const fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + second * 1_000_000)
    }

    fn begun() -> (RunState, String) {
        let start = RunStarted {
            run: RunId::from_bytes([1; 16]),
            workflow: "w".to_owned(),
            workflow_id: WorkflowId::new("thread").unwrap(),
            input: Payload::null(),
            timeout: None,
            budget: None,
            parent: None,
            forked_from: None,
            key_base: None,
            traceparent: None,
            tenant: None,
            worker: "recorder: test".to_owned(),
        };
        let (state, told) = RunState::begin(start, at(0));
        (state, told.text)
    }

    fn asks(same: u64) -> NewAttempt {
        let bound = Charge {
            certainty: Certainty::Bound,
            usage: Usage { input: 9, ..Usage::default() },
            ..Charge::default()
        };
        NewAttempt {
            same: Some(same),
            mark: Some(format!("span-{same}")),
            bounds: vec![bound],
            ..NewAttempt::new("ask")
        }
    }

    fn failed() -> Result<Payload, Failure> {
        Err(Failure::new(Class::Server, "down"))
    }

    fn events(text: &str) -> Vec<Event> {
        serde_json::from_str(&format!("[{text}]")).unwrap()
    }

    #[test]
    fn a_request_that_failed_and_comes_again_is_the_next_attempt_also_after_a_restart() {
        let (mut state, mut text) = begun();
        let mut say = |told: Told| text.push_str(&format!(",{}", told.text));
        let (op, first, told) = state.schedule(asks(7), None, at(1));
        say(told);
        say(state.end_attempt(op, &first, failed(), None, at(2)).unwrap());
        let (op, other, told) = state.schedule(asks(8), None, at(2));
        say(told);
        say(state.end_attempt(op, &other, Ok(Payload::null()), Some(Vec::new()), at(2)).unwrap());
        assert_eq!((first.nth, other.nth, other.attempt), (1, 2, 1));
        let (_, again, _) = state.schedule(asks(7), None, at(3));
        assert_eq!((again.nth, again.attempt), (1, 2));
        let (_, anew, _) = state.schedule(asks(8), None, at(3));
        assert_eq!((anew.nth, anew.attempt), (3, 1), "what succeeded is asked anew");
        let state = RunState::of(&events(&text)).unwrap();
        assert!(state.knows("span-8") && !state.knows("span-9"));
    }

    #[test]
    fn a_run_that_ended_is_taken_up_as_a_fold_over_its_events_says() {
        let (mut state, mut text) = begun();
        let (op, first, told) = state.schedule(asks(7), None, at(1));
        text.push_str(&format!(",{}", told.text));
        assert!(state.end(None, at(1)).is_none(), "a call is under way");
        for told in
            [state.end_attempt(op, &first, failed(), None, at(2)).unwrap(), state.end(None, at(900)).unwrap()]
        {
            text.push_str(&format!(",{}", told.text));
        }
        assert_eq!(state.fold.summary.status, Status::Failed);
        let mut reloaded = RunState::of(&events(&text)).unwrap();
        let (_, _, told) = state.schedule(asks(9), None, at(1_000));
        assert_eq!(reloaded.schedule(asks(9), None, at(1_000)).2.text, told.text);
        text.push_str(&format!(",{}", told.text));
        let mut whole = Fold::of(&events(&text)).unwrap();
        for fold in [&mut whole, &mut state.fold, &mut reloaded.fold] {
            fold.summarize();
        }
        assert_eq!((&state.fold.summary, &state.fold.open), (&whole.summary, &whole.open));
        assert_eq!((&reloaded.fold.summary, &reloaded.fold.open), (&whole.summary, &whole.open));
        assert_eq!(state.fold.summary.status, Status::Running);
    }

    #[test]
    fn what_was_under_way_when_the_process_died_is_lost_with_its_bound() {
        let (mut state, mut text) = begun();
        text.push_str(&format!(",{}", state.schedule(asks(7), None, at(1)).2.text));
        let mut next = RunState::of(&events(&text)).unwrap();
        next.recover("recorder: next", at(60));
        let summary = &next.fold.summary;
        assert_eq!((summary.class, summary.spent.usage.input, summary.attempts), (Some(Class::Lost), 9, 1));
        assert!(next.fold.open.is_empty());
    }
}
