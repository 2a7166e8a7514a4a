//! Requests to language models: what they are answered, and what they cost.
//!
//! Billing: what was turned away costs nothing. What was carried out costs its whole input and output, whether or not
//! the answer arrived. A stream that ends early costs its input and the tokens generated until then.

use std::time::Duration;

use serde_json::json;

use crate::answer::Answer;
use crate::completion::Completion;
use crate::dialect::{self, Ask};
use crate::draw::{mix, unit};
use crate::exchange::{Exchange, Outcome};
use crate::fault::Fault;
use crate::ledger::{Ticket, Tokens};
use crate::stream::{Ending, Play};
use crate::trouble::Trouble;

/// Carries out a request; a stream keeps the ticket and books itself.
pub(crate) async fn carry_out(mut exchange: Exchange) -> (Outcome, Option<Ticket>) {
    let ask = match &exchange.request.body {
        Ok(body) => dialect::read(exchange.request.endpoint, body),
        Err(message) => Err(Trouble::invalid(message.clone(), None)),
    };
    let input = ask.as_ref().map_or(0, |ask| ask.prompt.input());
    if let Some(outcome) = exchange.turned_away(input) {
        return (outcome, Some(exchange.ticket));
    }
    let ask = match ask {
        Ok(ask) if input <= exchange.world.config.answers.context_window => ask,
        Ok(_) => {
            let max = exchange.world.config.answers.context_window;
            let answer = exchange.trouble(&Trouble::ContextOverflow { tokens: input, max });
            return (Outcome::Answer(answer), Some(exchange.ticket));
        }
        Err(trouble) => return (Outcome::Answer(exchange.trouble(&trouble)), Some(exchange.ticket)),
    };
    if exchange.fault == Some(Fault::ServerError) {
        exchange.note_fault();
        return (Outcome::Answer(exchange.trouble(&Trouble::Server)), Some(exchange.ticket));
    }
    answer(exchange, ask).await
}

impl Exchange {
    fn note_fault(&mut self) {
        if let Some(fault) = self.fault {
            self.struck(fault.name());
        }
    }
}

async fn answer(mut exchange: Exchange, ask: Ask) -> (Outcome, Option<Ticket>) {
    let world = exchange.world.clone();
    let (config, endpoint) = (&world.config, exchange.request.endpoint);
    let reply = exchange.request.with_cue(|cue| world.script.reply(cue));
    let done = complete(&ask, config.seed, &config.answers, reply);
    exchange.note_fault();
    let per_token = match exchange.fault {
        Some(Fault::SlowTokens { token_ms }) => Duration::from_millis(token_ms),
        _ => config.latency.per_token(),
    };
    let first_byte = config.latency.first_byte(unit(mix(exchange.own, 21)));
    let streamed = ask.stream && !matches!(exchange.fault, Some(Fault::ServerErrorAfter));
    let generating = if streamed { Duration::ZERO } else { per_token.saturating_mul(visible(&done.tokens)) };
    let time = first_byte.saturating_add(generating);
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
    if streamed && !matches!(exchange.fault, Some(Fault::HangAfter { .. } | Fault::ResetAfter)) {
        let mut ticket = exchange.ticket;
        ticket.entry.status = Some(200);
        let transcript = dialect::transcript(endpoint, &ask, &done);
        let play = Play::new(transcript, ending(exchange.fault), per_token, ticket, world.stop.subscribe());
        return (Outcome::Stream(Answer::events(), Box::new(play)), None);
    }
    let whole = || Answer::json(200, &dialect::whole(endpoint, &ask, &done));
    let (outcome, told) = match exchange.fault {
        Some(Fault::HangAfter { ms } | Fault::StallStream { ms, .. }) => {
            (Outcome::Hang(Duration::from_millis(ms)), Tokens::default())
        }
        Some(Fault::ResetAfter) => (Outcome::Tear, Tokens::default()),
        Some(Fault::CutStream { .. }) => (Outcome::Cut(whole()), Tokens::default()),
        Some(Fault::ServerErrorAfter) => (Outcome::Answer(failed_with_usage(&exchange, &done)), done.tokens),
        _ => (Outcome::Answer(whole()), done.tokens),
    };
    exchange.ticket.bill(done.tokens, told);
    (outcome, Some(exchange.ticket))
}

fn complete(
    ask: &Ask,
    seed: u64,
    answers: &crate::config::Answers,
    reply: Option<crate::script::Reply>,
) -> Completion {
    let mut done = ask.prompt.complete(seed, answers, reply);
    if ask.embed.is_some() {
        done.parts.clear();
        done.tokens = Tokens { input: done.tokens.input, ..Tokens::default() };
    }
    done
}

fn visible(tokens: &Tokens) -> u32 {
    u32::try_from(tokens.output).unwrap_or(u32::MAX)
}

fn ending(fault: Option<Fault>) -> Ending {
    match fault {
        Some(Fault::CutStream { after_tokens }) => Ending::Cut { after: after_tokens },
        Some(Fault::StallStream { after_tokens, ms }) => {
            Ending::Stall { after: after_tokens, silence: Duration::from_millis(ms) }
        }
        Some(Fault::ErrorEvent { after_tokens }) => Ending::Failure { after: after_tokens },
        _ => Ending::Complete,
    }
}

/// A 500 that says what it cost.
fn failed_with_usage(exchange: &Exchange, done: &Completion) -> Answer {
    let failed = exchange.trouble(&Trouble::Server);
    let mut body: serde_json::Value = serde_json::from_slice(&failed.body).unwrap_or_else(|_| json!({}));
    body["usage"] = dialect::usage(exchange.request.endpoint, done);
    body["model"] = json!(&*exchange.request.model);
    Answer { body: body.to_string().into(), ..failed }
}
