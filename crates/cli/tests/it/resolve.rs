//! `midwatch resolve`.

use insta::assert_snapshot;
use midwatch_workflow::{EventKind, ParkReason};
use serde_json::json;

use crate::journal::{Story, approval, letters, research, written};
use crate::midwatch::midwatch;

#[test]
fn each_answer_is_sent_as_given() {
    let folder = written(&[research()]);
    for arguments in ["--retry", "call_llm --fail", "--done", r#"call_llm --done={"id":1}"#] {
        assert_eq!(midwatch(folder.path(), &format!("resolve paper-9 {arguments}")).code, 0, "{arguments}");
    }
    let answer = |step: Option<&str>, resolution: serde_json::Value| json!({"resolve": {"step": step, "resolution": resolution, "by": "ann"}});
    assert_eq!(
        letters(folder.path()),
        [
            answer(None, json!("retry")),
            answer(Some("call_llm"), json!("fail")),
            answer(None, json!({"done": null})),
            answer(Some("call_llm"), json!({"done": {"id": 1}})),
        ]
    );
}

#[test]
fn a_run_that_waits_for_no_answer_refuses() {
    let mut halted = Story::begin(5, "checkout", "order-45");
    let (reason, message) = (ParkReason::Mismatch, "the journal records a, the code asks for b".to_owned());
    halted.push(EventKind::Parked { op: None, step: None, reason, message });
    let folder = written(&[research(), approval(4, "claim-4"), halted]);
    assert_snapshot!(midwatch(folder.path(), "resolve paper-9 refund --retry").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_03030303 is not parked for step refund
      see where it stands: midwatch show r_03030303
    ");
    assert_snapshot!(midwatch(folder.path(), "resolve claim-4 --retry").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_04040404 is not parked: it is waiting
      see where it stands: midwatch show r_04040404
    ");
    assert_snapshot!(midwatch(folder.path(), "resolve order-45 --retry").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_05050505 is parked by the engine: the code does not match the journal
      once mended code runs: midwatch retry r_05050505
    ");
    assert!(letters(folder.path()).is_empty());
}

#[test]
fn there_is_exactly_one_answer() {
    let folder = written(&[research()]);
    assert_eq!(midwatch(folder.path(), "resolve paper-9").code, 2);
    assert_eq!(midwatch(folder.path(), "resolve paper-9 --retry --fail").code, 2);
}
