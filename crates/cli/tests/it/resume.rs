//! `midwatch resume`.

use insta::assert_snapshot;

use crate::journal::{approval, letters, research, written};
use crate::midwatch::{midwatch, run};
use crate::owner::Owner;

#[test]
fn a_paused_run_goes_on() {
    let owner = Owner::new();
    let handle = owner.start_approval("claim-5");
    run(owner.folder(), &["pause", "claim-5", "--timeout", "60s"]);
    let ran = run(owner.folder(), &["resume", "claim-5", "--timeout", "60s"]);
    assert!(ran.stdout.contains("resumed (event "), "{ran:?}");
    run(owner.folder(), &["signal", "claim-5", "approve", "\"ann\""]);
    assert_eq!(owner.result(&handle).unwrap(), "ann");
}

#[test]
fn a_parked_run_is_not_resumed_and_one_that_runs_need_not_be() {
    let folder = written(&[research(), approval(4, "claim-4")]);
    assert_snapshot!(midwatch(folder.path(), "resume paper-9").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_03030303 is parked, not paused: it waits for an answer
      see which: midwatch show r_03030303
    ");
    assert_snapshot!(midwatch(folder.path(), "resume claim-4").all(), @r"
    exit 0
    --- stdout
    r_04040404 claim-4  is not paused, it is waiting
    ");
    assert!(letters(folder.path()).is_empty());
}
