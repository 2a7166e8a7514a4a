//! Charges, refunds, bookings, and their keys.

use std::time::Duration;

use midwatch_simulator::{Cue, Endpoint, Fault, Faults, Keys, Latency, Simulator};
use serde_json::json;

use crate::client::{Client, SETTLE, got, plain};

fn charge() -> serde_json::Value {
    json!({"amount": 1200, "currency": "usd", "metadata": {"order_id": "order-1", "run": "run-1"}})
}

#[tokio::test]
async fn a_repeated_key_gets_the_stored_answer_and_no_second_charge() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let send = || got(client.post("/v1/charges", &charge()).header("idempotency-key", "w:r:charge"));
    let (first, second) = (send().await, send().await);
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    assert_eq!((second.status, second.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("original-request"), first.header("request-id"));
    let books = simulator.ledger().summary();
    assert_eq!((books.effects, books.replayed, books.effects_done_twice), (1, 1, 0));
    simulator.stop().await;
}

#[tokio::test]
async fn a_500_is_replayed_for_its_key_and_never_charges() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.script([Cue::on(Endpoint::Charges).fault(Fault::ServerError)]);
    let send = |key: &'static str| got(client.post("/v1/charges", &charge()).header("idempotency-key", key));
    assert_eq!(send("k1").await.status, 500);
    let again = send("k1").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (500, Some("true")));
    assert_eq!(simulator.ledger().summary().effects, 0);
    assert_eq!(send("k2").await.status, 200);
    simulator.stop().await;
}

#[tokio::test]
async fn an_error_at_the_front_leaves_the_key_unused() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator
        .script([Cue::on(Endpoint::Charges).fault(Fault::Unavailable { retry_after: Default::default() })]);
    let send = || got(client.post("/v1/charges", &charge()).header("idempotency-key", "k"));
    assert_eq!(send().await.status, 503);
    let second = send().await;
    assert_eq!((second.status, second.header("idempotent-replayed")), (200, None));
    simulator.stop().await;
}

#[tokio::test]
async fn a_changed_body_under_a_used_key_is_an_idempotency_error() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    got(client.post("/v1/charges", &charge()).header("idempotency-key", "k")).await;
    let mut other = charge();
    other["amount"] = json!(1);
    let refused = got(client.post("/v1/charges", &other).header("idempotency-key", "k")).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body["error"]["type"], "idempotency_error");
    simulator.stop().await;
}

#[tokio::test]
async fn a_key_whose_first_request_is_under_way_is_a_conflict() {
    let latency = Latency { min_ms: 300, max_ms: 300, token_ms: 0 };
    let simulator = Simulator::builder().latency(latency).start().await.unwrap();
    let client = Client::to(&simulator);
    let send = || got(client.post("/v1/charges", &charge()).header("idempotency-key", "k"));
    let (one, other) = tokio::join!(send(), send());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(simulator.ledger().summary().effects, 1);
    simulator.stop().await;
}

#[tokio::test]
async fn a_key_past_its_lifetime_charges_again_and_the_ledger_says_so() {
    let keys = Keys { honoured: true, lifetime_ms: 0 };
    let simulator = Simulator::builder().keys(keys).start().await.unwrap();
    let client = Client::to(&simulator);
    for _ in 0..2 {
        got(client.post("/v1/charges", &charge()).header("idempotency-key", "k")).await;
    }
    assert_eq!(simulator.ledger().summary().effects_done_twice, 1);
    simulator.stop().await;
}

#[tokio::test]
async fn a_receiver_that_ignores_keys_charges_twice_and_the_ledger_says_so() {
    let simulator =
        Simulator::builder().keys(Keys { honoured: false, ..Keys::default() }).start().await.unwrap();
    let client = Client::to(&simulator);
    for _ in 0..3 {
        got(client.post("/v1/charges", &charge()).header("idempotency-key", "k")).await;
    }
    assert_eq!(simulator.ledger().summary().effects_done_twice, 2);
    simulator.stop().await;
}

#[tokio::test]
async fn a_lost_response_is_an_effect_that_the_retry_finds() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    for fault in [Fault::ResetAfter, Fault::CutStream { after_tokens: 0 }] {
        simulator.script([Cue::on(Endpoint::Charges).fault(fault)]);
        let send = || client.post("/v1/charges", &charge()).header("idempotency-key", fault.name()).send();
        let lost = match send().await {
            Ok(response) => response.bytes().await.is_err(),
            Err(_) => true,
        };
        assert!(lost, "{}", fault.name());
        let found = send().await.unwrap();
        assert_eq!(found.headers()["idempotent-replayed"], "true");
    }
    assert_eq!(simulator.ledger().summary().effects, 2);
    simulator.stop().await;
}

#[tokio::test]
async fn a_reset_before_the_effect_leaves_nothing_done() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.script([Cue::anywhere().fault(Fault::Reset)]);
    assert!(client.post("/v1/charges", &charge()).send().await.is_err());
    let books = simulator.ledger().summary();
    assert_eq!((books.effects, books.by_status["none"]), (0, 1));
    simulator.stop().await;
}

