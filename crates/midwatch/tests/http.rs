//! HTTP from within steps, against a payment API and model providers that misbehave.
#![allow(clippy::unwrap_used)]

mod attempt;

use std::time::Duration;

use attempt::{KEY, attempt};
use midwatch::http::HttpRequest;
use midwatch::{Certainty, Class, Failure, Money, Provider, RetryPolicy, StepContext, StepHttp, retry};
use midwatch_simulator::{Cue, Endpoint, Fault, RetryAfter, Simulator};
use serde_json::{Value, json};

async fn simulator(cues: impl IntoIterator<Item = Cue>) -> Simulator {
    Simulator::builder().script(cues).start().await.unwrap()
}

fn charge(cx: &StepContext, simulator: &Simulator) -> HttpRequest {
    let body = [("amount", "500"), ("currency", "usd"), ("metadata[order_id]", "42")];
    cx.http().post(format!("{}/v1/charges", simulator.payments_url())).form(&body)
}

fn ask(cx: &StepContext, simulator: &Simulator) -> HttpRequest {
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]});
    cx.http()
        .post(format!("{}/chat/completions", simulator.openai_url()))
        .provider(Provider::OpenAi)
        .json(&body)
}

#[tokio::test]
async fn a_request_carries_key_and_traceparent_and_its_answer_is_read_in_few_words() {
    let simulator = simulator([]).await;
    let (cx, _) = attempt(Some("stripe"));
    let charge: Value = charge(&cx, &simulator).send().await.unwrap().json().await.unwrap();
    assert_eq!(charge["amount"], 500);
    let entry = &simulator.ledger().entries()[0];
    assert_eq!(entry.key.as_deref(), Some(KEY));
    assert_eq!(entry.traceparent.as_deref(), Some(cx.traceparent().as_str()));
    simulator.stop().await;
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_is_done_once_by_the_next_attempt() {
    let simulator = simulator([Cue::on(Endpoint::Charges).fault(Fault::ResetAfter)]).await;
    let (cx, _) = attempt(Some("stripe"));
    let lost = charge(&cx, &simulator).send().await.expect_err("the answer is lost");
    assert_eq!((lost.class, lost.ambiguous), (Class::Connection, true));
    let again = charge(&cx, &simulator).send().await.unwrap();
    assert!(again.is_replayed());
    let books = simulator.ledger().summary();
    assert_eq!((books.effects, books.effects_done_twice), (1, 0));
    simulator.stop().await;
}

#[tokio::test]
async fn a_server_error_that_is_replayed_for_the_key_is_told_from_a_fresh_one() {
    let simulator = simulator([Cue::on(Endpoint::Charges).fault(Fault::ServerError)]).await;
    let (cx, _) = attempt(Some("stripe"));
    let first = charge(&cx, &simulator).send().await.expect_err("fails");
    let second = charge(&cx, &simulator).send().await.expect_err("is replayed");
    assert_eq!((first.class, second.class), (Class::Server, Class::ReplayedFailure));
    assert!(first.ambiguous && second.ambiguous);
    simulator.stop().await;
}

#[tokio::test]
async fn two_requests_of_one_step_get_different_keys_where_they_say_so() {
    let simulator = simulator([]).await;
    let (cx, _) = attempt(None);
    charge(&cx, &simulator).key_part("deposit").send().await.unwrap();
    charge(&cx, &simulator).key_part("x".repeat(300)).send().await.unwrap();
    let keys: Vec<_> = simulator.ledger().entries().into_iter().filter_map(|entry| entry.key).collect();
    assert_eq!(keys[0], format!("{KEY}/deposit"));
    assert!(keys[1].len() <= 255 && keys[1].starts_with(KEY));
    simulator.stop().await;
}

#[tokio::test]
async fn every_fault_comes_back_as_its_class() {
    for (fault, class, ambiguous) in [
        (Fault::RateLimited { retry_after: RetryAfter::Untold }, Class::RateLimited, false),
        (Fault::QuotaExhausted, Class::QuotaExhausted, false),
        (Fault::Overloaded, Class::Overloaded, false),
        (Fault::Unavailable { retry_after: RetryAfter::Untold }, Class::Overloaded, false),
        (Fault::ServerError, Class::Server, true),
        (Fault::ContextOverflow, Class::ContextOverflow, false),
        (Fault::ContentFiltered, Class::ContentFiltered, false),
        (Fault::InvalidRequest, Class::InvalidRequest, false),
        (Fault::Unauthorized, Class::Authentication, false),
        (Fault::Forbidden, Class::Permission, false),
        (Fault::Reset, Class::Connection, true),
    ] {
        let simulator = simulator([Cue::anywhere().fault(fault)]).await;
        let (cx, _) = attempt(None);
        let failure = ask(&cx, &simulator).send().await.expect_err("fails");
        assert_eq!((failure.class, failure.ambiguous), (class, ambiguous), "{fault:?}: {failure}");
        simulator.stop().await;
    }
}

#[tokio::test]
async fn every_form_of_retry_after_arrives() {
    for (told, at_least, at_most) in [
        (RetryAfter::Seconds(2.0), 2_000, 2_000),
        (RetryAfter::Seconds(0.25), 250, 250),
        (RetryAfter::Millis(1500), 1_500, 1_500),
        (RetryAfter::HttpDate(30), 28_000, 31_000),
        (RetryAfter::ResetHeader(1500), 1_500, 1_500),
    ] {
        let simulator = simulator([Cue::anywhere().fault(Fault::RateLimited { retry_after: told })]).await;
        let (cx, _) = attempt(None);
        let failure = ask(&cx, &simulator).send().await.expect_err("is rate limited");
        let wait = failure.retry_after.expect("says how long").as_millis();
        assert!((at_least..=at_most).contains(&wait), "{told:?}: {wait} ms");
        simulator.stop().await;
    }
}

#[tokio::test]
async fn what_an_error_says_it_used_is_booked() {
    let simulator = simulator([Cue::anywhere().fault(Fault::ServerErrorAfter)]).await;
    let (cx, reported) = attempt(None);
    let failure = ask(&cx, &simulator).send().await.expect_err("fails");
    assert!(failure.charges.is_empty(), "booked once only");
    let (charge, billed) = (reported.charge(), simulator.ledger().summary().billed);
    assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output));
    assert_eq!(charge.certainty, Certainty::Exact);
    simulator.stop().await;
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_leaves_no_doubt() {
    let simulator = simulator([]).await;
    let url = simulator.base_url();
    simulator.stop().await;
    let (cx, _) = attempt(None);
    let failure = cx.http().get(&url).query(&[("api_key", "s3cret")]).send().await.expect_err("is refused");
    assert_eq!((failure.class, failure.ambiguous), (Class::Connection, false));
    assert!(!failure.to_string().contains("s3cret"), "{failure}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_ambiguous_and_a_url_that_is_none_is_not() {
    let simulator = simulator([Cue::anywhere().fault(Fault::HangAfter { ms: 60_000 })]).await;
    let (cx, _) = attempt(None);
    let hung =
        charge(&cx, &simulator).timeout(Duration::from_millis(50)).send().await.expect_err("times out");
    assert_eq!((hung.class, hung.ambiguous), (Class::Timeout, true));
    let wrong = cx.http().get("no url").send().await.expect_err("is no URL");
    assert_eq!((wrong.class, wrong.ambiguous), (Class::InvalidRequest, false));
    simulator.stop().await;
}

#[tokio::test]
async fn an_answer_of_other_types_is_a_bug_and_a_broken_one_is_not() {
    let simulator = simulator([]).await;
    let (cx, _) = attempt(None);
    let typed =
        charge(&cx, &simulator).send().await.unwrap().json::<Vec<u8>>().await.expect_err("is an object");
    assert_eq!((typed.class, typed.ambiguous), (Class::Bug, true));
    simulator.script([Cue::anywhere().fault(Fault::CutStream { after_tokens: 1 })]);
    let response = ask(&cx, &simulator).send().await.unwrap();
    let cut = response.json::<Value>().await.expect_err("is cut");
    assert_eq!((cut.class, cut.ambiguous), (Class::Connection, true));
    simulator.stop().await;
}

#[tokio::test]
async fn twice_rate_limited_and_then_fine_succeeds_on_the_third_request() {
    let limited = Fault::RateLimited { retry_after: RetryAfter::Untold };
    let simulator = simulator([Cue::anywhere().fault(limited).times(2)]).await;
    let (cx, _) = attempt(None);
    let simulator_ = &simulator;
    let answer: Value = retry(RetryPolicy::default())
        .clock(midwatch::retry::VirtualClock::default())
        .run(|_| {
            let cx = cx.clone();
            async move { ask(&cx, simulator_).send().await?.json().await }
        })
        .await
        .unwrap();
    assert!(answer["usage"]["completion_tokens"].is_u64());
    assert_eq!(simulator.ledger().summary().requests, 3);
    simulator.stop().await;
}

#[tokio::test]
async fn a_budget_of_a_tenth_of_a_cent_stops_retries_that_cost() {
    let simulator = simulator([Cue::anywhere().fault(Fault::ServerErrorAfter).always()]).await;
    let (cx, reported) = attempt(None);
    let meter = midwatch::retry::Meter::new();
    let (simulator_, reported) = (&simulator, &reported);
    let exhausted = retry(RetryPolicy::default().attempts(1000))
        .clock(midwatch::retry::VirtualClock::default())
        .budget(&meter, Money::from_picos(1_000_000_000))
        .run(|attempt| {
            let cx = cx.clone();
            async move {
                let booked = reported.charges().len();
                let result = ask(&cx, simulator_).send().await;
                reported.charges()[booked..].iter().for_each(|charge| attempt.charge(charge.clone()));
                result?.json::<Value>().await
            }
        })
        .await
        .expect_err("the budget stops it");
    assert_eq!(exhausted.stopped_by, midwatch::retry::StoppedBy::Budget);
    assert!(
        exhausted.spent.cost >= Money::from_picos(1_000_000_000) && exhausted.attempts < 100,
        "{exhausted}"
    );
    assert_eq!(Failure::from(exhausted).class, Class::Budget);
    simulator.stop().await;
}
