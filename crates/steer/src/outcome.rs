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
