//! A checkout: charge the card, reserve the stock, print the label. If a later part fails, the earlier ones are undone.
//!
//! `cargo run --example checkout` plays the payment API in this process. For a real one, or another fake, set
//! `STRIPE_URL`, `STRIPE_API_KEY` and `WAREHOUSE_URL`. Kill it anywhere and start it again: the card is charged once.

#![allow(missing_docs, clippy::print_stdout)]

use std::env;
use std::sync::OnceLock;

use midwatch::{Context, EmbeddedBuilder, Failure, Midwatch, StepContext, StepHttp, step, workflow};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a customer ordered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub sku: String,
    pub cents: u64,
    pub card: String,
    pub address: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub charge: String,
    pub reservation: String,
    pub label: String,
}

/// Anything that an API made: all we keep of it is its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    pub id: String,
}

/// `cx.http()` sends the step's idempotency key, the same on every attempt: whatever gets lost on the way, the card is
/// charged once. Whatever is no success comes back as a classified failure, which says whether to try again.
#[step(timeout = "10s", target = "stripe")]
pub async fn charge_card(cx: StepContext, order: Order) -> Result<Made, Failure> {
    let form = [
        ("amount", order.cents.to_string()),
        ("currency", "usd".to_owned()),
        ("source", order.card),
        ("metadata[order_id]", order.id),
    ];
    let charge = cx.http().post(format!("{}/v1/charges", apis().stripe));
    charge.bearer(&apis().stripe_key).form(&form).send().await?.json().await
}

#[step(timeout = "10s", target = "stripe")]
pub async fn refund(cx: StepContext, charge: Made) -> Result<Made, Failure> {
    let refund = cx.http().post(format!("{}/v1/refunds", apis().stripe));
    refund.bearer(&apis().stripe_key).form(&[("charge", charge.id)]).send().await?.json().await
}

#[step(timeout = "10s", target = "warehouse")]
pub async fn reserve_stock(cx: StepContext, order: Order) -> Result<Made, Failure> {
    let body = json!({"reference": order.id, "sku": order.sku});
    warehouse(&cx, "reserve_stock", &body).await
}

#[step(timeout = "10s", target = "warehouse")]
pub async fn release_stock(cx: StepContext, reservation: Made) -> Result<Made, Failure> {
    warehouse(&cx, "release_stock", &json!({"undoes": reservation.id})).await
}

#[step(timeout = "10s", target = "warehouse")]
pub async fn print_label(cx: StepContext, order: Order) -> Result<Made, Failure> {
    let body = json!({"reference": order.id, "address": order.address});
    warehouse(&cx, "print_label", &body).await
}

async fn warehouse(cx: &StepContext, what: &str, body: &serde_json::Value) -> Result<Made, Failure> {
    cx.http().post(format!("{}/v1/effects/{what}", apis().warehouse)).json(body).send().await?.json().await
}

/// Each step is tried again by its own policy. When one fails for good, the `compensate` steps of those before it run,
/// latest first, and the run ends as `compensated`.
#[workflow(timeout = "1h")]
pub async fn checkout(cx: Context, order: Order) -> Result<Receipt, Failure> {
    cx.set_status("charging");
    let charge = cx.step(charge_card, &order).compensate(refund, |charge| charge).await?;
    cx.set_status("packing");
    let reserved = cx.step(reserve_stock, &order).compensate(release_stock, |reserved| reserved).await?;
    let label = cx.step(print_label, &order).await?;
    cx.set_status("on its way");
    Ok(Receipt { charge: charge.id, reservation: reserved.id, label: label.id })
}

/// Engines call workflows and steps by name, so all of them are registered; compensations are steps too.
pub fn register(builder: EmbeddedBuilder) -> EmbeddedBuilder {
    builder
        .workflow(checkout)
        .step(charge_card)
        .step(refund)
        .step(reserve_stock)
        .step(release_stock)
        .step(print_label)
}

/// Where the APIs are. Not part of any input: a run that is resumed elsewhere must find them there.
pub struct Apis {
    pub stripe: String,
    pub stripe_key: String,
    pub warehouse: String,
}

pub static APIS: OnceLock<Apis> = OnceLock::new();

fn apis() -> &'static Apis {
    let or = |name: &str, otherwise: &str| env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    APIS.get_or_init(|| Apis {
        stripe: or("STRIPE_URL", "https://api.stripe.com"),
        stripe_key: or("STRIPE_API_KEY", "none"),
        warehouse: or("WAREHOUSE_URL", "http://127.0.0.1:8080"),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Without a payment API of your own, one is played here.
    let simulator = midwatch_simulator::Simulator::builder().start().await?;
    if env::var_os("STRIPE_URL").is_none() {
        let (stripe, warehouse) = (simulator.payments_url(), simulator.payments_url());
        let _ = APIS.set(Apis { stripe, stripe_key: "none".to_owned(), warehouse });
    }

    let path = env::var("MIDWATCH_DB").unwrap_or_else(|_| "midwatch.db".to_owned());
    let midwatch = register(Midwatch::embedded(path)).open().await?;
    let order = Order {
        id: "order-42".to_owned(),
        sku: "lamp-7".to_owned(),
        cents: 12_900,
        card: "tok_visa".to_owned(),
        address: "1 Harbour Street".to_owned(),
    };
    // The same id starts one run, however often this program is started.
    let run = midwatch.start(checkout, order).id("order-42").await?;
    println!("run {}: {:?}", run.id(), run.result().await?);
    midwatch.shut_down().await;
    simulator.stop().await;
    Ok(())
}
