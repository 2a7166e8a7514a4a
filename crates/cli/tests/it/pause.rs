//! `midwatch pause`.

use insta::assert_snapshot;
use serde_json::json;

use crate::journal::{checkout, failed, letters, research, written};
use crate::midwatch::{midwatch, run};
use crate::owner::{Owner, masked};

#[test]
fn a_pause_is_confirmed_and_a_second_one_is_no_news() {
    let owner = Owner::new();
    let handle = owner.start_approval("claim-5");
    let ran = run(owner.folder(), &["pause", "claim-5", "--timeout", "60s"]);
    assert!(ran.stdout.contains("paused (event "), "{ran:?}");
    owner.until("ls", "paused");
    assert_snapshot!(masked(&midwatch(owner.folder(), "pause claim-5").all(), handle.id()), @r"
    exit 0
    --- stdout
    r_RUN claim-5  is paused already
    ");
}

#[test]
fn a_reason_goes_with_it() {
    let folder = written(&[research()]);
    run(folder.path(), &["pause", "paper-9", "--reason", "the bank is down"]);
    assert_eq!(letters(folder.path()), [json!({"pause": {"reason": "the bank is down", "by": "ann"}})]);
}

#[test]
fn runs_that_have_ended_refuse() {
    let folder = written(&[checkout(), failed(4, "order-44")]);
    assert_snapshot!(midwatch(folder.path(), "pause order-42 order-44").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_01010101 has ended (completed)
      go another way from one of its steps: midwatch fork r_01010101 --step NAME
    error: [MW0104] run r_04040404 has ended (failed)
      go another way from one of its steps: midwatch fork r_04040404 --step NAME
    ");
}
