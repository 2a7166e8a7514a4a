//! Files and disks that a journal refuses, each with its own error.

use std::process::Command;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Appended, Error, Journal};

use super::{Place, history, message};
use crate::build::*;

#[test]
fn a_file_of_a_newer_format_is_refused_untouched() {
    let place = Place::filled(1);
    place.meddle("PRAGMA user_version = 77");
    let before = std::fs::read(place.path()).unwrap();
    for opened in [place.open(), SqliteJournal::open_reader(place.path())] {
        match opened.map(drop) {
            Err(Error::Newer { found, known, .. }) => assert_eq!((found, known), (77, 1)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
}

#[test]
fn a_file_of_an_impossible_format_is_damaged() {
    let place = Place::filled(1);
    place.meddle("PRAGMA user_version = -3");
    assert!(matches!(place.open(), Err(Error::Damaged { .. })));
}

#[test]
fn a_database_of_another_application_is_no_journal() {
    let place = Place::filled(1);
    place.meddle("PRAGMA application_id = 42");
    assert!(matches!(place.open(), Err(Error::NotAJournal { .. })));
}

#[test]
fn a_database_without_an_owner_is_left_alone() {
    let place = Place::new();
    place.meddle("CREATE TABLE customers (name)");
    let before = std::fs::read(place.path()).unwrap();
    assert!(matches!(place.open(), Err(Error::NotAJournal { .. })));
    assert!(matches!(SqliteJournal::open_reader(place.path()), Err(Error::NotAJournal { .. })));
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
}

#[test]
fn an_empty_file_becomes_a_journal_for_its_owner_and_is_missing_for_readers() {
    let place = Place::new();
    std::fs::write(place.path(), "").unwrap();
    assert!(matches!(SqliteJournal::open_reader(place.path()), Err(Error::Missing { .. })));
    written(&place.open().unwrap(), start(started(run(1), "order-1"), 0));
}

#[test]
fn a_missing_file_is_missing_for_readers_and_is_not_created() {
    let place = Place::new();
    let opened = SqliteJournal::open_reader(place.path()).map(drop);
    assert!(matches!(opened, Err(Error::Missing { .. })), "{opened:?}");
    assert!(!place.path().exists());
}

#[test]
fn a_missing_folder_is_named() {
    let place = Place::new();
    let path = place.folder.path().join("nowhere").join("journal.db");
    let opened = SqliteJournal::open(&path, Options::default());
    assert!(matches!(opened, Err(Error::Io { .. })));
    assert!(message(opened).contains("nowhere"));
}

#[test]
fn a_folder_in_place_of_the_file_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.path()).unwrap();
    assert!(matches!(place.open(), Err(Error::Io { .. })));
}

#[test]
fn a_full_disk_fails_what_does_not_fit_stops_the_writer_and_loses_nothing() {
    let place = Place::new();
    // The limit of the file stands in for that of the disk: SQLite meets both with the same error.
    let options = Options { size_max: Some(200_000), ..Options::default() };
    let journal = SqliteJournal::open(place.path(), options).unwrap();
    let mut done = 0;
    let refused = loop {
        let number = u8::try_from(done + 1).unwrap();
        match write(&journal, fat(number)) {
            Ok(Appended::Written) => done += 1,
            other => break other,
        }
    };
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert!(done > 3, "{done}");
    // Even what would fit is refused now: an engine that hears of trouble must be able to rely on it.
    let refused = write(&journal, start(started(run(99), "order-99"), 0));
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert!(matches!(journal.close(), Err(Error::Full { .. })));
    let journal = place.open().unwrap();
    assert_eq!(journal.since(0, 1_000).unwrap().len(), done);
    written(&journal, fat(u8::try_from(done + 1).unwrap()));
}

/// Root may write everything, so as root these tests run themselves again as `nobody`.
#[cfg(unix)]
mod permissions {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::path::Path;

    use super::*;

    const NOBODY: u32 = 65_534;

    #[test]
    fn a_file_without_write_permission_is_read_only_for_its_owner_and_readable_for_others() {
        as_nobody(
            "a_file_without_write_permission_is_read_only_for_its_owner_and_readable_for_others",
            |folder| {
                let path = folder.join("journal.db");
                fill(&path);
                set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
                let opened = SqliteJournal::open(&path, Options::default()).map(drop);
                assert!(matches!(opened, Err(Error::ReadOnly { .. })), "{opened:?}");
                let reader = SqliteJournal::open_reader(&path).unwrap();
                assert_eq!(reader.events(run(1), 0).unwrap().len(), 8);
                let posted =
                    reader.post(run(1), &midwatch_workflow::Message::Resume { by: "me".to_owned() }, at(0));
                assert!(matches!(posted, Err(Error::ReadOnly { .. })), "{posted:?}");
            },
        );
    }

    #[test]
    fn a_folder_without_write_permission_is_read_only() {
        as_nobody("a_folder_without_write_permission_is_read_only", |folder| {
            let path = folder.join("journal.db");
            fill(&path);
            set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
            let opened = SqliteJournal::open(&path, Options::default()).map(drop);
            assert!(matches!(opened, Err(Error::ReadOnly { .. })), "{opened:?}");
            let opened = SqliteJournal::open_reader(&path).map(drop);
            assert!(matches!(opened, Err(Error::ReadOnly { .. })), "{opened:?}");
            let created = SqliteJournal::open(folder.join("new.db"), Options::default()).map(drop);
            assert!(matches!(created, Err(Error::ReadOnly { .. })), "{created:?}");
            let locked = midwatch_journal::Lease::acquire(folder.join("new.db"));
            assert!(matches!(locked, Err(Error::ReadOnly { .. })), "{locked:?}");
            set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        });
    }

    #[test]
    fn a_file_that_may_not_be_read_is_refused_to_readers() {
        as_nobody("a_file_that_may_not_be_read_is_refused_to_readers", |folder| {
            let path = folder.join("journal.db");
            fill(&path);
            set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
            let opened = SqliteJournal::open_reader(&path).map(drop);
            assert!(matches!(opened, Err(Error::ReadOnly { .. })), "{opened:?}");
        });
    }

    fn fill(path: &Path) {
        let journal = SqliteJournal::open(path, Options::default()).unwrap();
        history(1).into_iter().for_each(|append| written(&journal, append));
        journal.close().unwrap();
    }

    fn as_nobody(test: &str, check: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let is_root = std::fs::metadata(folder.path())
            .is_ok_and(|folder| std::os::unix::fs::MetadataExt::uid(&folder) == 0);
        if !is_root {
            return check(folder.path());
        }
        // The program may lie where nobody else may look.
        set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let program = folder.path().join("tests");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let test = format!("sqlite::refusal::permissions::{test}");
        let mut again = Command::new(program);
        again.args([&test, "--exact", "--nocapture"]).uid(NOBODY).gid(NOBODY).current_dir("/");
        let output = again.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A run whose start takes some pages.
fn fat(number: u8) -> midwatch_journal::Append {
    let mut fat = started(run(number), &format!("order-{number}"));
    fat.input = midwatch_workflow::Payload::of(&"x".repeat(20_000)).unwrap();
    start(fat, 0)
}
