//! `midwatch alerts`.

use insta::assert_snapshot;
use serde_json::Value;

use crate::journal::{Story, booking, checkout, research, written};
use crate::midwatch::{Ran, command, midwatch};

/// A run whose attempt says nothing, and nobody is there to carry it out.
fn silent() -> Story {
    let mut story = Story::begin(4, "caller", "call-1");
    story.attempt("call_llm", 1);
    story
}

#[test]
fn what_needs_somebody_is_told_with_its_cause_and_the_next_command() {
    let folder = written(&[checkout(), booking(), research(), silent()]);
    assert_snapshot!(midwatch(folder.path(), "alerts").all(), @r#"
    exit 0
    --- stdout
    critical  no_progress  caller r_04040404 has said nothing for 9m56s (limit 5m00s)
              STUCK · process_lost: no process carries it out (w1 did last); last event 9m56s ago
              next  midwatch doctor
    critical  no_owner  no process owns the journal: 1 open run cannot go on
              next  midwatch doctor
    warning   parked  research r_03030303 has been parked for 9m20s: a budget is reached
              PARKED · parked_budget: parked 9m20s ago: run: $0.51 of $0.50 are spent
              next  midwatch budget r_03030303 --add 0.50
    "#);
}

#[test]
fn a_journal_that_needs_nobody_says_so() {
    let folder = written(&[checkout()]);
    assert_snapshot!(midwatch(folder.path(), "alerts").all(), @r#"
    exit 0
    --- stdout
    nothing needs anybody (9 rules)
    "#);
}

#[test]
fn the_json_has_what_programs_need() {
    let folder = written(&[research(), silent()]);
    let lines: Vec<Value> = midwatch(folder.path(), "alerts --json")
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rules: Vec<&str> = lines.iter().map(|line| line["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["no_progress", "no_owner", "parked"]);
    assert_eq!((&lines[0]["severity"], &lines[0]["why"]["verdict"]), (&"critical".into(), &"stuck".into()));
    assert!(lines[0]["subject"]["run"]["run"].as_str().unwrap().len() == 32);
}

#[test]
fn the_default_rules_are_a_file_that_passes_the_check() {
    let folder = written(&[checkout()]);
    let default = midwatch(folder.path(), "alerts --default").stdout;
    std::fs::write(folder.path().join("alerts.toml"), default).unwrap();
    let ran = midwatch(folder.path(), "alerts --check alerts.toml");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "ok  alerts.toml: 9 rules, 0 receivers\n"));
    let none = midwatch(folder.path(), "alerts --test --rules alerts.toml");
    assert_eq!(none.code, 2, "{}", none.all());
}

#[test]
fn all_that_is_wrong_with_a_file_is_told_by_line_and_key() {
    let folder = written(&[checkout()]);
    let rules =
        "[[rule]]\nkind = \"budget\"\nshare = 80\n\n[[receiver]]\nkind = \"slack\"\nurl = \"hooks/s3cr3t\"\n";
    std::fs::write(folder.path().join("alerts.toml"), rules).unwrap();
    assert_snapshot!(midwatch(folder.path(), "alerts --check alerts.toml").all(), @r#"
    exit 2
    --- stdout
    wrong  alerts.toml, line 3: `share` must be more than 0 and at most 1
    wrong  alerts.toml, line 7: `url` is no http:// or https:// address
    "#);
    let Ran { code, stderr, .. } = midwatch(folder.path(), "watch --rules alerts.toml");
    assert_eq!(code, 2);
    assert!(stderr.contains("line 3: `share`") && !stderr.contains("s3cr3t"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_test_says_what_each_receiver_answered() {
    let folder = written(&[checkout()]);
    let rules = "[[receiver]]\nname = \"file\"\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat > taken\"]\n\
                 [[receiver]]\nname = \"bad\"\nkind = \"command\"\ncommand = [\"false\"]\n\
                 [[receiver]]\nname = \"unset\"\nkind = \"webhook\"\nurl_env = \"MIDWATCH_TEST_UNSET\"\n";
    std::fs::write(folder.path().join("alerts.toml"), rules).unwrap();
    let output = command(folder.path())
        .args(["alerts", "--test", "--json"])
        .env("MIDWATCH_ALERTS", "alerts.toml")
        .output()
        .unwrap();
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ok: Vec<&Value> = lines.iter().map(|line| &line["ok"]).collect();
    assert_eq!((output.status.code(), ok), (Some(1), vec![&Value::Bool(true), &false.into(), &false.into()]));
    assert!(lines[2]["answer"].as_str().unwrap().contains("MIDWATCH_TEST_UNSET"));
    let taken = std::fs::read_to_string(folder.path().join("taken")).unwrap();
    assert!(taken.contains("this is a test of midwatch's alerts"), "{taken}");
}
