//! The booking example on each of the three engines, against real servers: the same output, and the same journals up to
//! what must differ. Without a server's program its engine is left out, and that is said.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use midwatch::{
    Budget, Builder, Charge, Class, Context, Failure, Message, Midwatch, Money, OnReached, RunError,
    StepContext,
};
use midwatch_engine_conformance::check_laws;
use midwatch_engine_conformance::server::{RestateServer, TemporalServer, free_ports};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use midwatch_simulator::Simulator;
use serde_json::Value;

mod gateway;

#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
#[path = "../../../../examples/booking.rs"]
mod booking;

fn trip(id: &str, card: &str) -> booking::Trip {
    booking::Trip { id: id.to_owned(), to: "Lisbon".to_owned(), cents: 74_000, card: card.to_owned() }
}

/// What came of the trips on one engine.
#[derive(Debug, PartialEq)]
struct Told {
    outputs: Vec<String>,
    journals: Vec<Vec<Value>>,
    effects: Vec<(String, bool)>,
}

/// Books a trip, and one whose payment is declined.
async fn travel(midwatch: Midwatch, file: &Path, simulator: &Simulator) -> Told {
    let mut outputs = Vec::new();
    for (id, card) in [("trip-1", "tok_visa"), ("trip-2", "tok_chargeDeclined")] {
        let run = midwatch.start(booking::booking, trip(id, card)).id(id).await.unwrap();
        assert!(run.is_new());
        let again = midwatch.start(booking::booking, trip(id, card)).id(id).await.unwrap();
        assert_eq!((again.id(), again.is_new()), (run.id(), false), "a workflow id starts once");
        let told = match run.result().await {
            Ok(itinerary) => format!("{itinerary:?}"),
            Err(RunError::Failed { failure, compensated, .. }) => format!("{failure}; {compensated} undone"),
            Err(other) => panic!("{other}"),
        };
        // Ids of effects count up, over all engines that one simulator serves.
        outputs.push(without_ids(&told));
    }
    midwatch.shut_down().await;
    let effects = simulator.ledger().effects().into_iter().map(|effect| (effect.kind, effect.undoing));
    Told { outputs, journals: journals(file), effects: effects.collect() }
}

/// All journals of the file, oldest run first, without what must differ: times, ids of runs and effects, who worked.
fn journals(file: &Path) -> Vec<Vec<Value>> {
    let journal = SqliteJournal::open_reader(file).unwrap();
    let mut runs = journal.runs(&RunQuery::default()).unwrap();
    runs.sort_by_key(|run| run.workflow_id.to_string());
    let events = runs.iter().map(|run| {
        let events = journal.events(run.run, 0).unwrap();
        check_laws(&events).unwrap();
        let text = serde_json::to_string(&events).unwrap().replace(&run.run.to_string(), "RUN");
        let mut events: Vec<Value> = serde_json::from_str(&without_ids(&text)).unwrap();
        events.iter_mut().for_each(without_times);
        events
    });
    events.collect()
}

fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["at", "worker"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(without_times);
        }
        Value::Array(values) => values.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Ids of effects such as `fx_12` or `ch_3f`, as what they are ids of.
fn without_ids(text: &str) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some(at) = ["ch_", "re_", "fx_"].iter().filter_map(|prefix| rest.find(prefix)).min() {
        let (before, id) = rest.split_at(at + 3);
        told.push_str(before);
        rest = id.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric());
    }
    told + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_booking_example_gives_the_same_output_and_the_same_journal_on_every_engine() {
    let folder = tempfile::tempdir().unwrap();
    let file = |engine: &str| folder.path().join(format!("{engine}.db"));
    let simulator = Simulator::builder().start().await.unwrap();
    assert!(booking::AGENCY.set(simulator.payments_url()).is_ok());

    let embedded = booking::register(Midwatch::embedded(file("embedded"))).open().await.unwrap();
    let expected = travel(embedded, &file("embedded"), &simulator).await;
    assert_eq!(expected.journals.len(), 2);
    assert!(expected.outputs[1].ends_with("3 undone"), "{:?}", expected.outputs);

    let mut done = expected.effects.len();
    let mut compare = |engine: &str, told: Told| {
        assert_eq!(told.outputs, expected.outputs, "{engine}");
        for (journal, expected) in told.journals.iter().zip(&expected.journals) {
            let show =
                |events: &[Value]| -> String { events.iter().map(|event| format!("{event}\n")).collect() };
            assert_eq!(show(journal), show(expected), "{engine}");
        }
        assert_eq!(told.journals.len(), expected.journals.len(), "{engine}");
        assert_eq!(told.effects[done..], expected.effects, "{engine}");
        done = told.effects.len();
    };
    if let Some(server) = TemporalServer::start(&[]) {
        let temporal = booking::register(Midwatch::temporal(file("temporal")).server(server.url()));
        let temporal = temporal.open().await.unwrap();
        compare("temporal", travel(temporal, &file("temporal"), &simulator).await);
    }
    if let Some(server) = RestateServer::start() {
        let restate = Midwatch::restate(file("restate")).ingress(server.ingress()).admin(server.admin());
        let restate = booking::register(restate).open().await.unwrap();
        compare("restate", travel(restate, &file("restate"), &simulator).await);
    }
    simulator.stop().await;
}

