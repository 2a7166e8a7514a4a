//! A journal that keeps names finds by text what one that does not finds.

use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use midwatch_workflow::RunId;

use super::Place;
use crate::build::*;

#[test]
fn a_text_finds_the_same_runs_whether_or_not_names_are_kept_and_also_those_that_came_since() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let plain = SqliteJournal::open_reader(place.path()).unwrap();
    let keeping = SqliteJournal::open_reader(place.path()).unwrap();
    keeping.keep_names().unwrap();
    for number in 1..=120 {
        written(&journal, start(started(run(number), &format!("order-{number}%x_é")), number.into()));
        if number % 40 == 0 {
            let id = run(number).to_string();
            let short = run(number).short();
            let texts = [
                "order",
                "order-1",
                "er-12%",
                "_é",
                "é\norder",
                "\n",
                "",
                "x",
                "r_",
                "r_0",
                "r_zz",
                "ORDER",
                "00",
                &id,
                &id[..9],
                &id.to_uppercase(),
                &short,
                &short[..5],
            ];
            for text in texts {
                let found = find(&keeping, text);
                assert_eq!(found, find(&plain, text), "{text}, {number} runs");
            }
            assert_eq!(find(&keeping, &short), [run(number)]);
        }
    }
}

fn find(journal: &SqliteJournal, text: &str) -> Vec<RunId> {
    let query = RunQuery { text: Some(text.to_owned()), limit: 1_000, ..RunQuery::default() };
    journal.runs(&query).unwrap().iter().map(|run| run.run).collect()
}
