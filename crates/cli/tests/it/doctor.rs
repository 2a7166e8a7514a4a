//! `midwatch doctor`.

use std::io::{Seek, SeekFrom, Write};

use insta::assert_snapshot;

use crate::journal::{Story, approval, checkout, research, written};
use crate::midwatch::midwatch;
use crate::owner::Owner;

/// The lines without those that depend on the machine.
fn steady(text: &str) -> String {
    let is_steady =
        |line: &&str| !line.contains("disk") && !line.contains("free some space") && !line.contains("size");
    text.lines().filter(is_steady).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_sound_journal_is_all_ok() {
    let folder = written(&[checkout()]);
    let ran = midwatch(folder.path(), "doctor");
    assert_eq!(ran.code, 0);
    assert_snapshot!(steady(&ran.stdout), @r"
    ok    journal    midwatch.db opens
    ok    integrity  every page is sound
    ok    runs       none is open
    ok    parked     none needs a person
    ok    inbox      empty
    ok    owner      no process owns it now
    ");
    assert!(ran.stdout.contains("disk") && ran.stdout.contains("size"), "{}", ran.stdout);
}

#[test]
fn what_waits_for_a_process_or_a_person_is_a_warning() {
    let folder = written(&[research(), approval(4, "claim-4")]);
    midwatch(folder.path(), "signal claim-4 approve");
    let ran = midwatch(folder.path(), "doctor --quick");
    assert_eq!(ran.code, 0);
    let age = ran.stdout.split("the oldest since ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert_snapshot!(steady(&ran.stdout).replace(&age, "AGE"), @r"
    ok    journal    midwatch.db opens
    warn  runs       2 runs open, and no process carries them out
                     start the process that has their code
    warn  parked     1 run needs a person
                     midwatch show r_03030303
    warn  inbox      1 letter waiting, the oldest since AGE
                     start the process that has the runs' code: it takes them in
    ok    owner      no process owns it now
    ");
}

#[test]
fn the_owner_is_named() {
    let owner = Owner::new();
    let ran = midwatch(owner.folder(), "doctor");
    assert!(ran.stdout.contains(&format!("process {} on ", std::process::id())), "{}", ran.stdout);
}

#[test]
fn a_damaged_page_fails() {
    let mut story = Story::begin(1, "checkout", "order-42");
    for _ in 0..2_000 {
        let op = story.attempt("step", 1);
        story.ok(op, r#""something to fill pages with""#);
    }
    let folder = written(&[story]);
    let path = folder.path().join("midwatch.db");
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 4..40 {
        file.seek(SeekFrom::Start(page * 4_096)).unwrap();
        file.write_all(&[0xff; 512]).unwrap();
    }
    let ran = midwatch(folder.path(), "doctor");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("fail  integrity"), "{}", ran.stdout);
}

#[test]
fn what_is_no_journal_fails() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("midwatch.db"), "not a database at all, just a text of some length")
        .unwrap();
    assert_snapshot!(midwatch(folder.path(), "doctor").all(), @r"
    exit 4
    --- stdout
    fail  journal    [MW0002] midwatch.db is not a midwatch journal: choose another file with --db
    ");
    assert_snapshot!(midwatch(folder.path(), "doctor --db missing.db --json").all(), @r#"
    exit 4
    --- stdout
    {"check":"journal","level":"fail","message":"[MW0011] there is no journal missing.db: start a run first, or name another file with --db","next":null}
    "#);
}
