//! Requests that do something in the world, and the keys that keep them from doing it twice.
//!
//! A request is turned away (rate limit, bad parameters, a fault at the front) before its key is looked at; what
//! follows happens under the key, and its answer is kept, whether or not it arrives.

use std::time::Duration;

use serde_json::json;

use crate::answer::Answer;
use crate::draw::{hash, mix, unit};
use crate::exchange::{Exchange, Outcome};
use crate::fault::Fault;
use crate::idempotency::{Kept, Standing};
use crate::ledger::Ticket;
use crate::payments::{self, Wanted};
use crate::sync::locked;
use crate::trouble::Trouble;

/// Stripe takes keys up to this long.
const KEY_MAX: usize = 255;

/// Carries out a request.
pub(crate) async fn carry_out(mut exchange: Exchange) -> (Outcome, Option<Ticket>) {
    if let Some(outcome) = exchange.turned_away(0) {
        return (outcome, Some(exchange.ticket));
    }
    let wanted = match read(&exchange) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => {
            let outcome = Outcome::Answer(look_up(&exchange));
            return (outcome, Some(exchange.ticket));
        }
        Err(trouble) => return (Outcome::Answer(exchange.trouble(&trouble)), Some(exchange.ticket)),
    };
    let outcome = match exchange.request.key.clone().filter(|_| exchange.world.config.keys.honoured) {
        None => {
            let answer = execute(&mut exchange, wanted).await;
            lose(&mut exchange, answer)
        }
        Some(key) => under_key(&mut exchange, &key, wanted).await,
    };
    (outcome, Some(exchange.ticket))
}

fn read(exchange: &Exchange) -> Result<Option<Wanted>, Trouble> {
    let request = &exchange.request;
    if request.read_only {
        return Ok(None);
    }
    if request.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_MAX) {
        return Err(Trouble::invalid("the idempotency key must have 1 to 255 characters", None));
    }
    let body = request.body.as_ref().map_err(|message| Trouble::invalid(message.clone(), None))?;
    let mut wanted = payments::read(request.endpoint, &request.model, body, request.key.as_deref())?;
    if wanted.effect.run.is_none() {
        wanted.effect.run = request.run().map(Into::into);
    }
    Ok(Some(wanted))
}

async fn under_key(exchange: &mut Exchange, key: &str, wanted: Wanted) -> Outcome {
    let request = &exchange.request;
    let parameters = hash(0, &[&[request.endpoint as u8], request.model.as_bytes(), &request.raw]);
    let now = exchange.world.now();
    let standing = locked(&exchange.world.keys).present(key, parameters, now);
    match standing {
        Standing::First => {
            let answer = execute(exchange, wanted).await;
            let kept = Kept {
                status: answer.status,
                body: answer.body.clone(),
                original_request: exchange.request_id.clone(),
            };
            locked(&exchange.world.keys).keep(key, kept);
            lose(exchange, answer)
        }
        Standing::Answered(kept) => {
            exchange.ticket.entry.replayed = true;
            let answer = Answer { status: kept.status, headers: Vec::new(), body: kept.body }
                .header("content-type", "application/json")
                .header("idempotent-replayed", "true")
                .header("original-request", kept.original_request);
            lose(exchange, answer)
        }
        Standing::InFlight => Outcome::Answer(payments::in_flight()),
        Standing::Changed => Outcome::Answer(payments::changed()),
        Standing::Full => Outcome::Answer(payments::refused(&crate::ledger::Refusal::Full)),
    }
}

/// Does the effect, unless a fault fails it first.
async fn execute(exchange: &mut Exchange, wanted: Wanted) -> Answer {
    let latency = exchange.world.config.latency.first_byte(unit(mix(exchange.own, 21)));
    let slow = match exchange.fault {
        Some(Fault::SlowTokens { token_ms }) => {
            exchange.struck("slow_tokens");
            Duration::from_millis(token_ms)
        }
        _ => Duration::ZERO,
    };
    let time = latency.saturating_add(slow);
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
    if exchange.fault == Some(Fault::ServerError) {
        exchange.struck("server_error");
        return exchange.trouble(&Trouble::Server);
    }
    if wanted.declined {
        return payments::declined();
    }
    let effect = match exchange.world.ledger.effect(wanted.effect) {
        Ok(effect) => effect,
        Err(refusal) => return payments::refused(&refusal),
    };
    exchange.ticket.entry.effect = Some(effect.id.clone());
    if exchange.fault == Some(Fault::ServerErrorAfter) {
        exchange.struck("server_error_after");
        return exchange.trouble(&Trouble::Server);
    }
    Answer::json(200, &payments::view(&effect))
}

/// Loses the answer on its way, if the fault says so.
fn lose(exchange: &mut Exchange, answer: Answer) -> Outcome {
    let (name, outcome) = match exchange.fault {
        Some(fault @ (Fault::HangAfter { ms } | Fault::StallStream { ms, .. })) => {
            (fault.name(), Outcome::Hang(Duration::from_millis(ms)))
        }
        Some(fault @ Fault::ResetAfter) => (fault.name(), Outcome::Tear),
        Some(fault @ Fault::CutStream { .. }) => (fault.name(), Outcome::Cut(answer)),
        _ => return Outcome::Answer(answer),
    };
    exchange.struck(name);
    outcome
}

/// Answers a GET: one object, or the newest hundred.
fn look_up(exchange: &Exchange) -> Answer {
    const LISTED: usize = 100;
    let (ledger, request) = (&exchange.world.ledger, &exchange.request);
    match &request.id {
        Some(id) => match ledger.effect_by_id(id).filter(|effect| *effect.kind == *request.model) {
            Some(effect) => Answer::json(200, &payments::view(&effect)),
            None => exchange.trouble(&Trouble::NotFound { what: id.clone() }),
        },
        None => {
            let of_kind = ledger.effects_of_kind(&request.model, LISTED + 1);
            let listed: Vec<_> = of_kind.iter().take(LISTED).map(payments::view).collect();
            let more = of_kind.len() > LISTED;
            Answer::json(200, &json!({"object": "list", "data": listed, "has_more": more}))
        }
    }
}
