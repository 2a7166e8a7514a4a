//! `midwatch retry`.

use insta::assert_snapshot;
use midwatch_workflow::DelayReason;
use serde_json::json;

use crate::journal::{Story, approval, booking, failed, letters, research, written};
use crate::midwatch::{midwatch, run};
use crate::owner::Owner;

#[test]
fn a_wait_between_two_attempts_ends_with_now() {
    let owner = Owner::new();
    let handle = owner.start_patient("van-1");
    owner.until("ls --json", "deliver waits for attempt 2");
    let ran = run(owner.folder(), &["retry", "van-1", "--now", "--timeout", "60s"]);
    assert!(ran.stdout.contains("is tried again (event "), "{ran:?}");
    owner.result(&handle).unwrap();
}

#[test]
fn a_wait_goes_on_without_now() {
    let mut story = Story::begin(4, "patient", "van-2");
    let op = story.attempt("deliver", 1);
    story.fails(op, midwatch_workflow::Failure::new(midwatch_workflow::Class::Server, "no van"));
    story.retries("deliver", 2, 3_600_000, DelayReason::Backoff);
    let folder = written(&[story]);
    assert_snapshot!(midwatch(folder.path(), "retry van-2").all(), @r"
    exit 5
    --- stderr
    error: [MW0104] run r_04040404 tries again by itself in 50m04s
      end the wait: midwatch retry r_04040404 --now
    ");
}

#[test]
fn failed_and_parked_runs_are_retried_but_not_undone_or_busy_ones() {
    let folder = written(&[failed(4, "order-44"), research(), booking(), approval(5, "claim-5")]);
    assert_snapshot!(midwatch(folder.path(), "retry order-44 paper-9 trip-7 claim-5").all(), @r"
    exit 5
    --- stdout
    r_04040404 order-44  queued as letter 1: no process owns midwatch.db now; it will be taken in at the next start
    r_03030303 paper-9  queued as letter 2: no process owns midwatch.db now; it will be taken in at the next start
    --- stderr
    error: [MW0104] run r_02020202 is compensated: only a failed run that undid nothing can be retried
      midwatch fork r_02020202 --step NAME
    error: [MW0104] run r_05050505 has nothing to retry: it is waiting
      midwatch show r_05050505
    ");
    let retry = json!({"retry": {"by": "ann"}});
    assert_eq!(letters(folder.path()), [retry.clone(), retry]);
}

#[test]
fn a_filter_without_a_status_means_failed_and_parked_runs() {
    let folder = written(&[failed(4, "order-44"), failed(5, "order-45"), booking()]);
    midwatch(folder.path(), "retry --workflow checkout --yes");
    assert_eq!(letters(folder.path()).len(), 2);
}
