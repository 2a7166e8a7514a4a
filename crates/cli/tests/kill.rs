//! A real process, killed with SIGKILL ten times at random moments while ninety runs are under way.
#![allow(clippy::print_stdout)] // The seed is printed.

use std::process::Command;

use serde_json::Value;

/// Runs the demo; gives its JSON.
fn demo(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    // A failure can be repeated: MIDWATCH_KILL_SEED=… cargo test -p midwatch-cli --test kill
    let seed = std::env::var("MIDWATCH_KILL_SEED").unwrap_or_else(|_| fastrand::u32(..).to_string());
    println!("seed {seed}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
    command.args(["demo", "--json", "--model", "played", "--seed", &seed]).args(arguments);
    command.arg("--db").arg(folder.path().join("midwatch.db"));
    let output = command.output().expect("midwatch starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let summary: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("seed {seed}: {stderr}"));
    println!("{summary:#}\n{stderr}");
    assert!(output.status.success(), "seed {seed}: {}", output.status);
    summary
}

#[test]
fn through_ten_kills_every_run_ends_each_effect_happens_once_and_the_books_agree() {
    let summary = demo(&["--runs", "90", "--kills", "10"]);
    assert_eq!(summary["kills"], 10);
    assert_eq!(summary["lost"], 0);
    assert_eq!(summary["effects_done_twice"], 0);
    assert_eq!(summary["disagreements"], serde_json::json!([]));
    let ended = ["completed", "compensated", "failed"].map(|end| summary[end].as_u64().unwrap());
    assert_eq!(ended.iter().sum::<u64>(), 90);
    let tokens = |name: &str| summary[name].as_u64().unwrap();
    assert!(tokens("tokens_billed") > 0, "the models were asked");
    assert!(tokens("tokens_billed_unknown") <= tokens("tokens_unknown_bound"), "a bound that does not bound");
    let known = tokens("tokens_booked") - tokens("tokens_estimated");
    let billed =
        tokens("tokens_billed") - tokens("tokens_billed_unknown") - tokens("tokens_billed_estimated");
    assert_eq!(known, billed, "what was booked exactly is what was billed");
}

#[test]
fn without_kills_and_faults_every_token_and_dollar_is_booked_exactly() {
    let summary = demo(&["--runs", "30", "--kills", "0", "--faults", "none"]);
    assert_eq!(summary["tokens_booked"], summary["tokens_billed"]);
    assert_eq!(summary["usd_booked"], summary["usd_billed"]);
    assert_eq!(summary["tokens_unknown_bound"], 0);
    assert_eq!(summary["attempts_by_class"]["lost"], Value::Null);
}

#[test]
fn when_three_calls_in_ten_fail_the_books_still_agree_and_failed_runs_are_undone() {
    let summary = demo(&["--runs", "45", "--kills", "3", "--faults", "third"]);
    assert_eq!((&summary["kills"], &summary["lost"]), (&3.into(), &0.into()));
    assert_eq!((&summary["effects_done_twice"], &summary["effects_left"]), (&0.into(), &0.into()));
    let tokens = |name: &str| summary[name].as_u64().unwrap();
    let [booked, billed, unknown] = ["tokens_booked", "tokens_billed", "tokens_billed_unknown"].map(tokens);
    assert_eq!(
        tokens("tokens_estimated"),
        tokens("tokens_billed_estimated"),
        "streams that broke are counted"
    );
    assert_eq!(booked, billed - unknown, "but for attempts that nobody answered, booked is billed");
    assert!(unknown <= tokens("tokens_unknown_bound"), "a bound that does not bound");
}
