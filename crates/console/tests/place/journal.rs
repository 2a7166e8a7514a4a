//! Journals with known runs, written as an engine would have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal};
use midwatch_observe::corpus::{Tale, World, incidents as all};
use midwatch_workflow::event::RunStarted;
use midwatch_workflow::{
    Budget, Class, Ended, Event, EventKind, Failure, Money, ParkReason, Payload, RunId, Timestamp, WorkflowId,
};
use serde_json::{Value, json};

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap())
}

/// Writes runs; gives nothing back before all of it is durable.
fn write(path: &Path, runs: Vec<Vec<Event>>) {
    let journal = SqliteJournal::open(path, Options::default()).unwrap();
    let (done, written) = channel();
    let mut appends = 0;
    for events in runs {
        let EventKind::RunStarted(start) = &events[0].kind else { panic!("a run begins with its start") };
        let summary = Fold::of(&events).map(|fold| Box::new(fold.summary));
        let mut first = 1;
        for part in events.chunks(20_000) {
            let summary = summary.clone().filter(|_| first == 1);
            let done = done.clone();
            journal.append(
                Append::new(start.run, first, part, summary).unwrap(),
                Box::new(move |outcome| done.send(outcome).unwrap()),
            );
            first += part.len() as u64;
            appends += 1;
        }
    }
    for _ in 0..appends {
        written.recv().unwrap().unwrap();
    }
    journal.close().unwrap();
}

/// The run as another one, so that `then` is now.
fn placed(
    events: &[Event],
    n: u64,
    then: Timestamp,
    now: Timestamp,
    change: impl FnOnce(&mut RunStarted),
) -> Vec<Event> {
    let moved = |at: Timestamp| {
        let micros = i128::from(at.as_micros()) - i128::from(then.as_micros()) + i128::from(now.as_micros());
        Timestamp::from_micros(u64::try_from(micros).unwrap())
    };
    let mut events: Vec<Event> =
        events.iter().map(|event| Event { at: moved(event.at), kind: event.kind.clone() }).collect();
    for event in &mut events {
        if let EventKind::TimerStarted { until, .. } = &mut event.kind {
            *until = moved(*until);
        }
    }
    if let Some(Event { at, kind: EventKind::RunStarted(start) }) = events.first_mut() {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        start.run = RunId::new(*at, random);
        start.workflow_id = WorkflowId::from(start.run);
        change(start);
    }
    events
}

/// Every known kind of incident, among runs that went as usual.
pub(crate) fn incidents(path: &Path) -> Value {
    let now = now();
    let mut runs = Vec::new();
    let mut n = 0;
    let mut next = || {
        n += 1;
        n
    };
    for (place, world) in (0..4).map(World::of).enumerate() {
        for k in 0..40 {
            let mut tale = Tale::begin(world, k);
            tale.usual_work(k);
            tale.complete();
            let at =
                Timestamp::from_micros(now.as_micros() - (k * 5_400 + 600 + place as u64 * 60) * 1_000_000);
            let id = format!("{}-{}", world.workflow, 1_000 + k);
            runs.push(placed(&tale.events, next(), tale.at, at, |start| {
                start.workflow_id = WorkflowId::new(id).unwrap();
                start.tenant = Some(["acme", "globex", "initech"][k as usize % 3].to_owned());
            }));
        }
    }
    let mut by_name: BTreeMap<String, RunId> = BTreeMap::new();
    for incident in all() {
        let facts = &incident.facts;
        let name = incident.name.replace('/', "-");
        let id = name.clone();
        let events = placed(&facts.events, next(), facts.now, now, |start| {
            start.workflow_id = WorkflowId::new(id).unwrap()
        });
        if let Some(EventKind::RunStarted(start)) = events.first().map(|event| &event.kind) {
            by_name.insert(name, start.run);
        }
        runs.push(events);
    }
    for k in 0..14 {
        let mut tale = Tale::begin(World::of(0), 300 + k);
        tale.usual_work(k);
        tale.complete();
        let at = Timestamp::from_micros(now.as_micros() - (k * 1_700 + 300) * 1_000_000);
        runs.push(placed(&tale.events, next(), tale.at, at, |start| {
            start.workflow = "briefing".to_owned();
            start.workflow_id = WorkflowId::new(format!("briefing-{k}")).unwrap();
        }));
    }
    let story = story(now);
    by_name.insert("story".to_owned(), run_of(&story));
    runs.push(story);
    write(path, runs);
    json!({ "runs": by_name })
}

