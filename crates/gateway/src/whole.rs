//! An answer in one piece: read to its end, understood, booked.

use std::sync::Arc;

use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use midwatch_providers::{Answer as Said, classify, failed_answer};
use midwatch_workflow::{Class, Failure, Payload};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::answer::{self, add};
use crate::bill::{Bill, Cost};
use crate::bodies;
use crate::call::{Arrived, Call, Late, Outcome, Tally, broken, cut_off, within};
use crate::wire::{Wire, aside};

/// Reads an answer in one piece and books it.
pub(crate) async fn whole(
    wire: &Arc<Wire>,
    call: &Call,
    mut bill: Bill,
    (parts, body): Arrived,
    deadline: Instant,
    tally: &mut Tally,
) -> Outcome {
    let limited = Limited::new(body, wire.config.limits.answer_bytes);
    let read = within(&call.book, deadline, limited.collect()).await;
    let body = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            let what = match error.is::<LengthLimitError>() {
                true => {
                    format!("the answer is over the limit of {} bytes", wire.config.limits.answer_bytes)
                }
                false => "the answer broke off".to_owned(),
            };
            let failure = Failure::new(Class::Connection, what).ambiguous();
            return broken(&mut bill, failure, Cost::Unknown, StatusCode::BAD_GATEWAY);
        }
        Err(Late::Cut(cut)) => return cut_off(&mut bill, *cut, Cost::Unknown),
        Err(Late::OutOfTime) => {
            let failure =
                Failure::new(Class::Timeout, "the answer took longer than an attempt may").ambiguous();
            return broken(&mut bill, failure, Cost::Unknown, StatusCode::GATEWAY_TIMEOUT);
        }
    };
    let response = answer::head(parts.status, &parts.headers).map(|()| body.clone());
    if !parts.status.is_success() {
        let said = Said {
            provider: call.upstream.provider(),
            status: parts.status.as_u16(),
            headers: &parts.headers,
            body: &body,
        };
        let failure = classify(&said, wire.clock.now());
        let cost = Cost::Known(bill.of_failure(&body));
        let settled = bill.fail(failure.clone(), cost);
        return Outcome::Failed { failure, settled, response };
    }
    let value: Value = if call.asked.model.is_some() {
        let read = body.clone();
        aside(body.len(), move || serde_json::from_slice(&read).unwrap_or(Value::Null)).await
    } else {
        Value::Null
    };
    let charges = bill.of_answer(&call.asked, &value);
    if let Some(failure) = failed_answer(call.upstream.provider(), &value) {
        bill.fail(failure, Cost::Known(charges.clone()));
    } else {
        let answer = bodies::kept(&wire.config.bodies, &body);
        bill.succeed(output(&parts, &value, answer), charges.clone());
    }
    tally.charges.extend(charges);
    let mut response = response;
    add(response.headers_mut(), call.book.run(), tally.attempts, Some(&tally.charges));
    Outcome::Answered(answer::whole(response))
}

/// What is kept of an answer: by which its provider finds it again, and by which spans and calls are known to be one.
fn output(parts: &http::response::Parts, body: &Value, answer: Option<String>) -> Payload {
    let request_id =
        ["x-request-id", "request-id"].iter().find_map(|name| parts.headers.get(*name)?.to_str().ok());
    let mut kept = Map::new();
    kept.extend(request_id.map(|id| ("request_id".to_owned(), id.into())));
    kept.extend(body["id"].as_str().map(|id| ("response_id".to_owned(), id.into())));
    kept.extend(answer.map(|answer| ("answer".to_owned(), answer.into())));
    if kept.is_empty() { Payload::null() } else { Payload::of(&kept).unwrap_or_else(|_| Payload::null()) }
}
