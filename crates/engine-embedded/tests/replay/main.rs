//! Replay: whatever a workflow does and whatever happens to it, its journal rebuilds it as it was.

mod live;
mod program;

use std::collections::BTreeSet;

use live::{Live, Move, feed};
use midwatch_journal::Fold;
use midwatch_journal::replay::replay;
use midwatch_workflow::{OpId, OpKind, Progress};
use program::{programs, workflow};
use proptest::prelude::*;

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (any::<u8>(), any::<u16>(), prop::bool::weighted(0.2));
    prop::collection::vec(one.prop_map(|(what, which, together)| Move { what, which, together }), 0..60)
}

fn live(program: &program::Program, moves: &[Move]) -> Live {
    let mut live = Live::begin(&workflow(program));
    moves.iter().for_each(|turn| live.make(*turn));
    live.finish();
    live
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn a_journal_rebuilds_its_run_as_it_was(program in programs(), moves in moves()) {
        let live = live(&program, &moves);
        let fold = Fold::of(&live.events).expect("a start");
        let replayed = replay(&workflow(&program), &live.events, &fold).expect("the same code");
        prop_assert_eq!(&replayed.progress, &live.progress);
        prop_assert_eq!(replayed.fresh, vec![]);
        if live.progress == Progress::Waiting {
            let is_open = |op: &OpId| live.open.contains_key(op);
            let open: BTreeSet<OpId> =
                replayed.open.iter().filter(|op| op.kind != OpKind::CancelChild).map(|op| op.id).collect();
            prop_assert!(open.iter().all(is_open) && open.len() == live.open.len(), "{open:?} {:?}", live.open);
            prop_assert!(fold.open.keys().all(is_open) && fold.open.len() == live.open.len());
            for op in replayed.open.iter().filter(|op| op.kind != OpKind::CancelChild) {
                prop_assert_eq!(op, &live.asked[&op.id]);
            }
        }
    }

    #[test]
    fn a_run_that_is_rebuilt_anywhere_asks_for_the_same_ever_after(
        program in programs(),
        moves in moves(),
        cut in any::<prop::sample::Index>(),
    ) {
        let live = live(&program, &moves);
        let cut = cut.index(live.events.len()) + 1;
        let (before, after) = live.events.split_at(cut);
        let fold = Fold::of(before).expect("a start");
        let mut replayed = replay(&workflow(&program), before, &fold).expect("the same code");
        let mut asked = replayed.fresh;
        let mut progress = replayed.progress;
        for event in after {
            if feed(&mut replayed.execution, &event.kind, event.at) {
                let advanced = replayed.execution.advance();
                asked.extend(advanced.ops);
                progress = advanced.progress;
            }
        }
        prop_assert_eq!(progress, live.progress);
        for op in asked.iter().filter(|op| !matches!(op.kind, OpKind::CancelChild | OpKind::Abandon)) {
            prop_assert_eq!(op, &live.asked[&op.id]);
        }
        let last = asked.iter().map(|op| op.id).max();
        prop_assert!(last.is_none_or(|last| last <= live.asked.last_key_value().map_or(OpId(0), |(op, _)| *op)));
    }
}
