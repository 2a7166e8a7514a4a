//! `midwatch cancel`.

use insta::assert_snapshot;
use serde_json::json;

use crate::journal::{approval, checkout, letters, research, written};
use crate::midwatch::{midwatch, run};
use crate::owner::Owner;

#[test]
fn a_cancelled_run_is_undone() {
    let owner = Owner::new();
    let handle = owner.start_approval("claim-5");
    owner.until("show claim-5", "waits for signal");
    let ran = run(owner.folder(), &["cancel", "claim-5", "--reason", "not needed", "--timeout", "60s"]);
    assert!(ran.stdout.contains("cancelled (event "), "{ran:?}");
    assert!(owner.result(&handle).is_none());
    let shown = midwatch(owner.folder(), "show claim-5");
    assert!(shown.stdout.contains("cancelled by ann: not needed"), "{}", shown.stdout);
    assert!(shown.stdout.contains("release undoes reserve  ok"), "{}", shown.stdout);
}

#[test]
fn all_that_fit_a_filter_are_cancelled_only_with_yes() {
    let folder = written(&[approval(4, "a"), approval(5, "b"), research(), checkout()]);
    let asked = midwatch(folder.path(), "cancel --workflow approval");
    assert_snapshot!(asked.all(), @r"
    exit 2
    --- stderr
    error: [MW0202] 2 runs would be steered, and there is no terminal to ask at
      say --yes if that is meant
    ");
    assert!(letters(folder.path()).is_empty());
    assert_snapshot!(midwatch(folder.path(), "cancel --workflow approval --by bob --yes").all(), @r"
    exit 0
    --- stdout
    r_04040404 a  queued as letter 1: no process owns midwatch.db now; it will be taken in at the next start
    r_05050505 b  queued as letter 2: no process owns midwatch.db now; it will be taken in at the next start
    ");
    let cancel = json!({"cancel": {"reason": "", "by": "bob"}});
    assert_eq!(letters(folder.path()), [cancel.clone(), cancel]);
}

#[test]
fn of_several_runs_each_is_told_and_the_exit_code_is_the_worst() {
    let folder = written(&[approval(4, "a"), checkout()]);
    assert_snapshot!(midwatch(folder.path(), "cancel a order-42").all(), @r"
    exit 5
    --- stdout
    r_04040404 a  queued as letter 1: no process owns midwatch.db now; it will be taken in at the next start
    --- stderr
    error: [MW0104] run r_01010101 has ended (completed)
      go another way from one of its steps: midwatch fork r_01010101 --step NAME
    ");
}

#[test]
fn without_a_run_nothing_is_cancelled() {
    let folder = written(&[approval(4, "a")]);
    assert_snapshot!(midwatch(folder.path(), "cancel --yes").all(), @r"
    exit 2
    --- stderr
    error: [MW0202] no run is named
      midwatch cancel RUN…, or midwatch cancel --workflow NAME
    ");
}
