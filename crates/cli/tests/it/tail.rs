//! `midwatch tail`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use insta::assert_snapshot;
use midwatch_workflow::EventKind;

use crate::journal::{booking, checkout, open, write, written};
use crate::midwatch::{command, midwatch};

#[test]
fn an_ended_run_is_told_and_that_is_all() {
    let folder = written(&[checkout(), booking()]);
    assert_snapshot!(midwatch(folder.path(), "tail order-42 --from-start").all(), @r#"
    exit 0
    --- stdout
    07:00:01.000     1  checkout order-42 started by w1
    07:00:01.000     2  charge_card started
    07:00:01.340     3  charge_card failed, rate_limited 429: too many requests
    07:00:01.340     4  charge_card waits 2.00s for attempt 2 of 5: the target asked for it
    07:00:03.340     5  the wait of charge_card is over
    07:00:03.340     6  charge_card attempt 2 started
    07:00:04.420     7  charge_card attempt 2 ok: {"id":"ch_1"}
    07:00:04.420     8  print_label started
    07:00:05.020     9  print_label ok: "label-7"
    07:00:05.020    10  completed: {"receipt":"label-7"}
    "#);
}

#[test]
fn the_last_ten_events_are_the_past_of_a_run() {
    let mut story = checkout();
    story.events.pop();
    for _ in 0..20 {
        story.push(EventKind::Resumed { by: "ann".to_owned() });
    }
    story.completes("1");
    let folder = written(&[story]);
    assert_eq!(midwatch(folder.path(), "tail order-42").stdout.lines().count(), 10);
}

#[test]
fn new_events_are_followed_until_the_run_ends() {
    let story = checkout();
    let folder = written(&[]);
    let journal = open(folder.path());
    write(&journal, story.run, 1, &story.events[..2], &story.events[..2]);
    let mut child =
        command(folder.path()).args(["tail", "order-42", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!((next()["number"].clone(), next()["number"].clone()), (1.into(), 2.into()));
    // Only now does the rest happen: what follows was not there when the command began.
    write(&journal, story.run, 3, &story.events[2..], &story.events);
    for number in 3..=story.events.len() {
        assert_eq!(next()["number"], number);
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_exit_status_tells_how_the_run_ended() {
    let folder = written(&[checkout(), booking()]);
    assert_eq!(midwatch(folder.path(), "tail trip-7").code, 0);
    assert_eq!(midwatch(folder.path(), "tail trip-7 --exit-status").code, 1);
    assert_eq!(midwatch(folder.path(), "tail order-42 --exit-status").code, 0);
}

#[cfg(unix)]
#[test]
fn all_runs_are_followed_from_now_on_until_ctrl_c() {
    let folder = written(&[booking()]);
    let journal = open(folder.path());
    let begin =
        |arguments: &[&str]| command(folder.path()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    // The one from the start shows that the past is there; the other must not show it.
    let mut past = begin(&["tail", "--from-start"]);
    let mut first = String::new();
    BufReader::new(past.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("trip-7     1  booking trip-7 started by w1"), "{first}");
    past.kill().unwrap();
    past.wait().unwrap();

    let mut now = begin(&["tail"]);
    let mut lines = BufReader::new(now.stdout.take().unwrap()).lines();
    // It has begun when it has found the end of the journal; runs are written until one shows.
    let (seen, line) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let first = lines.next().unwrap().unwrap();
        seen.send(first).unwrap();
        lines.map(Result::unwrap).count()
    });
    let mut n = 10;
    let line = loop {
        let mut more = crate::journal::Story::begin(n, "checkout", &format!("order-{n}"));
        more.completes("1");
        write(&journal, more.run, 1, &more.events, &more.events);
        n += 1;
        match line.recv_timeout(std::time::Duration::from_millis(200)) {
            Ok(line) => break line,
            Err(_) => assert!(n < 250, "nothing was ever followed"),
        }
    };
    assert!(line.contains("started by w1") && !line.contains("trip-7"), "{line}");
    let pid = rustix::process::Pid::from_child(&now);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(now.wait().unwrap().success());
    assert!(reader.join().unwrap() >= 1);
}

#[test]
fn an_unknown_run_is_exit_code_3() {
    let folder = written(&[checkout()]);
    assert_eq!(midwatch(folder.path(), "tail nobody").code, 3);
}
