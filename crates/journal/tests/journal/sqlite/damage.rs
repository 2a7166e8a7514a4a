//! Files that were damaged, by what was done to them.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Error, Journal, RunQuery};

use super::{Place, history, message};
use crate::build::*;

#[test]
fn garbage_in_the_header_is_no_journal() {
    let place = Place::filled(3);
    overwrite(&place, 0, &[0x5a; 100]);
    assert!(matches!(place.open(), Err(Error::NotAJournal { .. })));
    assert!(matches!(SqliteJournal::open_reader(place.path()), Err(Error::NotAJournal { .. })));
}

#[test]
fn a_truncated_file_is_damaged() {
    let place = Place::filled(40);
    let file = OpenOptions::new().write(true).open(place.path()).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length / 2).unwrap();
    let opened = place.open().map(drop);
    assert!(matches!(opened, Err(Error::Damaged { .. })), "{opened:?}");
    assert_eq!(file.metadata().unwrap().len(), length / 2, "the rest is left as it is");
}

#[test]
fn an_overwritten_page_damages_the_runs_on_it_and_no_other() {
    let place = Place::filled(100);
    let leaf =
        "SELECT pgoffset, pgsize FROM dbstat WHERE name = 'journal' AND pagetype = 'leaf' LIMIT 1 OFFSET 3";
    let inspect = rusqlite::Connection::open(place.path()).unwrap();
    let (offset, size): (u64, usize) =
        inspect.query_row(leaf, [], |row| Ok((row.get(0)?, row.get::<_, u32>(1)? as usize))).unwrap();
    drop(inspect);
    overwrite(&place, offset, &vec![0xff; size]);
    let journal = place.open().unwrap();
    let (mut good, mut bad) = (0, 0);
    for number in 1..=100 {
        match journal.events(run(number), 0) {
            Ok(events) => {
                assert_eq!(events.len(), 8);
                good += 1;
            }
            Err(Error::Damaged { .. }) => bad += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(bad > 0 && good > 80, "{bad} damaged, {good} good");
    assert_eq!(journal.runs(&RunQuery::default()).unwrap().len(), 100);
}

#[test]
fn a_row_of_broken_json_is_named_and_the_others_stay_readable() {
    let place = Place::filled(3);
    place.meddle("UPDATE journal SET body = '[{' WHERE position = 8");
    let journal = place.open().unwrap();
    assert!(message(journal.events(run(2), 0)).contains("row 8 "), "{}", message(journal.events(run(2), 0)));
    assert!(message(journal.events(run(2), 0)).starts_with("[MW0003]"));
    assert_eq!(journal.events(run(1), 0).unwrap().len(), 8);
    assert_eq!(journal.events(run(3), 0).unwrap().len(), 8);
    // In commit order: what stands before, then the damage, then what stands behind.
    assert_eq!(journal.since(0, 100).unwrap().len(), 7);
    assert!(message(journal.since(7, 100)).contains("row 8 "));
    assert_eq!(journal.since(8, 100).unwrap().len(), 7);
}

#[test]
fn a_missing_row_is_a_gap_and_not_a_shorter_history() {
    let place = Place::filled(2);
    place.meddle("DELETE FROM journal WHERE position = 3");
    let journal = place.open().unwrap();
    let found = message(journal.events(run(1), 0));
    assert!(found.contains("has event 6 where event 4 is due"), "{found}");
    assert_eq!(journal.events(run(2), 0).unwrap().len(), 8);
}

#[test]
fn a_row_of_the_wrong_type_is_damage() {
    let place = Place::filled(1);
    place.meddle("UPDATE journal SET body = CAST(x'ff00' AS TEXT) WHERE position = 2");
    let journal = place.open().unwrap();
    assert!(matches!(journal.events(run(1), 0), Err(Error::Damaged { .. })));
}

#[test]
fn a_broken_summary_is_named() {
    let place = Place::filled(2);
    place.meddle("UPDATE runs SET summary = '{}' WHERE id = 2");
    let journal = place.open().unwrap();
    let found = message(journal.runs(&RunQuery::default()));
    assert!(found.contains(&run(2).to_string()), "{found}");
    assert!(matches!(journal.run(run(2)), Err(Error::Damaged { .. })));
    assert!(journal.run(run(1)).unwrap().is_some());
}

#[test]
fn a_write_ahead_log_cut_anywhere_loses_whole_appends_from_the_end_only() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let mut ends = Vec::new();
    let log = place.folder.path().join("journal.db-wal");
    for append in history(1) {
        written(&journal, append);
        ends.push(log.metadata().unwrap().len());
    }
    // The files as a power cut leaves them.
    let (file, log) = (std::fs::read(place.path()).unwrap(), std::fs::read(log).unwrap());
    let appended = [1, 3, 5, 7, 8];
    let begin = usize::try_from(ends[0]).unwrap();
    for cut in (begin..=log.len()).step_by(509) {
        let after = Place::new();
        std::fs::write(after.path(), &file).unwrap();
        std::fs::write(after.folder.path().join("journal.db-wal"), &log[..cut]).unwrap();
        let journal = after.open().unwrap();
        let kept = ends.iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(journal.events(run(1), 0).unwrap().len(), appended[kept - 1], "cut at {cut}");
        for append in history(1).split_off(kept) {
            written(&journal, append);
        }
    }
}

#[test]
fn damage_met_while_writing_stops_the_writer() {
    let place = Place::filled(60);
    let inspect = rusqlite::Connection::open(place.path()).unwrap();
    let root = "SELECT pgoffset FROM dbstat WHERE name = 'journal_by_run' AND path = '/'";
    let offset: u64 = inspect.query_row(root, [], |row| row.get(0)).unwrap();
    drop(inspect);
    overwrite(&place, offset, &[0xff; 4_096]);
    let journal = SqliteJournal::open(place.path(), Options::default()).unwrap();
    for _ in 0..2 {
        let refused = write(&journal, start(started(run(200), "order-200"), 0));
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    }
    assert!(matches!(journal.close(), Err(Error::Damaged { .. })));
}

fn overwrite(place: &Place, offset: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(place.path()).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}
