//! The three examples, once each: the very files of `examples/`, against the simulator, and the checkout also against an
//! independent Stripe fake.
#![cfg(feature = "http")]
// The checkout is there twice, since it knows one payment API at a time.
#![allow(clippy::duplicate_mod)]

mod fake_stripe;

use std::path::Path;

use fake_stripe::FakeStripe;
use midwatch::{
    Approval, Class, Context, EmbeddedBuilder, Failure, Message, Midwatch, ParkReason, Resolution, RunError,
    RunId, Step, StepContext, step, workflow,
};
use midwatch_journal::Journal;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_simulator::{Cue, Endpoint, Fault, Simulator};

#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/booking.rs"]
mod booking;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/checkout.rs"]
mod checkout;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/checkout.rs"]
mod checkout_on_fake;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/research.rs"]
mod research;

async fn open(folder: &Path, register: fn(EmbeddedBuilder) -> EmbeddedBuilder) -> Midwatch {
    register(Midwatch::embedded(folder.join("midwatch.db"))).open().await.expect("the journal is free")
}

fn order(id: &str) -> checkout::Order {
    checkout::Order {
        id: id.to_owned(),
        sku: "lamp-7".to_owned(),
        cents: 12_900,
        card: "tok_visa".to_owned(),
        address: "1 Harbour Street".to_owned(),
    }
}

