//! How an order ended for a run.

use midwatch_journal::RunSummary;
use serde_json::{Value, json};

use crate::Effect;

/// How an order ended for one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It took effect.
    Done(Effect),
    /// It was so already.
    Already(String),
    /// Its letter waits in the inbox.
    Queued {
        /// The letter's number.
        letter: u64,
        /// Why it still waits.
        why: String,
    },
    /// The run cannot take it.
    Refused {
        /// Why.
        why: String,
        /// What to do instead.
        instead: Option<String>,
    },
}

/// What [`report`] says, read back; `None` if that is no outcome.
pub fn reported(report: &Value) -> Option<Outcome> {
    let text = |field: &str| report[field].as_str().map(str::to_owned);
    Some(match report["outcome"].as_str()? {
        "done" => Outcome::Done(match (report["event"].as_u64(), report["new_run"].as_str()) {
            (Some(number), _) => Effect::Event(number),
            (None, run) => Effect::Run(run?.parse().ok()?),
        }),
        "already" => Outcome::Already(text("why")?),
        "queued" => Outcome::Queued { letter: report["letter"].as_u64()?, why: text("why")? },
        "refused" => Outcome::Refused { why: text("why")?, instead: text("instead") },
        _ => return None,
    })
}

/// The outcome as programs read it.
pub fn report(run: &RunSummary, outcome: &Outcome) -> Value {
    let (word, more) = match outcome {
        Outcome::Done(Effect::Event(number)) => ("done", json!({ "event": number })),
        Outcome::Done(Effect::Run(id)) => ("done", json!({ "new_run": id })),
        Outcome::Already(what) => ("already", json!({ "why": what })),
        Outcome::Queued { letter, why } => ("queued", json!({ "letter": letter, "why": why })),
        Outcome::Refused { why, instead } => {
            ("refused", json!({ "code": "MW0104", "why": why, "instead": instead }))
        }
    };
    let mut data = json!({ "run": run.run, "workflow_id": run.workflow_id, "outcome": word });
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    data
}

#[cfg(test)]
mod tests {
    use midwatch_journal::Fold;
    use midwatch_workflow::{EventKind, RunId, Timestamp};

    use super::*;

    #[test]
    fn every_outcome_is_read_back_as_it_was_reported() {
        let start = midwatch_observe::corpus::Tale::begin(midwatch_observe::corpus::World::of(0), 1).events;
        let EventKind::RunStarted(start) = &start[0].kind else { panic!("a run begins with its start") };
        let run = Fold::begin(start, Timestamp::from_micros(1)).summary;
        let why = || "says so".to_owned();
        for outcome in [
            Outcome::Done(Effect::Event(7)),
            Outcome::Done(Effect::Run(RunId::new(Timestamp::from_micros(5), [1; 10]))),
            Outcome::Already(why()),
            Outcome::Queued { letter: 3, why: why() },
            Outcome::Refused { why: why(), instead: None },
            Outcome::Refused { why: why(), instead: Some("midwatch ls".to_owned()) },
        ] {
            assert_eq!(reported(&report(&run, &outcome)), Some(outcome));
        }
        assert_eq!(reported(&json!({ "outcome": "other" })), None);
    }
}
