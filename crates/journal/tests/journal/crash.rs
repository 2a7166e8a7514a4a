//! Claims about the journal that crashes on purpose.

use midwatch_journal::memory::{CrashingJournal, MemoryJournal, When};
use midwatch_journal::{Appended, Error, Journal};

use crate::build::*;

#[test]
fn a_crash_before_the_write_leaves_the_append_out_and_after_it_in() {
    for (when, kept) in [(When::BeforeWrite, 1), (When::AfterWrite, 2)] {
        let disk = MemoryJournal::new();
        let journal = CrashingJournal::new(disk.clone()).crash_at(2, when);
        written(&journal, start(started(run(1), "order-1"), 0));
        assert!(!journal.is_crashed());
        for number in 2..=3 {
            let answer = write(&journal, start(started(run(number), &format!("order-{number}")), 0));
            assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
            assert!(journal.is_crashed());
        }
        assert!(matches!(journal.letters(&[], 1), Err(Error::Closed)));
        assert_eq!(journal.appends(), 2);
        assert_eq!(disk.since(0, 10).unwrap().len(), kept, "{when:?}");
        assert_eq!(write(&disk, start(started(run(4), "order-4"), 0)).unwrap(), Appended::Written);
    }
}

#[test]
fn without_a_crash_it_counts_appends() {
    let disk = MemoryJournal::new();
    let journal = CrashingJournal::new(disk.clone());
    for number in 1..=3 {
        written(&journal, start(started(run(number), &format!("order-{number}")), 0));
    }
    assert_eq!((journal.appends(), disk.appends(), journal.is_crashed()), (3, 3, false));
}

#[test]
fn an_answer_in_memory_may_append_again() {
    let journal = MemoryJournal::new();
    let again = journal.clone();
    journal.append(
        start(started(run(1), "order-1"), 0),
        Box::new(move |_| written(&again, append(run(1), 2, &[event(1, scheduled(1))]))),
    );
    assert_eq!(journal.events(run(1), 0).unwrap().len(), 2);
}
