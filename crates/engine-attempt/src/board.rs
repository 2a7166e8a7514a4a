//! Shows other processes how the gates stand, and learns at the start what the process before knew.

use std::collections::HashMap;
use std::time::Duration;

use midwatch_journal::Board;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{GateState, Name};

use crate::{Admissions, GateOptions};

/// What the last board beside the journal says of the targets.
pub(crate) fn known(options: &GateOptions) -> HashMap<Name, GateState> {
    let Some(journal) = options.board.as_deref() else { return HashMap::new() };
    let board = Board::read(journal).unwrap_or_else(|error| {
        tracing::warn!(%error, "gates begin without what was known of their targets");
        None
    });
    let gates = board.map(|board| board.gates).unwrap_or_default();
    gates.into_iter().map(|gate| (gate.target, gate.state)).collect()
}

/// How often other processes are shown how the gates stand.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// Shows other processes how the gates stand: when that has changed, and every second while anybody waits.
pub(crate) async fn show(admissions: &Admissions) {
    let mut shown = Vec::new();
    loop {
        tokio::time::sleep(SHOWN_EVERY).await;
        let gates = admissions.gates.views();
        if gates.iter().any(|gate| gate.waiting > 0) || gates != shown {
            show_now(admissions, gates.clone());
            shown = gates;
        }
    }
}

/// Shows it now, for the last time.
pub(crate) fn show_last(admissions: &Admissions) {
    let gates = admissions.gates.views();
    if !gates.is_empty() {
        show_now(admissions, gates);
    }
}

fn show_now(admissions: &Admissions, gates: Vec<GateView>) {
    let Some(journal) = admissions.board.as_deref() else { return };
    let board = Board { at: admissions.clock.now(), worker: admissions.worker.clone(), gates };
    if let Err(error) = board.write(journal) {
        tracing::warn!(%error, "other processes cannot see the gates");
    }
}
