//! What to do about a run that waits for somebody: the very command.

use midwatch_observe::timeline::{Entry, Person, Timeline};
use midwatch_workflow::ParkReason;

use super::text::clean;

/// The commands that move the run, each with what it means.
pub(crate) fn next(timeline: &Timeline) -> Vec<(String, &'static str)> {
    let run = timeline.start.run.short();
    // Of a run that others carry out nobody here can answer for them.
    if timeline.end.is_some() || timeline.start.recorder().is_some() {
        return Vec::new();
    }
    if let Some(person) = timeline.parked() {
        return for_parked(&run, person);
    }
    let awaited = timeline.entries.iter().filter_map(|entry| match entry {
        Entry::Signal(signal)
            if signal.received.is_none() && signal.abandoned.is_none() && signal.void.is_none() =>
        {
            Some(&signal.name)
        }
        _ => None,
    });
    awaited
        .map(|name| (format!("midwatch signal {run} {} JSON", word(name)), "send what it waits for"))
        .collect()
}

fn for_parked(run: &str, person: &Person) -> Vec<(String, &'static str)> {
    let step = person.step.as_ref().map(|step| format!(" {}", word(step))).unwrap_or_default();
    let resolve = |answer: &str| format!("midwatch resolve {run}{step} {answer}");
    match person.reason {
        ParkReason::Budget => vec![
            (format!("midwatch budget {run} --add USD"), "raise the budget and go on"),
            (resolve("--fail"), "give the step up and compensate"),
        ],
        ParkReason::CompensationFailed => vec![
            (resolve("--retry"), "try the compensation again"),
            (resolve("--done"), "it was undone by hand"),
            (resolve("--fail"), "leave it as it is and undo the rest"),
        ],
        ParkReason::ReplayedFailure => vec![
            (resolve("--done=JSON"), "the receiver did it; this is its answer"),
            (resolve("--retry"), "ask again with the same key"),
            (resolve("--fail"), "the receiver did not do it; go on as failed"),
        ],
        ParkReason::Mismatch | ParkReason::Panicked | ParkReason::Stray | ParkReason::NoCode => {
            vec![(format!("midwatch retry {run}"), "once a process with mended code runs")]
        }
    }
}

/// A word as a shell takes it.
pub(crate) fn word(text: &str) -> String {
    let text = clean(text);
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:#@%+=".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
