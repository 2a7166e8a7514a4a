//! `midwatch signal`.

use insta::assert_snapshot;
use serde_json::json;

use crate::journal::{approval, checkout, letters, written};
use crate::midwatch::{midwatch, run};
use crate::owner::{Owner, masked};

#[test]
fn a_signal_wakes_the_run_and_the_command_names_its_event() {
    let owner = Owner::new();
    let handle = owner.start_approval("claim-5");
    let ran = run(owner.folder(), &["signal", "claim-5", "approve", "\"ann\"", "--timeout", "60s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("signal approve received (event "), "{ran:?}");
    assert_eq!(owner.result(&handle).unwrap(), "ann");
}

#[test]
fn the_same_id_again_changes_nothing() {
    let owner = Owner::new();
    let handle = owner.start_approval("claim-6");
    let arguments = ["signal", "claim-6", "note", "1", "--id", "hook-1", "--timeout", "60s"];
    assert!(run(owner.folder(), &arguments).stdout.contains("signal note received"));
    let again = run(owner.folder(), &arguments);
    assert_snapshot!(masked(&again.all(), handle.id()), @r"
    exit 0
    --- stdout
    r_RUN claim-6  has received signal id hook-1 already
    ");
}

#[test]
fn without_an_owner_it_is_queued_and_says_so() {
    let folder = written(&[approval(1, "claim-7")]);
    assert_snapshot!(midwatch(folder.path(), "signal claim-7 approve").all(), @r"
    exit 0
    --- stdout
    r_01010101 claim-7  queued as letter 1: no process owns midwatch.db now; it will be taken in at the next start
    ");
    assert_eq!(letters(folder.path()), [json!({"signal": {"name": "approve", "payload": null, "id": null}})]);
    assert_snapshot!(midwatch(folder.path(), "signal claim-7 approve 2 --json").all(), @r#"
    exit 0
    --- stdout
    {"letter":2,"outcome":"queued","run":"01a20c5ab56871018101010101010101","why":"no process owns midwatch.db now; it will be taken in at the next start","workflow_id":"claim-7"}
    "#);
}

#[test]
fn an_ended_run_refuses_at_once() {
    let folder = written(&[checkout()]);
    assert_snapshot!(midwatch(folder.path(), "signal order-42 approve").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_01010101 has ended (completed)
      go another way from one of its steps: midwatch fork r_01010101 --step NAME
    ");
    assert_snapshot!(midwatch(folder.path(), "signal order-42 approve --json").all(), @r#"
    exit 5
    --- stdout
    {"code":"MW0104","instead":"go another way from one of its steps: midwatch fork r_01010101 --step NAME","outcome":"refused","run":"01a20c5ab56871018101010101010101","why":"has ended (completed)","workflow_id":"order-42"}
    "#);
    assert!(letters(folder.path()).is_empty());
}

#[test]
fn a_payload_that_is_no_json_is_a_usage_error_that_shows_the_quotes() {
    let folder = written(&[approval(1, "claim-8")]);
    let ran = midwatch(folder.path(), "signal claim-8 approve yes");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains(r#"a text needs quotes: '"yes"'"#), "{}", ran.stderr);
}
