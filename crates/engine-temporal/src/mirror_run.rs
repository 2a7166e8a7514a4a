//! One run in the mirror, as a value: which of its events the journal has, which wait for it, and which may yet be taken
//! back.

use midwatch_journal::Fold;
use midwatch_workflow::event::TimerPurpose;
use midwatch_workflow::{Event, EventKind, Mismatch, ParkReason, Timestamp};
use tokio::time::Instant;

use crate::ends::End;
use crate::mirror::Stands;

/// One run in the mirror.
pub(crate) struct MirroredRun {
    /// Where the journal leaves the run; `None` if it has nothing of it.
    pub(crate) fold: Option<Fold>,
    /// What the journal had of the history when it was read.
    known: Vec<EventKind>,
    /// How many events of the history are in the journal or ready for it.
    kept: u64,
    /// To be written.
    pub(crate) ready: Vec<Event>,
    /// May be taken back.
    tentative: Vec<Event>,
    since: Option<Instant>,
    /// Whether it was left by another worker and nothing says yet that this one took it over.
    is_foreign: bool,
    is_mismatched: bool,
    worker: String,
}

impl MirroredRun {
    /// Takes a run up from what the journal has of it.
    pub(crate) fn of(events: &[Event], worker: &str) -> Self {
        let fold = Fold::of(events);
        let known: Vec<EventKind> =
            events.iter().filter(|event| !is_own(&event.kind)).map(|event| event.kind.clone()).collect();
        Self {
            is_foreign: fold.as_ref().is_some_and(|fold| fold.summary.worker != worker),
            kept: known.len() as u64,
            fold,
            known,
            ready: Vec::new(),
            tentative: Vec::new(),
            since: None,
            is_mismatched: false,
            worker: worker.to_owned(),
        }
    }

    /// Takes events of the history in, the first of this number.
    ///
    /// # Errors
    /// What the journal has differs from them.
    pub(crate) fn take(&mut self, first: u64, events: Vec<Event>, now: Instant) -> Result<(), Mismatch> {
        if first == 1 {
            self.is_mismatched = false;
        }
        for (event, number) in events.into_iter().zip(first..) {
            if self.is_mismatched || self.is_over(number) {
                return Ok(());
            }
            if number <= self.kept {
                self.compare(number, &event)?;
                continue;
            }
            let place = usize::try_from(number - self.kept - 1).unwrap_or(usize::MAX);
            if place > self.tentative.len() {
                tracing::warn!("events are missing before number {number}; the next replay brings them");
                return Ok(());
            }
            self.tentative.truncate(place);
            self.tentative.push(event);
            self.since = Some(now);
        }
        Ok(())
    }

    /// Whether the journal has the run's end. An execution that has more to say than the journal knew then was begun anew at
    /// the server, which the journal cannot tell.
    fn is_over(&mut self, number: u64) -> bool {
        let is_over = self.fold.as_ref().is_some_and(|fold| fold.summary.ended_at.is_some());
        if is_over && number > self.kept && !std::mem::replace(&mut self.is_mismatched, true) {
            tracing::warn!(
                number,
                "a run that has ended in the journal goes on at the server: it is not mirrored"
            );
        }
        is_over
    }

    fn compare(&mut self, number: u64, event: &Event) -> Result<(), Mismatch> {
        let known = usize::try_from(number - 1).ok().and_then(|place| self.known.get(place));
        match known {
            Some(known) if !is_same(known, &event.kind) => {
                self.is_mismatched = true;
                Err(Mismatch::new(known, Mismatch::new(&event.kind, "").journal))
            }
            _ => Ok(()),
        }
    }

    /// Since when something waits for the server's word.
    pub(crate) fn tentative_since(&self) -> Option<Instant> {
        self.since
    }

    /// The server has spoken of what is tentative.
    pub(crate) fn decide(&mut self, stands: Stands) {
        self.since = None;
        let tentative = std::mem::take(&mut self.tentative);
        if stands == Stands::No || tentative.is_empty() {
            return;
        }
        self.kept += tentative.len() as u64;
        for event in tentative {
            self.go_on(event.at);
            self.keep(event);
        }
    }

