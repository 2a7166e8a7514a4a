//! Claims about ownership.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use midwatch_journal::{Error, Lease};

#[test]
fn a_journal_has_one_owner_and_the_next_is_told_who() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    assert_eq!(Lease::owner(&path), None);
    let lease = Lease::acquire(&path).unwrap();
    let owner = Lease::owner(&path).unwrap();
    assert!(owner.starts_with(&format!("process {} on ", std::process::id())), "{owner}");
    match Lease::acquire(&path) {
        Err(Error::Owned { owner: told, .. }) => assert_eq!(told, owner),
        other => panic!("{other:?}"),
    }
    drop(lease);
    assert_eq!(Lease::owner(&path), None);
    Lease::acquire(&path).unwrap();
}

#[test]
fn asking_for_the_owner_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    drop(Lease::acquire(&path).unwrap());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| (0..200).filter(|_| Lease::owner(&path).is_some()).count());
        for _ in 0..50 {
            Lease::acquire(&path).unwrap();
        }
        asking.join().unwrap();
    });
}

#[cfg(unix)]
#[test]
fn all_names_of_a_journal_share_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::fs::write(&path, "").unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let _lease = Lease::acquire(&path).unwrap();
    assert!(matches!(Lease::acquire(&link), Err(Error::Owned { .. })));
}

#[test]
fn a_lease_ends_with_a_process_that_is_killed() {
    const VARIABLE: &str = "MIDWATCH_TEST_LEASE";
    if let Some(path) = std::env::var_os(VARIABLE) {
        let _lease = Lease::acquire(path).unwrap();
        println!("\nheld");
        // Until the parent kills this process, or is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["lease::a_lease_ends_with_a_process_that_is_killed", "--exact", "--nocapture"])
        .env(VARIABLE, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap() == "held"));
    let owner = Lease::owner(&path).unwrap();
    assert!(owner.starts_with(&format!("process {} on ", child.id())), "{owner}");
    assert!(matches!(Lease::acquire(&path), Err(Error::Owned { .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(Lease::owner(&path), None);
    Lease::acquire(&path).unwrap();
}
