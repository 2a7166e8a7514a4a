//! A trip as a saga: flight, hotel, car, and then the payment. If a part fails, what was booked before it is cancelled.
//!
//! `cargo run --example booking` plays the agencies in this process; set `AGENCY_URL` for others. The same saga runs on
//! three engines, and [`open`] is all that differs:
//!
//! - `--engine embedded`, the default: in this process, on the journal file alone.
//! - `--engine temporal`, with `--features temporal`: on the server that `TEMPORAL_ADDRESS` names.
//! - `--engine restate`, with `--features restate`: on the server of `RESTATE_INGRESS_URL` and `RESTATE_ADMIN_URL`.
//!
//! With `--stdin` it is a worker: it starts a trip for every line that it reads, and says how each one ended. Started again
//! after a crash, it goes on with what it left; an id that it is given twice is the same trip.

#![allow(missing_docs, clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::sync::OnceLock;

use midwatch::{Builder, Context, Failure, Midwatch, RunHandle, StepContext, StepHttp, step, workflow};
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

/// Everything that an engine may have to call, compensations too; the same for every engine.
pub fn register<K>(builder: Builder<K>) -> Builder<K> {
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

/// The line that changes when the engine does. Each keeps, or mirrors, the same journal in the file.
async fn open(engine: &str, file: &str) -> Result<Midwatch, Box<dyn Error>> {
    match engine {
        "embedded" => Ok(register(Midwatch::embedded(file)).open().await?),
        #[cfg(feature = "temporal")]
        "temporal" => Ok(register(Midwatch::temporal(file)).open().await?),
        #[cfg(feature = "restate")]
        "restate" => {
            let ingress = variable("RESTATE_INGRESS_URL", "http://127.0.0.1:8080");
            let admin = variable("RESTATE_ADMIN_URL", "http://127.0.0.1:9070");
            // Restate comes back to this address for runs that began here, so it is the same after a restart.
            let listen = variable("LISTEN", "127.0.0.1:9080").parse()?;
            Ok(register(Midwatch::restate(file).ingress(ingress).admin(admin).listen(listen)).open().await?)
        }
        other => Err(format!("no engine `{other}` here; those on servers need `--features {other}`").into()),
    }
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn trip(id: &str) -> Trip {
    // A payment that is declined shows what happens when the last part fails.
    let is_declined = id.ends_with("declined");
    let card = if is_declined { "tok_chargeDeclined".to_owned() } else { variable("CARD", "tok_visa") };
    Trip { id: id.to_owned(), to: "Lisbon".to_owned(), cents: 74_000, card }
}

/// Says how a trip ended: with what was booked, or with how many steps were undone.
async fn report(id: &str, run: RunHandle<Itinerary>) {
    match run.result().await {
        Ok(itinerary) => println!("{id}: {itinerary:?}"),
        Err(error) => println!("{id}: {error}"),
    }
}

/// Starts a trip for every line of the standard input, until it ends.
async fn work(midwatch: &Midwatch) -> Result<(), Box<dyn Error>> {
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let mut trips = tokio::task::JoinSet::new();
    while let Some(id) = lines.recv().await {
        let run = midwatch.start(booking, trip(&id)).id(id.as_str()).await?;
        trips.spawn(async move { report(&id, run).await });
    }
    trips.join_all().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Without agencies of your own, they are played here.
    let simulator = midwatch_simulator::Simulator::builder().start().await?;
    if env::var_os("AGENCY_URL").is_none() {
        let _ = AGENCY.set(simulator.payments_url());
    }

    let arguments: Vec<String> = env::args().skip(1).collect();
    let named = arguments.iter().position(|argument| argument == "--engine");
    let engine = named.and_then(|at| arguments.get(at + 1)).map_or("embedded", String::as_str);
    let midwatch = open(engine, &variable("MIDWATCH_DB", "midwatch.db")).await?;
    if arguments.iter().any(|argument| argument == "--stdin") {
        work(&midwatch).await?;
    } else {
        let run = midwatch.start(booking, trip("trip-7")).id("trip-7").await?;
        report("trip-7", run).await;
    }
    midwatch.shut_down().await;
    simulator.stop().await;
    Ok(())
}