/// The same silent run, carried out by an engine and by others; and whether it is only watched.
pub(crate) fn watched(path: &Path) -> [(RunId, bool); 2] {
    let now = now();
    let incident = all().into_iter().find(|incident| incident.name.starts_with("stuck/silent-")).unwrap();
    let facts = &incident.facts;
    let place =
        |n, worker: &str| placed(&facts.events, n, facts.now, now, |start| start.worker = worker.to_owned());
    let (own, others) = (place(1, "w1"), place(2, "recorder: ingest pid 7"));
    let runs = [(run_of(&own), false), (run_of(&others), true)];
    write(path, vec![own, others]);
    runs
}

fn run_of(events: &[Event]) -> RunId {
    match &events[0].kind {
        EventKind::RunStarted(start) => start.run,
        other => panic!("{other:?}"),
    }
}

/// One run that has something of everything: the picture in the README.
fn story(now: Timestamp) -> Vec<Event> {
    let world = World::of(0);
    let mut tale = Tale::begin_with(world, 77, |start| {
        start.budget = Some(Budget::usd(Money::from_cents(75)));
        start.input = Payload::of(
            &json!({"id": "paper-9", "question": "When does the middle watch end?", "api_token": "s3cret"}),
        )
        .unwrap();
    });
    tale.step(world.prepare, 900);
    tale.after(60);
    let op = tale.ask_with(world.call, |attempt| attempt.target = Some("openai:gpt-4o".into()));
    let busy = |seconds| {
        let says =
            format!("Rate limit reached for gpt-4o on tokens per min. Please try again in {seconds}s.");
        Failure::new(Class::RateLimited, says).status(429).retry_after(Duration::from_secs(seconds))
    };
    tale.after(420);
    let op = tale.fail_and_wait(world.call, op, 1, busy(21), 300, 21_400);
    let op = tale.fail_and_wait(world.call, op, 2, busy(60), 310, 61_900);
    let op = tale.fail_and_wait(
        world.call,
        op,
        3,
        Failure::new(Class::Stalled, "no chunk for 5s: the stream went silent").ambiguous(),
        6_200,
        8_100,
    );
    let charge = world.charge(3);
    tale.push(EventKind::Heartbeat {
        op,
        progress: Payload::of(&json!({"chunks": 41})).unwrap(),
        charges: vec![charge.clone()],
    });
    tale.after(3_400).ok(op, vec![charge]);
    for n in 0..3 {
        let op = tale.ask_with("search", |attempt| {
            attempt.input = Some(Payload::of(&format!("middle watch {n}")).unwrap())
        });
        tale.after(700 + 300 * n);
        tale.ok(op, Vec::new());
    }
    let (op, _) = tale.child("fact_check");
    tale.after(5_200);
    tale.push(EventKind::ChildEnded {
        op,
        result: Ended::Ok(Payload::of(&json!({"facts": 12, "wrong": 0})).unwrap()),
    });
    tale.calls(2);
    let op = tale.ask_with(world.effect.0, |attempt| attempt.target = Some("press".into()));
    tale.fail_and_wait(
        world.effect.0,
        op,
        1,
        Failure::new(Class::Connection, "connection reset by peer").ambiguous(),
        900,
        2_000,
    );
    placed(&tale.events, 990_001, tale.at, now, |start| {
        start.workflow = "briefing".to_owned();
        start.workflow_id = WorkflowId::new("paper-9").unwrap();
    })
}

