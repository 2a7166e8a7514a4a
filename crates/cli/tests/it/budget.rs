//! `midwatch budget`.

use insta::assert_snapshot;
use serde_json::json;

use crate::journal::{approval, checkout, letters, research, written};
use crate::midwatch::midwatch;

#[test]
fn a_budget_is_raised_exactly() {
    let folder = written(&[research()]);
    assert_snapshot!(midwatch(folder.path(), "budget paper-9 --add 2.50 --tokens 10000").all(), @r"
    exit 0
    --- stdout
    r_03030303 paper-9  queued as letter 1: no process owns midwatch.db now; it will be taken in at the next start
    ");
    let raise = json!({"raise_budget": {"usd": 2_500_000_000_000_u64, "tokens": 10_000, "by": "ann"}});
    assert_eq!(letters(folder.path()), [raise]);
}

#[test]
fn a_run_without_a_budget_refuses() {
    let folder = written(&[approval(4, "claim-4"), checkout()]);
    assert_snapshot!(midwatch(folder.path(), "budget claim-4 --add 1").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_04040404 has no budget of its own, and is not parked for one
      see where it stands: midwatch show r_04040404
    ");
    assert_eq!(midwatch(folder.path(), "budget order-42 --add 1").code, 5);
}

#[test]
fn an_amount_must_be_named_and_be_one() {
    let folder = written(&[research()]);
    assert_eq!(midwatch(folder.path(), "budget paper-9").code, 2);
    assert_eq!(midwatch(folder.path(), "budget paper-9 --add -1").code, 2);
}
