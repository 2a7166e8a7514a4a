//! Answer a parked run.

use midwatch_journal::{Error, Journal, Open, RunSummary};
use midwatch_observe::tell::event;
use midwatch_workflow::{Event, EventKind, Message, Resolution};

use crate::{Judgement, Order, Request, Sent, state};

/// The answer to what a run is parked for.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// The step that waits for the answer; the one that has waited longest if none is named.
    pub step: Option<String>,
    /// The answer.
    pub resolution: Resolution,
    /// Who.
    pub by: String,
}

impl Order for Resolve {
    fn done(&self) -> String {
        format!("answered, {}", event::resolved(&self.resolution))
    }

    fn request(&self) -> Request<'_> {
        let (answer, output) = match &self.resolution {
            Resolution::Retry => ("retry", None),
            Resolution::Done(output) => ("done", Some(output)),
            Resolution::Fail => ("fail", None),
        };
        let (step, answer) = (self.step.as_deref(), Some(answer));
        Request { step, answer, output, ..Request::new("resolve") }
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error> {
        if run.status.is_ended() {
            return Ok(Judgement::ended(run));
        }
        let (_, fold) = state(run, journal)?;
        let mut parked = fold.open.values().filter_map(|open| match open {
            Open::Person { step, .. } => Some(step.as_deref()),
            _ => None,
        });
        if parked.any(|step| self.step.is_none() || step == self.step.as_deref()) {
            let (step, resolution, by) = (self.step.clone(), self.resolution.clone(), self.by.clone());
            return Ok(Judgement::Send(Message::Resolve { step, resolution, by }));
        }
        Ok(match (fold.halted, &self.step) {
            (Some(reason), _) => Judgement::Refused {
                why: format!("is parked by the engine: {}", event::parked(reason)),
                instead: Some(format!("once mended code runs: midwatch retry {}", run.run.short())),
            },
            (None, Some(step)) => Judgement::look(run, format!("is not parked for step {step}")),
            (None, None) => Judgement::look(run, format!("is not parked: it is {}", fold.summary.status)),
        })
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::Resolved { .. })
    }
}
