//! Claims about lists of runs.

use midwatch_journal::{Append, Cursor, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_workflow::{Money, RunId, WorkflowId};

use crate::build::*;

pub(crate) fn runs_come_in_the_order_asked_for(journal: &dyn Journal) {
    // (run, started, updated, cost)
    for (number, started, updated, cents) in [(1, 30, 900, 5), (2, 10, 800, 0), (3, 20, 700, 7)] {
        list(journal, run(number), |run| {
            run.started_at = at(started);
            run.updated_at = at(updated);
            run.spent.cost = Money::from_cents(cents);
        });
    }
    let cases = [
        (Order::Newest, [1, 3, 2]),
        (Order::Oldest, [2, 3, 1]),
        (Order::Costliest, [3, 1, 2]),
        (Order::Stalest, [3, 2, 1]),
    ];
    for (order, expected) in cases {
        assert_eq!(ids(journal, &RunQuery { order, ..RunQuery::default() }), expected.map(run), "{order:?}");
    }
}

pub(crate) fn equal_runs_come_in_the_order_of_arrival(journal: &dyn Journal) {
    let statuses = [Status::Running, Status::Completed, Status::Running, Status::Failed];
    for (number, status) in [3, 1, 4, 2].into_iter().zip(statuses) {
        list(journal, run(number), |run| {
            run.started_at = at(0);
            run.updated_at = at(0);
            run.status = status;
        });
    }
    for (order, expected) in [
        (Order::Newest, [2, 4, 1, 3]),
        (Order::Oldest, [3, 1, 4, 2]),
        (Order::Costliest, [2, 4, 1, 3]),
        (Order::Stalest, [3, 1, 4, 2]),
    ] {
        assert_eq!(ids(journal, &RunQuery { order, ..RunQuery::default() }), expected.map(run), "{order:?}");
    }
}

pub(crate) fn runs_are_filtered_by_every_field(journal: &dyn Journal) {
    list(journal, run(1), |run| run.workflow = "refund".to_owned());
    list(journal, run(2), |run| run.workflow_id = WorkflowId::new("the-one").unwrap());
    list(journal, run(3), |run| run.status = Status::Parked);
    list(journal, run(4), |run| run.tenant = Some("acme".to_owned()));
    list(journal, run(5), |run| run.started_at = at(900_000));
    list(journal, run(6), |run| run.started_at = at(1));
    list(journal, run(7), |run| run.updated_at = at(2));
    list(journal, run(8), |run| run.spent.cost = Money::from_cents(7));
    let any = RunQuery::default;
    let cases = [
        (1, RunQuery { workflow: Some("refund".to_owned()), ..any() }),
        (2, RunQuery { workflow_id: Some("the-one".to_owned()), ..any() }),
        (3, RunQuery { statuses: vec![Status::Parked, Status::Failed], ..any() }),
        (4, RunQuery { tenant: Some("acme".to_owned()), ..any() }),
        (5, RunQuery { started_from: Some(at(900_000)), ..any() }),
        (6, RunQuery { started_before: Some(at(2)), ..any() }),
        (7, RunQuery { updated_before: Some(at(3)), ..any() }),
        (8, RunQuery { cost_from: Some(Money::from_cents(7)), ..any() }),
        (
            8,
            RunQuery {
                cost_from: Some(Money::from_cents(1)),
                cost_upto: Some(Money::from_cents(7)),
                ..any()
            },
        ),
    ];
    for (number, query) in cases {
        assert_eq!(ids(journal, &query), [run(number)], "{query:?}");
    }
}

pub(crate) fn statuses_named_twice_give_runs_once(journal: &dyn Journal) {
    list(journal, run(1), |_| ());
    let query = RunQuery { statuses: vec![Status::Running; 2], ..RunQuery::default() };
    assert_eq!(ids(journal, &query), [run(1)]);
}

pub(crate) fn a_text_finds_runs_by_both_ends_of_their_id_and_by_any_part_of_their_workflow_id(
    journal: &dyn Journal,
) {
    for number in 1..=3 {
        list(journal, run(number), |run| {
            run.workflow_id = WorkflowId::new(format!("order-{number}%x_")).unwrap()
        });
    }
    let id = run(2).to_string();
    for text in [&id, &id[..13], &id.to_uppercase()[..14], &run(2).short(), "r_02", "order-2", "er-2%"] {
        assert_eq!(find(journal, text), [run(2)], "{text}");
    }
    for text in ["order-_", "ORDER", "02", "r_", &format!("{id}0"), "r_zz", "%%"] {
        assert_eq!(find(journal, text), [], "{text}");
    }
    assert_eq!(find(journal, "order"), [run(3), run(2), run(1)]);
    assert_eq!(find(journal, &id[..8]), [run(3), run(2), run(1)]);
}

pub(crate) fn pages_by_skip_cover_everything_once(journal: &dyn Journal) {
    many(journal, 60);
    for order in [Order::Newest, Order::Oldest, Order::Costliest, Order::Stalest] {
        let whole = ids(journal, &RunQuery { order, ..RunQuery::default() });
        let page = |skip| ids(journal, &RunQuery { order, skip, limit: 7, ..RunQuery::default() });
        let pages: Vec<_> = (0..9).flat_map(|number| page(number * 7)).collect();
        assert_eq!(pages, whole, "{order:?}");
        assert_eq!(whole.len(), 60);
    }
}

/// Of 60 runs, twelve each cost the same, so that a page ends in the middle of what is alike.
pub(crate) fn pages_by_cursor_cover_everything_once_whatever_is_alike(journal: &dyn Journal) {
    many(journal, 60);
    let filters =
        [RunQuery::default(), RunQuery { cost_upto: Some(Money::from_cents(2)), ..RunQuery::default() }];
    for (filter, order) in filters.iter().flat_map(|filter| {
        [Order::Newest, Order::Oldest, Order::Costliest, Order::Stalest].map(|order| (filter, order))
    }) {
        let query = RunQuery { order, limit: 7, ..filter.clone() };
        let whole = ids(journal, &RunQuery { limit: 100, ..query.clone() });
        let mut pages = Vec::new();
        let mut cursor = None;
        loop {
            let page = cursor.map_or_else(|| query.clone(), |cursor| query.clone().from_cursor(cursor));
            let runs = journal.runs(&page).unwrap();
            pages.extend(runs.iter().map(|run| run.run));
            cursor = Cursor::after(order, cursor, &runs);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(pages, whole, "{order:?}");
    }
}

pub(crate) fn a_query_without_a_limit_gives_a_hundred(journal: &dyn Journal) {
    many(journal, 120);
    assert_eq!(ids(journal, &RunQuery::default()).len(), 100);
    assert_eq!(ids(journal, &RunQuery { limit: usize::MAX, ..RunQuery::default() }).len(), 120);
}

/// The definition is [`RunQuery::matches`] and a sort, tried here with every combination of filters.
pub(crate) fn any_query_gives_what_its_definition_says(journal: &dyn Journal) {
    many(journal, 120);
    let all =
        journal.runs(&RunQuery { order: Order::Oldest, limit: usize::MAX, ..RunQuery::default() }).unwrap();
    let orders = [Order::Newest, Order::Oldest, Order::Costliest, Order::Stalest];
    for case in 0..1u32 << 9 {
        let on = |bit: u32| case >> bit & 1 == 1;
        let query = RunQuery {
            workflow: on(0).then(|| "refund".to_owned()),
            tenant: on(1).then(|| "acme".to_owned()),
            statuses: if on(2) { vec![Status::Failed, Status::Running] } else { Vec::new() },
            started_from: on(3).then(|| at(20)),
            started_before: on(4).then(|| at(90)),
            updated_before: on(5).then(|| at(700)),
            text: on(6).then(|| "-1".to_owned()),
            order: orders[(case >> 7) as usize],
            limit: usize::MAX,
            ..RunQuery::default()
        };
        let found = journal.runs(&query).unwrap();
        let mut expected: Vec<RunId> =
            all.iter().filter(|run| query.matches(run)).map(|run| run.run).collect();
        let mut sorted: Vec<RunId> = found.iter().map(|run| run.run).collect();
        expected.sort();
        sorted.sort();
        assert_eq!(sorted, expected, "{query:?}");
        let is_sorted = found.is_sorted_by(|a, b| match query.order {
            Order::Newest => a.started_at >= b.started_at,
            Order::Oldest => a.started_at <= b.started_at,
            Order::Costliest => a.spent.cost >= b.spent.cost,
            Order::Stalest => a.updated_at <= b.updated_at,
        });
        assert!(is_sorted, "{query:?}");
    }
}

/// Runs that differ in everything.
fn many(journal: &dyn Journal, count: u8) {
    for number in 0..count {
        let n = u64::from(number);
        list(journal, run(number), |run| {
            run.workflow = ["checkout", "refund", "trip"][usize::from(number) % 3].to_owned();
            run.tenant = [None, Some("acme".to_owned())][usize::from(number / 2) % 2].clone();
            run.status = Status::ALL[usize::from(number) % 9];
            run.started_at = at(n * 7 % 120);
            run.updated_at = at(n * 11 % 120 * 10);
            run.spent.cost = Money::from_cents(n * 13 % 5);
        });
    }
}

fn list(journal: &dyn Journal, id: RunId, change: impl FnOnce(&mut RunSummary)) {
    let name = format!("order-{}", id.as_bytes()[15]);
    let Append { run, first, body, summary } = start(started(id, &name), 1_000);
    let mut summary = summary.unwrap();
    change(&mut summary);
    written(journal, Append { run, first, body, summary: Some(summary) });
}

fn ids(journal: &dyn Journal, query: &RunQuery) -> Vec<RunId> {
    journal.runs(query).unwrap().iter().map(|run| run.run).collect()
}

fn find(journal: &dyn Journal, text: &str) -> Vec<RunId> {
    ids(journal, &RunQuery { text: Some(text.to_owned()), ..RunQuery::default() })
}
