//! `midwatch fork`.

use insta::assert_snapshot;

use crate::journal::{checkout, letters, written};
use crate::midwatch::{midwatch, run};
use crate::owner::Owner;

#[test]
fn a_fork_is_confirmed_with_its_new_run() {
    let owner = Owner::new();
    let handle = owner.start_approval("claim-5");
    run(owner.folder(), &["signal", "claim-5", "approve", "\"ann\"", "--timeout", "60s"]);
    owner.result(&handle).unwrap();
    let ran = run(owner.folder(), &["fork", "claim-5", "--step", "reserve", "--timeout", "60s", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["outcome"], "done", "{ran:?}");
    let new = told["new_run"].as_str().unwrap();
    let shown = midwatch(owner.folder(), &format!("show {new}"));
    assert!(shown.stdout.contains(&format!("of {} at event 1", handle.id().short())), "{}", shown.stdout);
}

#[test]
fn the_place_is_before_the_first_attempt_of_the_step() {
    let folder = written(&[checkout()]);
    midwatch(folder.path(), "fork order-42 --step print_label");
    midwatch(folder.path(), "fork order-42 --event 3 --new-keys");
    let forks: Vec<_> = letters(folder.path()).into_iter().map(|mut letter| letter["fork"].take()).collect();
    assert_eq!((&forks[0]["event"], &forks[0]["keys"]), (&7.into(), &"parent".into()));
    assert_eq!((&forks[1]["event"], &forks[1]["keys"]), (&3.into(), &"own".into()));
}

#[test]
fn a_step_or_event_that_is_not_there_is_refused_with_those_that_are() {
    let folder = written(&[checkout()]);
    assert_snapshot!(midwatch(folder.path(), "fork order-42 --step print_label#2").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_01010101 has no step print_label#2
      name one of: charge_card, print_label
    ");
    assert_snapshot!(midwatch(folder.path(), "fork order-42 --event 99").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_01010101 has no event 99 that counts
      name one from 1 to 10: midwatch show r_01010101 --events
    ");
    assert!(letters(folder.path()).is_empty());
}