#[tokio::test]
async fn forms_charge_and_refund_as_json_does() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let done =
        got(client.form("/v1/charges", "amount=900&currency=eur&source=tok_visa&metadata[order_id]=o%201"))
            .await;
    assert_eq!(done.body["metadata"]["order_id"], "o 1");
    let id = done.body["id"].as_str().unwrap().to_owned();
    let part = got(client.post("/v1/refunds", &json!({"charge": id, "amount": 400}))).await;
    assert_eq!((part.status, part.body["amount"].as_i64()), (200, Some(400)));
    let rest = got(client.post("/v1/refunds", &json!({"charge": id}))).await;
    assert_eq!(rest.body["amount"], 500);
    let more = got(client.post("/v1/refunds", &json!({"charge": id}))).await;
    assert_eq!(more.body["error"]["code"], "charge_already_refunded");
    let seen = got(client.get(&format!("/v1/charges/{id}"))).await.body;
    assert_eq!((seen["refunded"].as_bool(), seen["amount_refunded"].as_i64()), (Some(true), Some(900)));
    let refund = rest.body["id"].as_str().unwrap();
    assert_eq!(got(client.get(&format!("/v1/refunds/{refund}"))).await.body, rest.body);
    assert_eq!(got(client.get("/v1/charges/ch_none")).await.status, 404);
    assert!(simulator.ledger().standing().is_empty());
    simulator.stop().await;
}

#[tokio::test]
async fn a_declined_card_is_replayed_and_charges_nothing() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let body = json!({"amount": 1, "currency": "usd", "source": "tok_chargeDeclined"});
    for _ in 0..2 {
        let declined = got(client.post("/v1/charges", &body).header("idempotency-key", "k")).await;
        assert_eq!(declined.status, 402);
        assert_eq!(declined.body["error"]["code"], "card_declined");
    }
    assert_eq!(simulator.ledger().summary().effects, 0);
    simulator.stop().await;
}

#[tokio::test]
async fn bookings_that_were_not_cancelled_are_left_standing() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let book = |kind: &'static str| {
        let body = json!({"reference": "trip-1", "seats": 2});
        let request = client.post(&format!("/v1/effects/{kind}"), &body);
        got(request.header("idempotency-key", format!("trip:run-9:{kind}")).header("x-midwatch-run", "run-9"))
    };
    let flight = book("book_flight").await.body;
    book("reserve_hotel").await;
    assert_eq!(flight["run"], "run-9");
    got(client.post("/v1/effects/cancel_flight", &json!({"undoes": flight["id"]}))).await;
    let standing: Vec<_> = simulator.ledger().standing().into_iter().map(|effect| effect.kind).collect();
    assert_eq!(standing, ["reserve_hotel"]);
    let over_http = got(client.get("/_ledger/effects?run=run-9&standing=true")).await.body;
    assert_eq!(over_http[0]["kind"], "reserve_hotel");
    assert_eq!(over_http.as_array().unwrap().len(), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn a_booking_that_may_still_come_is_cancelled_by_its_key() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let cancel = |key: &str| got(client.post("/v1/effects/cancel_flight", &json!({"undoes_key": key})));
    let book = |key: &'static str| {
        got(client.post("/v1/effects/book_flight", &json!({})).header("idempotency-key", key))
    };
    book("came").await;
    assert!(cancel("came").await.body["undoes"].is_string());
    assert!(cancel("comes late").await.body["undoes"].is_null());
    let late = book("comes late").await;
    assert_eq!((late.status, late.body["error"]["code"].as_str()), (409, Some("cancelled")));
    assert!(simulator.ledger().standing().is_empty());
    simulator.stop().await;
}

#[tokio::test]
async fn an_effect_is_done_and_booked_although_its_client_left() {
    let latency = Latency { min_ms: 200, max_ms: 200, token_ms: 0 };
    let simulator = Simulator::builder().latency(latency).start().await.unwrap();
    let client = Client::to(&simulator);
    let gone = client.post("/v1/charges", &charge()).header("idempotency-key", "k");
    assert!(gone.timeout(Duration::from_millis(60)).send().await.is_err());
    assert!(simulator.ledger().settled(SETTLE).await);
    let entry = simulator.ledger().entries().remove(0);
    assert!(entry.client_gone && entry.effect.is_some());
    assert_eq!(simulator.ledger().summary().effects, 1);
    let retry = got(client.post("/v1/charges", &charge()).header("idempotency-key", "k")).await;
    assert_eq!(retry.header("idempotent-replayed"), Some("true"));
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_retry_under_one_key_charge_once_whatever_is_lost() {
    let faults = Faults {
        unavailable: 0.1,
        reset: 0.1,
        reset_after: 0.2,
        hang_after: 0.1,
        hang_ms: 10,
        in_a_row_max: 5,
        ..Faults::default()
    };
    let simulator = Simulator::builder().seed(5).faults_on_effects(faults).start().await.unwrap();
    let client = Client::to(&simulator);
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let request =
                client.post("/v1/charges", &charge_for(n)).header("idempotency-key", format!("k{n}"));
            tokio::spawn(async move {
                for attempt in 1..=6 {
                    match request.try_clone().unwrap().send().await {
                        Ok(response) if response.status() == 200 => return attempt,
                        _ => {}
                    }
                }
                panic!("charge {n} was never answered")
            })
        })
        .collect();
    let mut attempts = 0;
    for call in calls {
        attempts += call.await.unwrap();
    }
    let books = simulator.ledger().summary();
    assert_eq!((books.effects, books.effects_done_twice, books.requests), (200, 0, attempts));
    assert!(books.replayed > 0 && attempts > 250, "{attempts} attempts");
    simulator.stop().await;
}

fn charge_for(n: u32) -> serde_json::Value {
    json!({"amount": 100 + n, "currency": "usd", "reference": format!("order-{n}")})
}