/// Lets the label of orders to nowhere be refused.
fn no_labels_for_nowhere() -> Cue {
    Cue::on(Endpoint::Effects)
        .model("print_label")
        .containing("nowhere")
        .fault(Fault::InvalidRequest)
        .always()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checkout_example_charges_once_and_undoes_what_it_cannot_finish() {
    let simulator = Simulator::builder().script([no_labels_for_nowhere()]).start().await.unwrap();
    let url = simulator.payments_url();
    let apis = checkout::Apis { stripe: url.clone(), stripe_key: "none".to_owned(), warehouse: url };
    assert!(checkout::APIS.set(apis).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(folder.path(), checkout::register).await;

    let receipt = midwatch
        .start(checkout::checkout, order("order-1"))
        .id("order-1")
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    let again = midwatch.start(checkout::checkout, order("order-1")).id("order-1").await.unwrap();
    assert_eq!((again.is_new(), again.result().await.unwrap()), (false, receipt.clone()));
    let standing = simulator.ledger().standing();
    let mut kinds: Vec<_> = standing.iter().map(|effect| effect.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["charge", "print_label", "reserve_stock"]);
    assert!(standing.iter().any(|effect| effect.id == receipt.charge));

    let lost = checkout::Order { address: "nowhere".to_owned(), ..order("order-2") };
    match midwatch.start(checkout::checkout, lost).await.unwrap().result().await {
        Err(RunError::Failed { failure, compensated: 2, .. }) => {
            assert_eq!(failure.class, Class::InvalidRequest)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(simulator.ledger().standing().len(), 3, "charge and stock of the second order are undone");
    midwatch.shut_down().await;
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_booking_example_cancels_everything_when_the_payment_is_declined() {
    let simulator = Simulator::builder().start().await.unwrap();
    assert!(booking::AGENCY.set(simulator.payments_url()).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(folder.path(), booking::register).await;
    let trip = |id: &str, card: &str| booking::Trip {
        id: id.to_owned(),
        to: "Lisbon".to_owned(),
        cents: 74_000,
        card: card.to_owned(),
    };

    let booked =
        midwatch.start(booking::booking, trip("trip-1", "tok_visa")).await.unwrap().result().await.unwrap();
    assert!(booked.payment.starts_with("ch_"));
    assert_eq!(simulator.ledger().standing().len(), 4);

    let declined =
        midwatch.start(booking::booking, trip("trip-2", "tok_chargeDeclined")).await.unwrap().result().await;
    assert!(matches!(declined, Err(RunError::Failed { compensated: 3, resolved: 0, .. })), "{declined:?}");
    assert_eq!(simulator.ledger().standing().len(), 4);
    let undone =
        simulator.ledger().effects().into_iter().filter(|effect| effect.undoing).map(|effect| effect.kind);
    assert_eq!(undone.collect::<Vec<_>>(), ["cancel_car", "cancel_hotel", "cancel_flight"], "latest first");
    midwatch.shut_down().await;
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_research_example_publishes_what_was_approved_and_books_what_was_billed() {
    let simulator = Simulator::builder().start().await.unwrap();
    let apis = research::Apis { llm: Some(simulator.openai_url()), press: simulator.payments_url() };
    assert!(research::APIS.set(apis).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(folder.path(), research::register).await;
    let question = |id: &str| research::Question {
        id: id.to_owned(),
        text: "When does the middle watch end?".to_owned(),
        model: "openai:gpt-4o-mini".to_owned(),
    };
    let verdict = |approved| Approval { approved, by: "ann".to_owned(), note: String::new() };

    let run = midwatch.start(research::research, question("question-1")).await.unwrap();
    run.signal("publish", &verdict(true)).await.unwrap();
    let article = run.result().await.unwrap();
    let standing = simulator.ledger().standing();
    assert_eq!(
        standing.iter().map(|effect| Some(effect.id.clone())).collect::<Vec<_>>(),
        [article.published]
    );

    let summary = summary(folder.path(), run.id());
    let billed = simulator.ledger().summary().billed;
    assert_eq!(summary.spent.usage.tokens(), billed.input + billed.output);
    assert_eq!(summary.spent.cost, article.cost);

    let run = midwatch.start(research::research, question("question-2")).await.unwrap();
    run.signal("publish", &verdict(false)).await.unwrap();
    assert_eq!(run.result().await.unwrap().published, None);
    midwatch.shut_down().await;
    simulator.stop().await;
}

fn summary(folder: &Path, run: RunId) -> midwatch_journal::RunSummary {
    let journal = SqliteJournal::open_reader(folder.join("midwatch.db")).expect("the journal is there");
    journal.run(run).expect("the journal is readable").expect("the run is in the journal")
}

/// Charges, and loses the answer of the first attempt.
#[step]
async fn charge_and_lose(
    cx: StepContext,
    order: checkout_on_fake::Order,
) -> Result<checkout_on_fake::Made, Failure> {
    let made = checkout_on_fake::charge_card.run(cx.clone(), order).await?;
    if cx.attempt() == 1 {
        return Err(Failure::new(Class::Connection, "the answer got lost").ambiguous());
    }
    Ok(made)
}

#[workflow]
async fn charges_and_loses(cx: Context, order: checkout_on_fake::Order) -> Result<String, Failure> {
    Ok(cx.step(charge_and_lose, &order).await?.id)
}

fn order_on_fake(id: &str, card: &str, address: &str) -> checkout_on_fake::Order {
    checkout_on_fake::Order {
        id: id.to_owned(),
        sku: "lamp-7".to_owned(),
        cents: 12_900,
        card: card.to_owned(),
        address: address.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn against_an_independent_stripe_fake_the_checkout_charges_once_refunds_and_parks_on_a_replayed_error()
{
    let Some(stripe) = FakeStripe::start() else { return };
    let simulator = Simulator::builder().script([no_labels_for_nowhere()]).start().await.unwrap();
    let apis = checkout_on_fake::Apis {
        stripe: stripe.url().to_owned(),
        stripe_key: FakeStripe::KEY.to_owned(),
        warehouse: simulator.payments_url(),
    };
    assert!(checkout_on_fake::APIS.set(apis).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let builder = checkout_on_fake::register(Midwatch::embedded(folder.path().join("midwatch.db")));
    let midwatch = builder.workflow(charges_and_loses).step(charge_and_lose).open().await.unwrap();
    let checkout = |id: &str, card: &str, address: &str| {
        midwatch.start(checkout_on_fake::checkout, order_on_fake(id, card, address))
    };

    let receipt = checkout("order-1", "tok_visa", "1 Harbour Street").await.unwrap().result().await.unwrap();
    let charge = stripe.get(&format!("charges/{}", receipt.charge)).await;
    assert_eq!((charge["amount"].as_u64(), charge["refunded"].as_bool()), (Some(12_900), Some(false)));

    let undone = checkout("order-2", "tok_visa", "nowhere").await.unwrap().result().await;
    assert!(matches!(undone, Err(RunError::Failed { compensated: 2, .. })), "{undone:?}");
    assert_eq!(stripe.charges_of("order-2").await[0]["refunded"], true);

    let lost = midwatch.start(charges_and_loses, order_on_fake("order-3", "tok_visa", "")).await.unwrap();
    let charges = (lost.result().await.unwrap(), stripe.charges_of("order-3").await);
    assert_eq!(
        (charges.1.len(), charges.1[0]["id"].as_str()),
        (1, Some(charges.0.as_str())),
        "one charge for two attempts"
    );

    // Its first answer is a 500, which Stripe replays for the key whatever comes after.
    let stuck = checkout("order-4", "tok_500|tok_visa", "1 Harbour Street").await.unwrap();
    while summary(folder.path(), stuck.id()).parked != Some(ParkReason::ReplayedFailure) {
        tokio::task::yield_now().await;
    }
    let resolve = Message::Resolve { step: None, resolution: Resolution::Fail, by: "test".to_owned() };
    stuck.send(resolve).await.unwrap();
    match stuck.result().await {
        Err(RunError::Failed { failure, .. }) => assert_eq!(failure.class, Class::ReplayedFailure),
        other => panic!("{other:?}"),
    }
    midwatch.shut_down().await;
    simulator.stop().await;
}
