//! What comes before an attempt is sent: orders, budgets, the gate, the record.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use midwatch_gates::Pass;
use midwatch_providers::Report;
use midwatch_recorder::{NewAttempt, Run, Standing};
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Amount, Budget, Certainty, Charge, Class, Failure, Name, Payload, Timestamp, Usage};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::bill::Bill;
use crate::bodies;
use crate::book::Book;
use crate::budget::{Claim, Payer, Reservation};
use crate::call::{Call, Tally};
use crate::config::Durability;
use crate::refusal::{BUDGET_EXCEEDED, Refusal};
use crate::seat::{Denied, Seat};
use crate::wire::{Wire, not_booked};

/// The most that the call can cost.
pub(crate) fn bound(wire: &Wire, call: &Call) -> Charge {
    priced(wire, call.asked.bound, call)
}

fn priced(wire: &Wire, usage: Usage, call: &Call) -> Charge {
    let report = Report { usage, ..Report::default() };
    let charge = report.charge(call.upstream.paid(call.asked.model.as_deref()));
    let charge = Charge { certainty: Certainty::Bound, ..charge };
    match call.asked.model {
        Some(_) => wire.price(charge, &report),
        None => charge,
    }
}

/// Everything before an attempt is sent: budgets, the gate, the record.
pub(crate) async fn open(
    wire: &Arc<Wire>,
    call: &Call,
    bound: &Charge,
    tally: &Tally,
) -> Result<Bill, Refusal> {
    let run = match &call.book {
        Book::Run(run) => run,
        Book::Attempt(seat) => return open_in(wire, call, seat, bound).await,
    };
    admit(wire, run).await?;
    let reserved = tokio::select! {
        biased;
        reserved = reserve(wire, call, run, bound) => reserved,
        why = run.stopped() => return Err(Refusal::stopped(run.id(), why)),
    };
    let (bound, reservation) = reserved.inspect_err(|refusal| record_refusal(wire, call, run, refusal))?;
    let new = new_attempt(wire, call, &bound);
    let gate = wire.gates.of(Some(&call.target));
    let number = tally.attempts + 1;
    let now = wire.clock.now();
    let (attempt, pass) = match gate {
        None => (begin(run, new, tally, now)?, None),
        Some(gate) => match gate.try_enter(number) {
            Some(pass) => (begin(run, new, tally, now)?, Some(pass)),
            None => {
                let attempt = begin(run, NewAttempt { waits: Some(WaitReason::Gate), ..new }, tally, now)?;
                match held(wire, run, &gate, number).await {
                    Ok(pass) => {
                        attempt.start(wire.clock.now());
                        (attempt, Some(pass))
                    }
                    Err(refusal) => {
                        let is_stopped = run.stop_word().is_some();
                        let class = if is_stopped { Class::Cancelled } else { Class::RateLimited };
                        let failure = Failure::new(class, refusal.message.clone());
                        attempt.end(Err(failure), Vec::new(), wire.clock.now());
                        reservation.settle(&[]);
                        return Err(refusal);
                    }
                }
            }
        },
    };
    if wire.config.durable == Durability::Machine {
        attempt.durable().await.map_err(|error| not_booked(&error))?;
    }
    Ok(Bill::open(wire, &call.upstream, bound, (attempt, reservation, pass)))
}

/// Reserves what a call may cost of every budget.
async fn reserve(
    wire: &Wire,
    call: &Call,
    run: &Run,
    bound: &Charge,
) -> Result<(Charge, Reservation), Refusal> {
    let reserved = wire.budgets.reserve(claims(wire, call, run), bound).await;
    if let Err(refusal) = &reserved
        && refusal.code == BUDGET_EXCEEDED
        && let Some(closer) = closer(wire, call, bound).await
    {
        let reservation = wire.budgets.reserve(claims(wire, call, run), &closer).await?;
        return Ok((closer, reservation));
    }
    Ok((bound.clone(), reserved?))
}

/// Reserves it of the attempt's budgets, which are its engine's, as are gates and journal.
async fn open_in(wire: &Arc<Wire>, call: &Call, seat: &Arc<Seat>, bound: &Charge) -> Result<Bill, Refusal> {
    let mut bound = bound.clone();
    let mut reserved = seat.reserve(&bound).await;
    if matches!(reserved, Err(Denied::Budget(_)))
        && let Some(closer) = closer(wire, call, &bound).await
    {
        bound = closer;
        reserved = seat.reserve(&bound).await;
    }
    let booking = reserved.map_err(|denied| seat.refuse(denied))?;
    Ok(Bill::of_attempt(wire, &call.upstream, bound, booking))
}

/// The bound by counted tokens, for where that by characters crosses a budget: it takes longer. `None` if it is no closer,
/// or nobody can count.
async fn closer(wire: &Wire, call: &Call, bound: &Charge) -> Option<Charge> {
    let input = counted(bound, call).await.filter(|input| *input < bound.usage.input)?;
    Some(priced(wire, Usage { input, ..bound.usage }, call))
}

