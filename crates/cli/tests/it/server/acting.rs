//! Commands that act do so through the console: the journal says who it was, and what the console forbids stays forbidden.

use midwatch_journal::Journal;
use midwatch_journal::sqlite::SqliteJournal;

use super::place::{Console, Elsewhere};
use crate::journal::{approval, booking, failed, letters, research, written};
use crate::midwatch::run;
use crate::owner::{Owner, masked};

#[test]
fn orders_through_a_server_take_effect_and_the_journal_says_who_gave_them() {
    let owner = Owner::new();
    let claim = owner.start_approval("claim-5");
    owner.until("ls --json", "\"waiting\"");
    let console = Console::start(owner.folder());
    let elsewhere = Elsewhere::new();
    let by = ["--timeout", "10s", "--by", "Jürgen"];
    let order = |words: &[&str]| {
        let ran = elsewhere.run(&console.url, &[words, &by].concat());
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.all());
        masked(&ran.stdout, claim.id())
    };
    assert!(order(&["pause", "claim-5", "--reason", "the bank is down"]).contains("claim-5  paused (event "));
    assert_eq!(order(&["pause", "claim-5"]), "r_RUN claim-5  is paused already\n");
    assert!(order(&["resume", "claim-5"]).contains("resumed (event "));
    let sent =
        order(&["signal", "claim-5", "note", r#"{"z":1.50,"a":12345678901234567890123}"#, "--id", "hook-1"]);
    assert!(sent.contains("signal note received (event "), "{sent}");
    let again = order(&["signal", "claim-5", "note", "1", "--id", "hook-1"]);
    assert_eq!(again, "r_RUN claim-5  has received signal id hook-1 already\n");
    let reported = order(&["fork", "claim-5", "--event", "2", "--json"]);
    let reported: serde_json::Value = serde_json::from_str(&reported).unwrap();
    assert_eq!(reported["outcome"], "done");
    let fork = reported["new_run"].as_str().unwrap().to_owned();
    assert!(order(&["cancel", &fork, "--reason", "twice"]).contains("cancelled (event "));
    // The fork has the same workflow id.
    let id = claim.id().to_string();
    assert!(order(&["signal", &id, "approve", "\"ann\""]).contains("signal approve received"));
    assert_eq!(owner.result(&claim).unwrap(), "ann");
    let journal = SqliteJournal::open_reader(owner.folder().join("midwatch.db")).unwrap();
    let events = |run| serde_json::to_string(&journal.events(run, 0).unwrap()).unwrap();
    let (events, fork) = (events(claim.id()), events(fork.parse().unwrap()));
    assert!(events.contains(r#""paused":{"reason":"the bank is down","by":"Jürgen"}"#), "{events}");
    assert!(events.contains(r#""resumed":{"by":"Jürgen"}"#), "{events}");
    assert!(events.contains(r#"{"z":1.50,"a":12345678901234567890123}"#), "{events}");
    assert!(fork.contains(r#""reason":"twice","by":"Jürgen""#), "{fork}");
}

#[test]
fn a_retry_ends_a_wait_through_a_server() {
    let owner = Owner::new();
    let run = owner.start_patient("patient-1");
    owner.until("show patient-1", "no van");
    let console = Console::start(owner.folder());
    let elsewhere = Elsewhere::new();
    let refused = elsewhere.run(&console.url, &["retry", "patient-1"]);
    assert_eq!(refused.code, 5, "{}", refused.all());
    assert!(refused.stderr.contains("end the wait: midwatch retry"), "{}", refused.all());
    let retried = elsewhere.run(&console.url, &["retry", "patient-1", "--now", "--timeout", "10s"]);
    assert!(retried.stdout.contains("is tried again (event "), "{}", retried.all());
    owner.result(&run).unwrap();
}

#[test]
fn what_becomes_of_orders_is_told_as_beside_the_file() {
    let stories = || {
        written(&[
            failed(4, "order-44"),
            research(),
            booking(),
            approval(5, "claim-5"),
            approval(6, "claim-6"),
        ])
    };
    let (here, there) = (stories(), stories());
    let console = Console::start(there.path());
    let elsewhere = Elsewhere::new();
    for asked in [
        "retry order-44 paper-9 trip-7 claim-5",
        "retry order-44 paper-9 --json",
        "cancel --workflow approval --yes --reason over",
        "cancel --workflow approval",
        "pause claim-5 claim-6 --json",
        "resolve paper-9 call_llm --done={\"z\":1.50}",
        "resolve paper-9 --fail",
        "budget paper-9 --add 0.000135 --tokens 7",
        "fork trip-7 --step book_hotel --new-keys",
        "fork trip-7 --step nothing",
        "signal trip-7 approve",
        "signal nobody approve",
    ] {
        let arguments: Vec<&str> = asked.split(' ').collect();
        let (here, there) = (run(here.path(), &arguments), elsewhere.run(&console.url, &arguments));
        assert_eq!(there.all().replace(&console.url, "midwatch.db"), here.all(), "{asked}");
    }
    let plain = |folder: &std::path::Path| {
        let mut letters = letters(folder);
        for letter in &mut letters {
            // A fork's run is new each time.
            letter.as_object_mut().unwrap().get_mut("fork").map(|fork| fork["run"].take());
        }
        letters
    };
    assert_eq!(plain(there.path()), plain(here.path()));
    assert_eq!(plain(there.path())[0]["retry"]["by"], "ann");
}

#[test]
fn a_console_that_only_shows_takes_no_order_and_shows_all_the_same() {
    let folder = written(&[approval(5, "claim-5")]);
    let console = Console::with(folder.path(), |serve| {
        serve.arg("--read-only");
    });
    let elsewhere = Elsewhere::new();
    let ran = elsewhere.run(&console.url, &["cancel", "claim-5"]);
    assert_eq!(ran.code, 5, "{}", ran.all());
    assert!(ran.stderr.contains("[MW0305]") && ran.stderr.contains("--read-only"), "{}", ran.all());
    assert_eq!(letters(folder.path()).len(), 0);
    assert_eq!(elsewhere.run(&console.url, &["why", "claim-5"]).code, 0);
    let checked = elsewhere.run(&console.url, &["doctor"]);
    assert!(checked.stdout.contains("warn  orders"), "{}", checked.all());
}

#[test]
fn an_effect_is_waited_for_no_longer_than_the_server_does() {
    let folder = written(&[approval(5, "claim-5")]);
    let console = Console::start(folder.path());
    let ran = Elsewhere::new().run(&console.url, &["cancel", "claim-5", "--timeout", "1m"]);
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert_eq!(letters(folder.path()).len(), 0);
}
