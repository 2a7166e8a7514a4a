//! The attempts of a recorded run: how one is asked for, which use of which step it is, what it says, how it ends.

use midwatch_journal::Open;
use midwatch_workflow::event::{AttemptScheduled, TimerPurpose};
use midwatch_workflow::{Charge, Ended, EventKind, Failure, Name, OpId, Payload, Timestamp};

use super::{RunState, Told, Use};
use crate::ask::NewAttempt;
use crate::marks::Ids;

/// So many step names a run may have; what comes beyond is told as [`OTHER`].
const STEPS_MAX: usize = 1_000;
const OTHER: &str = "other";
/// The longest step name, in bytes.
const STEP_BYTES_MAX: usize = 200;
/// So many failed requests of a run are known again when they come once more.
const KNOWN_MAX: usize = 10_000;
impl RunState {
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
}