#[cfg(feature = "tokens")]
async fn counted(bound: &Charge, call: &Call) -> Option<u64> {
    let (target, body) = (bound.target.clone(), call.asked.body.clone());
    let count =
        move || midwatch_providers::bound_input_counted(&target, &serde_json::from_slice(&body).ok()?);
    tokio::task::spawn_blocking(count).await.ok().flatten()
}

#[cfg(not(feature = "tokens"))]
async fn counted(_: &Charge, _: &Call) -> Option<u64> {
    None
}

/// Keeps to what people have ordered: a run that somebody holds waits for a while, one that was stopped takes no call.
async fn admit(wire: &Wire, run: &Run) -> Result<(), Refusal> {
    let held = wire.config.retry.held;
    if matches!(run.standing(), Standing::Paused(_)) {
        // Whichever comes first, the next look tells.
        let _ = timeout(held, run.resumed()).await;
    }
    match run.standing() {
        Standing::Open => Ok(()),
        Standing::Paused(why) => {
            let what = format!("run {} is {why}", run.id().short());
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "run_paused", what).after(held))
        }
        Standing::Cancelled(why) => Err(Refusal::stopped(run.id(), &why)),
    }
}

fn begin(
    run: &Run,
    new: NewAttempt,
    tally: &Tally,
    now: Timestamp,
) -> Result<midwatch_recorder::Attempt, Refusal> {
    let begun = match &tally.last {
        Some(last) => run.begin_again(new, last, now),
        None => run.begin(new, now),
    };
    begun.map_err(|error| not_booked(&error))
}

fn new_attempt(wire: &Wire, call: &Call, bound: &Charge) -> NewAttempt {
    let mut input = json!({
        "model": call.asked.model, "stream": call.asked.is_stream, "bytes": call.asked.body.len(),
        "upstream": call.upstream.name,
    });
    if let Some(request) = bodies::kept(&wire.config.bodies, &call.asked.body) {
        input["request"] = request.into();
    }
    NewAttempt {
        input: Payload::of(&input).ok(),
        target: Some(call.target.clone()),
        timeout: wire.config.timeouts.attempt,
        heartbeat: call.asked.is_stream.then_some(wire.config.timeouts.first_byte),
        same: Some(call.asked.same),
        mark: call.span.clone(),
        bounds: vec![bound.clone()],
        ..NewAttempt::new(call.step.clone())
    }
}

/// Which budgets the call draws on.
fn claims(wire: &Wire, call: &Call, of: &Run) -> Vec<Claim> {
    let mut claims = Vec::new();
    if let Some(budget) = wire.config.budgets.run.and(call.run_usd).budget() {
        let spent = (&of.spent()).into();
        claims.push(Claim { payer: Payer::Run(of.id()), budget, raised: of.raised(), spent });
    }
    let mut daily = |payer, budget: Option<Budget>| {
        let (raised, spent) = (Amount::default(), Amount::default());
        claims.extend(budget.map(|budget| Claim { payer, budget, raised, spent }));
    };
    if let Some(tenant) = &call.tenant {
        daily(Payer::TenantDay(tenant.clone()), wire.config.tenant_day(tenant));
    }
    daily(Payer::Day, wire.config.budgets.day.budget());
    claims
}

/// A call that was not sent is on record all the same: whoever asks why sees the budget.
fn record_refusal(wire: &Wire, call: &Call, run: &Run, refusal: &Refusal) {
    let now = wire.clock.now();
    let new = NewAttempt {
        target: Some(call.target.clone()),
        mark: call.span.clone(),
        ..NewAttempt::new(call.step.clone())
    };
    if let Ok(attempt) = run.begin(new, now) {
        let failure = Failure::new(Class::Budget, format!("not sent: {}", refusal.message));
        attempt.end(Err(failure), Vec::new(), now);
    }
}

/// Waits at a closed gate, for a while.
async fn held(
    wire: &Wire,
    run: &Run,
    gate: &Arc<midwatch_gates::TargetGate>,
    number: u32,
) -> Result<Pass, Refusal> {
    let (sender, admitted) = oneshot::channel();
    let _ticket = gate.wait(0, number, Box::new(move |pass| drop(sender.send(pass))));
    tokio::select! {
        biased;
        admitted = timeout(wire.config.retry.held, admitted) => {
            if let Ok(Ok(pass)) = admitted {
                return Ok(pass);
            }
        }
        why = run.stopped() => return Err(Refusal::stopped(run.id(), why)),
    }
    let closed = gate.view(Name::Borrowed("")).state.closed;
    let left = closed.map_or(Duration::from_secs(1), |closed| closed.until.since(wire.clock.now()));
    let what = format!("the upstream cools down: come again in {left:?}");
    Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "cooling_down", what).after(left))
}
