//! Claims about letters.

use midwatch_journal::Journal;
use midwatch_workflow::{Message, Payload};

use crate::build::*;

pub(crate) fn letters_come_in_the_order_of_posting(journal: &dyn Journal) {
    assert_eq!(journal.letters(&[], 10).unwrap(), []);
    for number in 1..=5 {
        journal.post(run(number), &signal(number), at(number.into())).unwrap();
    }
    let letters = journal.letters(&[], 3).unwrap();
    let expected: Vec<_> = (1..=3).map(|number| (run(number), at(number.into()), signal(number))).collect();
    assert_eq!(
        letters.into_iter().map(|letter| (letter.run, letter.at, letter.message)).collect::<Vec<_>>(),
        expected
    );
}

pub(crate) fn an_answered_letter_does_not_come_again(journal: &dyn Journal) {
    let numbers: Vec<u64> =
        (1..=4).map(|number| journal.post(run(number), &signal(number), at(0)).unwrap()).collect();
    let rest = journal.letters(&[numbers[0], numbers[2]], 10).unwrap();
    assert_eq!(rest.iter().map(|letter| letter.id).collect::<Vec<_>>(), [numbers[1], numbers[3]]);
    assert_eq!(journal.letters(&[numbers[0], 999], 10).unwrap(), rest);
}

pub(crate) fn numbers_of_answered_letters_are_not_used_again(journal: &dyn Journal) {
    let first = journal.post(run(1), &signal(1), at(0)).unwrap();
    journal.letters(&[first], 10).unwrap();
    let second = journal.post(run(1), &signal(1), at(0)).unwrap();
    assert!(second > first, "{second} after {first}");
}

fn signal(number: u8) -> Message {
    Message::Signal { name: "approve".to_owned(), payload: Payload::of(&number).unwrap(), id: None }
}