    /// Says first who goes on, and that what held the run is over.
    fn go_on(&mut self, at: Timestamp) {
        self.take_over(at);
        if self.halted().is_some() {
            self.keep(Event { at, kind: EventKind::Unparked { by: "replay".to_owned() } });
        }
    }

    fn take_over(&mut self, at: Timestamp) {
        if std::mem::take(&mut self.is_foreign) {
            self.keep(Event { at, kind: EventKind::Recovered { worker: self.worker.clone() } });
        }
    }

    fn halted(&self) -> Option<ParkReason> {
        self.fold.as_ref().and_then(|fold| fold.halted)
    }

    /// The run cannot go on: the server takes its task back, all but the start of the run itself.
    pub(crate) fn halt(&mut self, reason: ParkReason, message: String, at: Timestamp) {
        self.tentative.truncate(usize::from(self.kept == 0));
        self.decide(Stands::Yes);
        if self.is_over(0) {
            return;
        }
        if self.fold.is_some() && self.halted() != Some(reason) {
            self.take_over(at);
            self.keep(Event { at, kind: EventKind::Parked { op: None, step: None, reason, message } });
        }
    }

    /// The server has closed the run's last execution, and this is how; `events` are all that the journal has of it.
    pub(crate) fn end(&mut self, end: &End, events: &[Event], at: Timestamp) {
        let Some(fold) = self.fold.as_ref().filter(|fold| fold.summary.ended_at.is_none()) else { return };
        let at = at.max(fold.summary.updated_at);
        for kind in end.events(events, fold) {
            self.keep(Event { at, kind });
        }
    }

    fn keep(&mut self, mut event: Event) {
        if let EventKind::RunStarted(start) = &mut event.kind {
            start.worker.clone_from(&self.worker);
            self.fold = Some(Fold::begin(start, event.at));
        } else if let Some(fold) = &mut self.fold {
            fold.apply(&event);
        }
        self.ready.push(event);
    }

    /// Whether nothing of it waits.
    pub(crate) fn is_still(&self) -> bool {
        self.ready.is_empty() && self.tentative.is_empty()
    }
}

/// Whether an event is the mirror's own, and has no place in the server's history.
fn is_own(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Parked { op: None, .. } | EventKind::Unparked { .. } | EventKind::Recovered { .. }
    )
}