/// A run of about so many events; one attempt in ten failed.
pub(crate) fn big(path: &Path, events: usize) -> String {
    let world = World::of(1);
    let mut tale = Tale::begin(world, 5);
    let mut n = 0u64;
    while tale.events.len() < events {
        n += 1;
        let step = ["fetch", world.prepare, world.call, "score", "store"][n as usize % 5];
        let op = tale.ask(step);
        if n.is_multiple_of(10) {
            let failure = Failure::new(
                [Class::RateLimited, Class::Timeout, Class::Server][n as usize % 3],
                format!("trouble {n}"),
            );
            let again = tale.fail_and_wait(step, op, 1, failure, 80, 400);
            tale.after(90).ok(again, Vec::new());
        } else {
            let charges = if step == world.call { vec![world.charge(n)] } else { Vec::new() };
            tale.after(40 + n % 70).ok(op, charges);
        }
    }
    let events = placed(&tale.events, events as u64, tale.at, now(), |start| {
        start.workflow_id = WorkflowId::new(format!("big-{events}")).unwrap();
    });
    let run = run_of(&events).to_string();
    write(path, vec![events]);
    run
}

/// Text that wants to be more than text.
const HOSTILE: [&str; 14] = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "\"><svg onload=window.pwned=1>",
    "' onmouseover='window.pwned=1",
    "javascript:window.pwned=1",
    "</title><script>window.pwned=1</script>",
    "</textarea><script>window.pwned=1</script>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "<a href=\"javascript:window.pwned=1\">x</a>",
    "<!--><script>window.pwned=1</script>-->",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "\u{202e}gnp.exe <b>turned</b>",
    "<form action=https://evil.example><button>x",
];

/// Runs with such text in every place where others write: ids, names, messages, payloads, reasons.
pub(crate) fn hostile(path: &Path) -> Vec<String> {
    let now = now();
    let mut runs = Vec::new();
    for (n, text) in HOSTILE.iter().enumerate() {
        let (n, text) = (n as u64, (*text).to_owned());
        let mut tale = Tale::begin_with(World::of(n), n, |start| {
            start.workflow.clone_from(&text);
            start.tenant = Some(text.clone());
            start.worker.clone_from(&text);
            start.input = Payload::of(&json!({ text.clone(): text })).unwrap();
        });
        let op = tale.ask_with(&text, |attempt| {
            attempt.target = Some(text.clone().into());
            attempt.queue = Some(text.clone().into());
            attempt.input = Some(Payload::of(&text).unwrap());
        });
        tale.push(EventKind::Heartbeat { op, progress: Payload::of(&text).unwrap(), charges: Vec::new() });
        let op = tale.fail_and_wait(
            &text,
            op,
            1,
            Failure::new(Class::Server, text.clone()).source(std::io::Error::other(text.clone())),
            50,
            100,
        );
        tale.after(10).ok(op, Vec::new());
        tale.push(EventKind::Paused { reason: text.clone(), by: text.clone() });
        tale.push(EventKind::Resumed { by: text.clone() });
        tale.push(EventKind::SignalReceived {
            name: text.clone(),
            payload: Payload::of(&text).unwrap(),
            id: None,
        });
        let op = tale.op();
        tale.push(EventKind::Noted { op, note: midwatch_workflow::event::Note::Status(text.clone()) });
        match n % 3 {
            0 => tale.park(&text, ParkReason::CompensationFailed, &text),
            1 => drop(tale.await_signal(&text)),
            _ => tale.end_failed(Failure::new(Class::Bug, text.clone()), 0),
        }
        let id: String = text.chars().filter(|char| !char.is_control()).collect();
        let events = placed(&tale.events, 500 + n, tale.at, now, |start| {
            start.workflow_id = WorkflowId::new(id).unwrap();
            start.workflow.clone_from(&text);
        });
        runs.push(events);
    }
    let ids = runs.iter().map(|events| run_of(events).to_string()).collect();
    write(path, runs);
    ids
}
