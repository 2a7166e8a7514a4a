//! A trip as a saga: flight, hotel, car, and then the payment. If a part fails, what was booked before it is cancelled.
//!
//! `cargo run --example booking` plays the agencies in this process; set `AGENCY_URL` for others.

#![allow(missing_docs, clippy::print_stdout)]

use std::env;
use std::sync::OnceLock;

use midwatch::{Context, EmbeddedBuilder, Failure, Midwatch, StepContext, StepHttp, step, workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where somebody wants to go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trip {
    pub id: String,
    pub to: String,
    pub cents: u64,
    pub card: String,
}

/// All that was booked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Itinerary {
    pub flight: String,
    pub hotel: String,
    pub car: String,
    pub payment: String,
}

/// A booking or payment that an agency made: all we keep of it is its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    pub id: String,
}

#[step(timeout = "10s", target = "airline")]
pub async fn book_flight(cx: StepContext, trip: Trip) -> Result<Made, Failure> {
    agency(&cx, "effects/book_flight", &json!({"reference": trip.id, "to": trip.to})).await
}

#[step(timeout = "10s", target = "airline")]
pub async fn cancel_flight(cx: StepContext, flight: Made) -> Result<Made, Failure> {
    agency(&cx, "effects/cancel_flight", &json!({"undoes": flight.id})).await
}

#[step(timeout = "10s", target = "hotel")]
pub async fn book_hotel(cx: StepContext, trip: Trip) -> Result<Made, Failure> {
    agency(&cx, "effects/book_hotel", &json!({"reference": trip.id, "in": trip.to})).await
}

#[step(timeout = "10s", target = "hotel")]
pub async fn cancel_hotel(cx: StepContext, hotel: Made) -> Result<Made, Failure> {
    agency(&cx, "effects/cancel_hotel", &json!({"undoes": hotel.id})).await
}

#[step(timeout = "10s", attempts = 3, target = "car")]
pub async fn book_car(cx: StepContext, trip: Trip) -> Result<Made, Failure> {
    agency(&cx, "effects/book_car", &json!({"reference": trip.id, "in": trip.to})).await
}

/// Cancels by the key under which the car was, or may have been, booked. It must bear that there is nothing to cancel,
/// and whoever takes it must let no booking under that key come after it.
#[step(timeout = "10s", target = "car")]
pub async fn cancel_car_by_key(cx: StepContext, key: String) -> Result<Made, Failure> {
    agency(&cx, "effects/cancel_car", &json!({"undoes_key": key})).await
}

#[step(timeout = "10s", target = "stripe")]
pub async fn pay(cx: StepContext, trip: Trip) -> Result<Made, Failure> {
    let body = json!({
        "amount": trip.cents, "currency": "usd", "source": trip.card, "metadata": {"reference": trip.id},
    });
    agency(&cx, "charges", &body).await
}

/// The step's idempotency key goes with every request, so no attempt books twice.
async fn agency(cx: &StepContext, what: &str, body: &Value) -> Result<Made, Failure> {
    cx.http().post(format!("{}/v1/{what}", agency_url())).json(body).send().await?.json().await
}

/// Flight and hotel say what was booked, so they are cancelled by what they said. The car agency may take a booking and
/// never answer: its compensation is registered *before* the first attempt and goes by the key.
#[workflow(timeout = "1h")]
pub async fn booking(cx: Context, trip: Trip) -> Result<Itinerary, Failure> {
    cx.set_status(format!("booking a trip to {}", trip.to));
    let flight = cx.step(book_flight, &trip).compensate(cancel_flight, |flight| flight).await?;
    let hotel = cx.step(book_hotel, &trip).compensate(cancel_hotel, |hotel| hotel).await?;
    let car = cx.step(book_car, &trip).compensate_uncertain(cancel_car_by_key, str::to_owned).await?;
    cx.set_status("paying");
    let payment = cx.step(pay, &trip).await?;
    Ok(Itinerary { flight: flight.id, hotel: hotel.id, car: car.id, payment: payment.id })
}

/// Everything that the engine may have to call, compensations too.
pub fn register(builder: EmbeddedBuilder) -> EmbeddedBuilder {
    builder
        .workflow(booking)
        .step(book_flight)
        .step(cancel_flight)
        .step(book_hotel)
        .step(cancel_hotel)
        .step(book_car)
        .step(cancel_car_by_key)
        .step(pay)
}

/// Where the agencies are.
pub static AGENCY: OnceLock<String> = OnceLock::new();

fn agency_url() -> &'static str {
    AGENCY.get_or_init(|| env::var("AGENCY_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Without agencies of your own, they are played here.
    let simulator = midwatch_simulator::Simulator::builder().start().await?;
    if env::var_os("AGENCY_URL").is_none() {
        let _ = AGENCY.set(simulator.payments_url());
    }

    let path = env::var("MIDWATCH_DB").unwrap_or_else(|_| "midwatch.db".to_owned());
    let midwatch = register(Midwatch::embedded(path)).open().await?;
    let trip = Trip {
        id: "trip-7".to_owned(),
        to: "Lisbon".to_owned(),
        cents: 74_000,
        // `tok_chargeDeclined` shows what happens when the last part fails.
        card: env::var("CARD").unwrap_or_else(|_| "tok_visa".to_owned()),
    };
    let run = midwatch.start(booking, trip).id("trip-7").await?;
    match run.result().await {
        Ok(itinerary) => println!("run {}: {itinerary:?}", run.id()),
        // Says how many steps were undone.
        Err(error) => println!("{error}"),
    }
    midwatch.shut_down().await;
    simulator.stop().await;
    Ok(())
}
