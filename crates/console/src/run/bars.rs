//! What of an entry is drawn on the timeline.

use midwatch_observe::tell::event;
use midwatch_observe::timeline::{Attempt, Child, Entry, Happening, Mark, Signal, Sleep, Step};
use midwatch_workflow::{Ended, Timestamp};

use crate::draw::{Bar, Kind};

/// When an entry began and when it was over; an open one lasts until `now`.
pub(super) fn extent(entry: &Entry, now: Timestamp) -> (Timestamp, Timestamp) {
    let from = entry.mark().at;
    let to = bars(entry, now).iter().map(|bar| bar.to).max().unwrap_or(from);
    (from, to.max(from))
}

/// The bars of an entry.
pub(super) fn bars(entry: &Entry, now: Timestamp) -> Vec<Bar> {
    match entry {
        Entry::Step(step) => of_step(step, now),
        Entry::Sleep(sleep) => of_sleep(sleep, now),
        Entry::Signal(signal) => of_signal(signal, now),
        Entry::Child(child) => of_child(child, now),
        Entry::Person(person) => {
            let to = over([person.answer.as_ref().map(|answer| answer.mark), person.abandoned], now);
            vec![bar(person.asked.at, to, Kind::Person, event::parked(person.reason))]
        }
        Entry::Unclaimed(received) => vec![moment(received.mark.at, Kind::Signal, "a signal came")],
        Entry::Happening(Happening { mark, .. }) => vec![moment(mark.at, Kind::Held, "")],
    }
}

fn of_step(step: &Step, now: Timestamp) -> Vec<Bar> {
    let good = if step.undoes.is_some() { Kind::Undo } else { Kind::Good };
    step.attempts.iter().flat_map(|attempt| of_attempt(attempt, good, now)).collect()
}

/// When an attempt ended, or now.
pub(super) fn attempt_end(attempt: &Attempt, now: Timestamp) -> Timestamp {
    over([attempt.end.as_ref().map(|end| end.mark), attempt.abandoned], now).max(attempt.asked.at)
}

fn of_attempt(attempt: &Attempt, good: Kind, now: Timestamp) -> Vec<Bar> {
    let end = attempt_end(attempt, now);
    let started = attempt.started.map_or(end, |mark| mark.at);
    let mut bars = Vec::new();
    if attempt.asked.at < started {
        bars.push(bar(attempt.asked.at, started, Kind::Held, attempt.waits.map_or("waits", event::held)));
    }
    if attempt.started.is_some() {
        let number = attempt.number;
        let (kind, title) = match attempt.end.as_ref().map(|end| &end.result) {
            _ if attempt.void.is_some() => (Kind::Void, format!("attempt {number}, taken back")),
            Some(Ended::Ok(_)) => (good, format!("attempt {number} went well")),
            Some(Ended::Failed(failure)) => {
                (Kind::of(failure.class), format!("attempt {number}: {}", failure.class))
            }
            None if attempt.abandoned.is_some() => {
                (Kind::Void, format!("attempt {number}, no longer wanted"))
            }
            None => (Kind::Active, format!("attempt {number} is under way")),
        };
        bars.push(Bar { from: started, to: end, kind, title });
    }
    if let Some(wait) = &attempt.retry {
        let to = over([wait.fired, wait.abandoned], now);
        bars.push(bar(wait.asked.at, to, Kind::Wait, event::because_of(wait.because)));
    }
    bars
}

fn of_sleep(sleep: &Sleep, now: Timestamp) -> Vec<Bar> {
    vec![bar(sleep.asked.at, over([sleep.fired, sleep.abandoned], now), Kind::Wait, "sleeps")]
}

fn of_signal(signal: &Signal, now: Timestamp) -> Vec<Bar> {
    let received = signal.received.as_ref().map(|received| received.mark);
    let limit = signal.limit.and_then(|limit| limit.fired);
    let to = over([received.or(limit), signal.abandoned], now).max(signal.asked.at);
    vec![bar(signal.asked.at, to, Kind::Signal, "waits for a signal")]
}

fn of_child(child: &Child, now: Timestamp) -> Vec<Bar> {
    let to = over([child.end.as_ref().map(|end| end.mark), child.abandoned], now);
    let kind = match child.end.as_ref().map(|end| &end.result) {
        Some(Ended::Failed(failure)) => Kind::of(failure.class),
        _ => Kind::Child,
    };
    vec![bar(child.asked.at, to, kind, "child run")]
}

fn over(marks: [Option<Mark>; 2], now: Timestamp) -> Timestamp {
    marks.into_iter().flatten().map(|mark| mark.at).min().unwrap_or(now)
}

fn bar(from: Timestamp, to: Timestamp, kind: Kind, title: &str) -> Bar {
    Bar { from, to: to.max(from), kind, title: title.to_owned() }
}

fn moment(at: Timestamp, kind: Kind, title: &str) -> Bar {
    bar(at, at, kind, title)
}
