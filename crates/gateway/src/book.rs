//! Where a call is booked, and when nobody wants it any more.

use std::sync::Arc;

use midwatch_recorder::Run;
use midwatch_workflow::{Class, Failure, RunId};

use crate::refusal::Refusal;
use crate::seat::{Seat, over};

/// Where a call is booked.
#[derive(Clone)]
pub(crate) enum Book {
    /// In a run that the gateway records, as an attempt of its own.
    Run(Run),
    /// In the attempt at a step, in this process, that makes it.
    Attempt(Arc<Seat>),
}

/// A call under way is cut: as what it is booked, and what its client hears.
pub(crate) struct Cut {
    pub(crate) failure: Failure,
    pub(crate) refusal: Refusal,
}

impl Book {
    /// The run.
    pub(crate) fn run(&self) -> RunId {
        match self {
            Book::Run(run) => run.id(),
            Book::Attempt(seat) => seat.cx().run_id(),
        }
    }

    /// Waits until its calls are cut: somebody has stopped the run for good, or the attempt that made them has ended.
    pub(crate) async fn cut(&self) -> Box<Cut> {
        match self {
            Book::Run(run) => Cut::of_run(run, run.stopped().await),
            Book::Attempt(seat) => {
                seat.ended().await;
                let failure = Failure::new(Class::Cancelled, "the attempt that asked has ended").ambiguous();
                Box::new(Cut { failure, refusal: over() })
            }
        }
    }

    /// Whether a call that is about to be sent is cut.
    pub(crate) fn is_cut(&self) -> Option<Box<Cut>> {
        match self {
            Book::Run(run) => run.stop_word().map(|why| Cut::of_run(run, why)),
            // Its engine has reserved for it in this moment.
            Book::Attempt(_) => None,
        }
    }
}

impl Cut {
    fn of_run(run: &Run, why: &str) -> Box<Self> {
        let failure = Failure::new(Class::Cancelled, format!("cut: the run was {why}")).ambiguous();
        Box::new(Self { failure, refusal: Refusal::stopped(run.id(), why) })
    }
}
