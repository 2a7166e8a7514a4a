//! How long lists and histories take in a large journal: `cargo bench --bench list -- RUNS`, a million unless said.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::mpsc::channel;
use std::time::Instant;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Appended, Fold, Journal, Order, RunQuery, Status};
use midwatch_workflow::event::RunStarted;
use midwatch_workflow::{Event, EventKind, Money, Payload, RunId, Timestamp, WorkflowId};

fn main() {
    let runs = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let checkpoint = std::env::args().find_map(|argument| argument.strip_prefix("checkpoint=")?.parse().ok());
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("journal.db");
    let defaults = Options::default();
    let checkpoint_pages = checkpoint.unwrap_or(defaults.checkpoint_pages);
    let journal = SqliteJournal::open(&path, Options { checkpoint_pages, ..defaults }).unwrap();
    let begun = Instant::now();
    fill(&journal, runs);
    println!("{runs} runs written in {:.1} s", begun.elapsed().as_secs_f64());
    journal.close().unwrap();
    println!("{} MB", path.metadata().unwrap().len() >> 20);
    let journal = SqliteJournal::open_reader(&path).unwrap();
    lists(&journal);
    histories(&journal, runs);
}

fn lists(journal: &SqliteJournal) {
    let any = RunQuery::default;
    let text = |text: &str| RunQuery { text: Some(text.to_owned()), ..any() };
    let open = || Status::ALL.into_iter().filter(|status| !status.is_ended()).collect::<Vec<_>>();
    let rare = || Some("rare".to_owned());
    let cases = [
        ("newest", any()),
        ("oldest", RunQuery { order: Order::Oldest, ..any() }),
        ("costliest", RunQuery { order: Order::Costliest, ..any() }),
        ("stalest", RunQuery { order: Order::Stalest, ..any() }),
        ("failed", RunQuery { statuses: vec![Status::Failed], ..any() }),
        ("open, stalest", RunQuery { statuses: open(), order: Order::Stalest, ..any() }),
        ("a common workflow", RunQuery { workflow: Some("workflow-1".to_owned()), ..any() }),
        (
            "a common workflow, costliest",
            RunQuery { workflow: Some("workflow-1".to_owned()), order: Order::Costliest, ..any() },
        ),
        ("a rare workflow", RunQuery { workflow: rare(), ..any() }),
        ("a rare workflow, costliest", RunQuery { workflow: rare(), order: Order::Costliest, ..any() }),
        ("a rare workflow, stalest", RunQuery { workflow: rare(), order: Order::Stalest, ..any() }),
        ("a rare tenant", RunQuery { tenant: rare(), ..any() }),
        ("a rare tenant, costliest", RunQuery { tenant: rare(), order: Order::Costliest, ..any() }),
        ("a workflow id", RunQuery { workflow_id: Some("order-777".to_owned()), ..any() }),
        (
            "the last hour, costliest",
            RunQuery { started_from: Some(at(996_400_000_000)), order: Order::Costliest, ..any() },
        ),
        (
            "none since, costliest",
            RunQuery { started_from: Some(at(u64::MAX >> 8)), order: Order::Costliest, ..any() },
        ),
        ("text in all", text("order-")),
        ("text in few", text("order-77777")),
        ("text in none", text("nothing of the kind")),
        ("text in none, costliest", RunQuery { order: Order::Costliest, ..text("nothing of the kind") }),
        ("short id", text(&id(777).short())),
        ("id prefix", text(&id(777).to_string()[..14])),
        ("page 100", RunQuery { skip: 10_000, ..any() }),
    ];
    for (name, query) in cases {
        let times = [(); 3].map(|()| {
            let begun = Instant::now();
            let found = journal.runs(&query).unwrap().len();
            (begun.elapsed().as_secs_f64() * 1e3, found)
        });
        println!("{name:<30} {:>9.2} ms first, {:>9.2} ms then, {} runs", times[0].0, times[2].0, times[0].1);
    }
}

fn histories(journal: &SqliteJournal, runs: u64) {
    let begun = Instant::now();
    let mut events = 0;
    for number in 0..10_000.min(runs) {
        events += journal.events(id(number * 97 % runs), 0).unwrap().len();
    }
    println!("10,000 histories of {events} events: {:.3} s", begun.elapsed().as_secs_f64());
    let (begun, mut after, mut rows) = (Instant::now(), 0, 0);
    while let Some(last) = journal.since(after, 1_000).unwrap().last() {
        rows += last.position - after;
        after = last.position;
    }
    println!("{rows} rows in commit order: {:.3} s", begun.elapsed().as_secs_f64());
}

fn fill(journal: &SqliteJournal, runs: u64) {
    for block in 0..runs.div_ceil(1_000) {
        let (sender, answers) = channel();
        for number in block * 1_000..runs.min(block * 1_000 + 1_000) {
            let sender = sender.clone();
            journal.append(start(number), Box::new(move |outcome| sender.send(outcome).unwrap()));
        }
        drop(sender);
        answers.into_iter().for_each(|outcome| assert_eq!(outcome.unwrap(), Appended::Written));
    }
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + micros)
}

fn id(number: u64) -> RunId {
    let mut random = [0; 10];
    let scattered = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    random.copy_from_slice(&scattered.to_be_bytes()[6..]);
    RunId::new(at(number * 1_000_000), random)
}

/// One run each second; one in a thousand is rare, one in fifty failed, the newest thousand are open.
fn start(number: u64) -> Append {
    let run = id(number);
    let is_rare = number % 1_000 == 999;
    let workflow = if is_rare { "rare".to_owned() } else { format!("workflow-{}", number % 5) };
    let start = RunStarted {
        workflow_id: WorkflowId::new(format!("order-{number}")).unwrap(),
        input: Payload::of(&number).unwrap(),
        tenant: Some(if is_rare { "rare".to_owned() } else { format!("tenant-{}", number % 7) }),
        worker: "build-1:4242".to_owned(),
        ..RunStarted::bare(run, workflow)
    };
    let mut summary = Box::new(Fold::begin(&start, at(number * 1_000_000)).summary);
    summary.status = match number {
        999_000.. => Status::Waiting,
        _ if number.is_multiple_of(50) => Status::Failed,
        _ => Status::Completed,
    };
    summary.spent.cost = Money::from_cents(number * 31 % 1_009);
    let event = Event { at: at(number * 1_000_000), kind: EventKind::RunStarted(Box::new(start)) };
    Append::new(run, 1, &[event], Some(summary)).unwrap()
}