/// Whether two events tell the same. Times, texts for people and inputs may differ: a task that was given again has
/// another time, and a step that is done keeps its output, whatever the code would ask today.
fn is_same(journal: &EventKind, history: &EventKind) -> bool {
    let same = match (journal, history) {
        (EventKind::AttemptScheduled(a), EventKind::AttemptScheduled(b)) => {
            a.step == b.step && a.nth == b.nth && a.attempt == b.attempt
        }
        (EventKind::TimerStarted { purpose: a, .. }, EventKind::TimerStarted { purpose: b, .. }) => {
            match (a, b) {
                (
                    TimerPurpose::Retry { step: a, nth: m, .. },
                    TimerPurpose::Retry { step: b, nth: n, .. },
                ) => a == b && m == n,
                (a, b) => a == b,
            }
        }
        (EventKind::SignalAwaited { name: a, .. }, EventKind::SignalAwaited { name: b, .. }) => a == b,
        (EventKind::ChildStarted { workflow: a, .. }, EventKind::ChildStarted { workflow: b, .. }) => a == b,
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    };
    same && journal.op() == history.op()
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::{Class, OpId, RunId, RunStarted};

    use super::*;

    fn history(count: u32) -> Vec<Event> {
        let run = RunId::from_bytes([1; 16]);
        let start = RunStarted { worker: "starter".to_owned(), ..RunStarted::bare(run, "main") };
        let start = EventKind::RunStarted(Box::new(start));
        let waits = (1..count).map(|op| EventKind::SignalAwaited { op: OpId(op), name: format!("s{op}") });
        let kinds = std::iter::once(start).chain(waits);
        kinds.map(|kind| Event { at: Timestamp::from_micros(7), kind }).collect()
    }

    fn told(run: &MirroredRun) -> Vec<&'static str> {
        let word = |event: &Event| match event.kind {
            EventKind::RunStarted(_) => "started",
            EventKind::SignalAwaited { .. } => "awaited",
            EventKind::Recovered { .. } => "recovered",
            EventKind::Parked { .. } => "parked",
            EventKind::Unparked { .. } => "unparked",
            EventKind::Abandoned { .. } => "abandoned",
            EventKind::RunEnded { .. } => "ended",
            _ => "other",
        };
        run.ready.iter().map(word).collect()
    }

    #[test]
    fn what_the_server_takes_back_is_not_written() {
        let mut run = MirroredRun::of(&[], "one");
        run.take(1, history(2), Instant::now()).unwrap();
        run.decide(Stands::Yes);
        run.take(3, history(4).split_off(2), Instant::now()).unwrap();
        run.decide(Stands::No);
        assert_eq!(told(&run), ["started", "awaited"]);
        run.take(3, history(3).split_off(2), Instant::now()).unwrap();
        run.decide(Stands::Yes);
        assert_eq!(told(&run), ["started", "awaited", "awaited"]);
    }

    #[test]
    fn a_replay_by_another_worker_writes_only_what_is_new_and_says_who_took_over() {
        let mut first = MirroredRun::of(&[], "one");
        first.take(1, history(2), Instant::now()).unwrap();
        first.decide(Stands::Yes);
        let mut second = MirroredRun::of(&first.ready, "two");
        second.take(1, history(3), Instant::now()).unwrap();
        second.decide(Stands::Yes);
        assert_eq!(told(&second), ["recovered", "awaited"]);
        let mut again = MirroredRun::of(&first.ready, "one");
        again.take(1, history(2), Instant::now()).unwrap();
        again.decide(Stands::Yes);
        assert!(again.is_still());
    }

    #[test]
    fn a_run_that_cannot_go_on_is_parked_once_and_unparked_when_it_does() {
        let mut run = MirroredRun::of(&[], "one");
        run.take(1, history(2), Instant::now()).unwrap();
        for _ in 0..2 {
            run.halt(ParkReason::Stray, "why".to_owned(), Timestamp::from_micros(8));
        }
        assert_eq!(told(&run), ["started", "parked"]);
        run.take(1, history(2), Instant::now()).unwrap();
        run.decide(Stands::Yes);
        assert_eq!(told(&run), ["started", "parked", "unparked", "awaited"]);
    }

    #[test]
    fn an_end_that_the_server_tells_is_the_last_word_whatever_is_replayed_after_it() {
        let mut first = MirroredRun::of(&[], "one");
        first.take(1, history(2), Instant::now()).unwrap();
        first.decide(Stands::Yes);
        let mut journal = std::mem::take(&mut first.ready);
        let mut run = MirroredRun::of(&journal, "one");
        let end = End::Forced { class: Class::Cancelled, why: "terminated".to_owned() };
        run.end(&end, &journal, Timestamp::from_micros(3));
        assert_eq!(told(&run), ["abandoned", "ended"]);
        assert!(
            run.ready.iter().all(|event| event.at == Timestamp::from_micros(7)),
            "time does not step back"
        );
        journal.append(&mut run.ready);

        let mut again = MirroredRun::of(&journal, "two");
        again.end(&end, &journal, Timestamp::from_micros(9));
        // Whoever asks the server about the run has it replayed, by mended code even, or had it begun anew there.
        let mut changed = history(4);
        changed[1].kind = EventKind::SignalAwaited { op: OpId(1), name: "other".to_owned() };
        again.take(1, changed, Instant::now()).unwrap();
        again.decide(Stands::Yes);
        again.halt(ParkReason::Stray, "why".to_owned(), Timestamp::from_micros(9));
        assert!(again.is_still());
    }

    #[test]
    fn other_code_than_the_journal_records_is_noticed() {
        let mut run = MirroredRun::of(&history(2), "starter");
        let mut changed = history(2);
        changed[1].kind = EventKind::SignalAwaited { op: OpId(1), name: "other".to_owned() };
        let mismatch = run.take(1, changed, Instant::now()).unwrap_err();
        assert!(mismatch.to_string().contains("signal other"), "{mismatch}");
    }
}
