//! `midwatch ls`.

use insta::assert_snapshot;

use crate::journal::{booking, checkout, research, written};
use crate::midwatch::midwatch;

#[test]
fn runs_are_listed_newest_first_with_what_they_do() {
    let folder = written(&[checkout(), booking(), research()]);
    assert_snapshot!(midwatch(folder.path(), "ls").stdout, @r"
    RUN         WORKFLOW  ID        STATUS       AGE   TOOK  STEPS  TRIES   COST  DOING
    r_03030303  research  paper-9   parked        9m             1   2 ✗1  $0.51  run: $0.51 of $0.50 a…
    r_02020202  booking   trip-7    compensated   9m  1.50s      2   3 ✗1         invalid_request: no r…
    r_01010101  checkout  order-42  completed     9m  4.02s      2   3 ✗1
    3 runs: 1 parked, 1 completed, 1 compensated · $0.51
    ");
}

#[test]
fn a_narrow_terminal_cuts_names_and_messages_but_no_numbers() {
    let folder = written(&[checkout(), booking(), research()]);
    let output = crate::midwatch::command(folder.path()).env("COLUMNS", "80").arg("ls").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_snapshot!(text, @r"
    RUN         WORKFLOW  ID        STATUS       AGE  TRIES   COST  DOING
    r_03030303  research  paper-9   parked        9m   2 ✗1  $0.51  run: $0.51 of $…
    r_02020202  booking   trip-7    compensated   9m   3 ✗1         invalid_request…
    r_01010101  checkout  order-42  completed     9m   3 ✗1
    3 runs: 1 parked, 1 completed, 1 compensated · $0.51
    ");
}

#[test]
fn filters_narrow_the_list() {
    let folder = written(&[checkout(), booking(), research()]);
    for (filter, runs) in [
        ("--status parked", vec!["paper-9"]),
        ("--status parked,completed", vec!["paper-9", "order-42"]),
        ("--status parked --status completed --order oldest", vec!["order-42", "paper-9"]),
        ("--workflow booking", vec!["trip-7"]),
        ("--tenant acme", vec!["trip-7"]),
        ("--text order", vec!["order-42"]),
        ("--since 9m58s", vec!["paper-9", "trip-7"]),
        ("--order costliest --limit 1", vec!["paper-9"]),
    ] {
        let ran = midwatch(folder.path(), &format!("ls --json {filter}"));
        let found: Vec<String> = ran.stdout.lines().map(id).collect();
        assert_eq!(found, runs, "{filter}");
    }
}

fn id(line: &str) -> String {
    let run: serde_json::Value = serde_json::from_str(line).unwrap();
    run["workflow_id"].as_str().unwrap().to_owned()
}

#[test]
fn more_runs_than_shown_are_mentioned() {
    let folder = written(&[checkout(), booking(), research()]);
    let ran = midwatch(folder.path(), "ls --limit 2");
    assert_eq!(ran.stdout.lines().count(), 4);
    assert!(ran.stdout.ends_with("there are more: --limit\n"), "{}", ran.stdout);
}

#[test]
fn a_journal_without_fitting_runs_says_so() {
    let folder = written(&[]);
    assert_eq!(midwatch(folder.path(), "ls").stdout, "no runs\n");
    assert_eq!(midwatch(folder.path(), "ls --workflow x").stdout, "no runs that fit\n");
    assert_eq!(midwatch(folder.path(), "ls --json").stdout, "");
}

#[test]
fn a_missing_journal_is_exit_code_4() {
    let folder = tempfile::tempdir().unwrap();
    let ran = midwatch(folder.path(), "ls");
    assert_snapshot!(ran.all(), @r"
    exit 4
    --- stderr
    error: [MW0011] there is no journal midwatch.db: start a run first, or name another file with --db
    ");
    assert_snapshot!(midwatch(folder.path(), "ls --json").all(), @r#"
    exit 4
    --- stderr
    {"error":{"code":"MW0011","exit":4,"hints":[],"message":"[MW0011] there is no journal midwatch.db: start a run first, or name another file with --db"}}
    "#);
}

#[test]
fn a_wrong_option_is_exit_code_2() {
    let folder = written(&[]);
    assert_eq!(midwatch(folder.path(), "ls --status sleepy").code, 2);
    assert_eq!(midwatch(folder.path(), "ls --since soon").code, 2);
}

#[test]
fn colours_are_for_those_who_ask_and_never_against_no_color() {
    let folder = written(&[checkout()]);
    let colourful = |variables: &[(&str, &str)], color: &str| {
        let mut command = crate::midwatch::command(folder.path());
        command.args(["ls", "--color", color]).envs(variables.iter().copied());
        command.output().unwrap().stdout.contains(&0x1b)
    };
    assert!(!colourful(&[], "auto"));
    assert!(colourful(&[], "always"));
    assert!(!colourful(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "0")], "auto"));
    assert!(!colourful(&[], "never"));
}