/// What the command line does: it leaves a message in the journal file, and the process that owns it passes it on.
async fn is_reached_from_outside(midwatch: Midwatch, file: &Path) {
    let run = midwatch.start(waiting, ()).id("order-1").await.unwrap();
    let other = loop {
        // The journal has the run once its first task is done.
        match SqliteJournal::open_reader(file).unwrap().run(run.id()).unwrap() {
            Some(_) => break SqliteJournal::open_reader(file).unwrap(),
            None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let cancel = Message::Cancel { reason: "by hand".to_owned(), by: "ann".to_owned() };
    other.post(run.id(), &cancel, midwatch::Timestamp::from_micros(1)).unwrap();
    match run.result().await {
        Err(RunError::Failed { failure, .. }) => assert_eq!(failure.class, Class::Cancelled),
        other => panic!("{other:?}"),
    }
    midwatch.shut_down().await;
}

#[midwatch::workflow]
async fn waiting(cx: Context, _: ()) -> Result<bool, Failure> {
    cx.signal("approve").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_left_in_the_journal_reaches_a_run_on_a_server() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(server) = TemporalServer::start(&[]) {
        let file = folder.path().join("temporal.db");
        let builder = Midwatch::temporal(&file).server(server.url()).workflow(waiting);
        is_reached_from_outside(builder.open().await.unwrap(), &file).await;
    }
    if let Some(server) = RestateServer::start() {
        let file = folder.path().join("restate.db");
        let [port] = free_ports();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let builder = Midwatch::restate(&file).ingress(server.ingress()).admin(server.admin());
        is_reached_from_outside(builder.listen(listen).workflow(waiting).open().await.unwrap(), &file).await;
    }
}

/// A call of 60 cents to a target that has a gate.
#[midwatch::step(target = "model", attempts = 1)]
async fn call(cx: StepContext, _: ()) -> Result<(), Failure> {
    let cents =
        || Charge { target: "model".to_owned(), cost: Some(Money::from_cents(60)), ..Charge::default() };
    cx.reserve(cents()).await?.settle(cents());
    Ok(())
}

#[midwatch::workflow]
async fn asks(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(call, &()).await
}

/// A dollar pays for one call of 60 cents, and not for two, whichever run makes them.
fn shares_a_dollar<K>(builder: Builder<K>) -> Builder<K> {
    let dollar =
        Budget { usd: Some(Money::from_cents(100)), on_reached: OnReached::Fail, ..Budget::default() };
    builder.tenant_budget("ann", dollar).workflow(asks).step(call)
}

async fn spends_no_more_than_a_dollar(midwatch: Midwatch) {
    let ask = |id: &str| midwatch.start(asks, ()).id(id).tenant("ann");
    ask("first").await.unwrap().result().await.unwrap();
    match ask("second").await.unwrap().result().await {
        Err(RunError::Failed { failure, .. }) => assert_eq!(failure.class, Class::Budget, "{failure}"),
        other => panic!("{other:?}"),
    }
    let gates = midwatch.gates();
    assert_eq!(gates.len(), 1, "the target has a gate: {gates:?}");
    midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_stand_and_shared_budgets_hold_on_servers_too() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(server) = TemporalServer::start(&[]) {
        let builder = Midwatch::temporal(folder.path().join("temporal.db")).server(server.url());
        spends_no_more_than_a_dollar(shares_a_dollar(builder).open().await.unwrap()).await;
    }
    if let Some(server) = RestateServer::start() {
        let builder = Midwatch::restate(folder.path().join("restate.db"));
        let builder = builder.ingress(server.ingress()).admin(server.admin());
        spends_no_more_than_a_dollar(shares_a_dollar(builder).open().await.unwrap()).await;
    }
}
