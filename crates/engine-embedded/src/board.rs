//! Shows other processes how the gates stand, and learns at the start what the process before knew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use midwatch_journal::Board;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{GateState, Name};

use crate::engine::Core;
use crate::options::GateOptions;

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
pub(crate) async fn show(core: Arc<Core>) {
    let mut shown = Vec::new();
    loop {
        tokio::time::sleep(SHOWN_EVERY).await;
        let gates = core.gates.views();
        if gates.iter().any(|gate| gate.waiting > 0) || gates != shown {
            show_now(&core, gates.clone());
            shown = gates;
        }
    }
}

/// Shows it now, for the last time.
pub(crate) fn show_last(core: &Core) {
    let gates = core.gates.views();
    if !gates.is_empty() {
        show_now(core, gates);
    }
}

fn show_now(core: &Core, gates: Vec<GateView>) {
    let Some(journal) = core.options.gates.board.as_deref() else { return };
    let board = Board { at: core.options.clock.now(), worker: core.options.worker.clone(), gates };
    if let Err(error) = board.write(journal) {
        tracing::warn!(%error, "other processes cannot see the gates");
    }
}
