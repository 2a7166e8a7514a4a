//! An attempt without an engine: what it reports can be looked at.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // Each test file uses its part.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use midwatch::{
    AttemptInfo, Certainty, Charge, Failure, Name, Payload, Reporter, RunId, RunInfo, Spent, StepContext,
    Timestamp, WorkflowId,
};

/// What an attempt reported.
#[derive(Default)]
pub struct Reported {
    charges: Mutex<Vec<Option<Charge>>>,
    pub signs: AtomicU32,
}

impl Reported {
    /// What is in the books now.
    pub fn charges(&self) -> Vec<Charge> {
        self.charges.lock().unwrap().iter().flatten().cloned().collect()
    }

    /// The only charge.
    #[track_caller]
    pub fn charge(&self) -> Charge {
        let charges = self.charges();
        let [charge] = &charges[..] else { panic!("not one charge: {charges:?}") };
        charge.clone()
    }
}

impl Reporter for Reported {
    fn heartbeat(&self, _: Payload) {
        panic!("nothing here may overwrite the step's own progress");
    }

    fn alive(&self) {
        self.signs.fetch_add(1, Ordering::Relaxed);
    }

    fn charge(&self, charge: Charge) {
        self.charges.lock().unwrap().push(Some(charge));
    }

    fn spent(&self) -> Spent {
        let mut spent = Spent::default();
        spent.add_all(&self.charges());
        spent
    }

    fn reserve(&self, bound: Charge) -> BoxFuture<'_, Result<usize, Failure>> {
        assert_eq!(bound.certainty, Certainty::Bound);
        let mut charges = self.charges.lock().unwrap();
        charges.push(Some(bound));
        Box::pin(std::future::ready(Ok(charges.len() - 1)))
    }

    fn settle(&self, place: usize, charge: Option<Charge>) {
        self.charges.lock().unwrap()[place] = charge;
    }
}

pub const KEY: &str = "order-42:0192:charge_card";

/// An attempt at a step with this target.
pub fn attempt(target: Option<&'static str>) -> (StepContext, Arc<Reported>) {
    let reported = Arc::new(Reported::default());
    let run = RunId::new(Timestamp::from_micros(1_795_485_600_000_000), [7; 10]);
    let info = AttemptInfo {
        run: Arc::new(RunInfo {
            run,
            workflow_id: WorkflowId::new("order-42").unwrap(),
            workflow: "checkout".into(),
            trace: *run.as_bytes(),
            is_sampled: true,
            tenant: None,
            rewinds: 0,
        }),
        step: "charge_card".into(),
        nth: 1,
        attempt: 1,
        key: KEY.into(),
        target: target.map(Name::from),
        progress: None,
        reporter: reported.clone(),
    };
    (StepContext::new(info), reported)
}
