//! Runs that cost too much.

use midwatch_workflow::{Charge, Class, DelayReason, EventKind, Failure, OpId};

use super::tale::{Tale, World, draw};
use super::{Incident, variants};
use crate::why::{Cause, Facts, Verdict};

pub(super) fn all() -> Vec<Incident> {
    let dear = |name: &str, cause, tell: fn(u64) -> Facts| variants(name, Verdict::Expensive, cause, 4, tell);
    [
        dear("failed-attempts", Cause::FailedAttempts, failed_attempts),
        dear("same-failure-again", Cause::HopelessRetries, hopeless),
        dear("lost", Cause::LostAttempts, lost),
        dear("context", Cause::ContextGrowth, context),
        dear("cache", Cause::NoCacheHits, cache),
        dear("model", Cause::ModelChange, model),
        dear("price", Cause::PriceChange, price),
        dear("loop", Cause::MoreCalls, more_calls),
        dear("fan-out", Cause::FanOut, fan_out),
        dear("huge-call", Cause::OneHugeCall, huge_call),
        dear("larger-calls", Cause::LargerCalls, larger_calls),
    ]
    .concat()
}

/// Streams that break after they were paid for.
fn failed_attempts(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let mut op = tale.ask(world.call);
    for attempt in 1..=4 * u32::try_from(world.turns).unwrap_or(1) {
        let class =
            if (u64::from(attempt) + n).is_multiple_of(2) { Class::Stalled } else { Class::Connection };
        let charge = world.charge(draw(n));
        tale.after(500).fail(
            op,
            Failure::new(class, format!("stream broke at token {attempt}7")),
            vec![charge],
        );
        let timer = tale.wait_to_retry(world.call, attempt + 1, 40, 300, DelayReason::Backoff);
        tale.after(300).push(EventKind::TimerFired { op: timer });
        op = tale.again(world.call, attempt + 1, |_| {});
    }
    tale.after(world.call_ms).ok(op, vec![world.charge(1)]);
    // A decoy: context that grows, but little.
    tale.calls(world.turns - 1);
    if n.is_multiple_of(2) {
        tale.step(world.effect.0, 900);
        tale.complete();
    } else {
        tale.ask(world.effect.0);
        tale.after(400);
    }
    tale.facts()
}

/// The answer is paid for and refused each time for the same reason.
fn hopeless(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let (class, message) = match n % 4 {
        0 => (Class::ContextOverflow, "prompt is too long: 210000 tokens > 200000 maximum"),
        1 => (Class::InvalidRequest, "answer does not fit the schema: missing field `total`"),
        2 => (Class::Unknown, "answer is no JSON: expected value at line 1"),
        _ => (Class::ContentFiltered, "refused by the content filter"),
    };
    for attempt in 0..4 * world.turns {
        // A user's own loop: each is a new use of the step.
        let op = tale.ask(world.call);
        tale.after(900).fail(op, Failure::new(class, message), vec![world.charge(attempt)]);
    }
    tale.ask("apologize");
    tale.after(300);
    tale.facts()
}

/// A step that takes its process down, again and again.
fn lost(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let mut op = tale.ask(world.call);
    for attempt in 1..=4 * u32::try_from(world.turns).unwrap_or(1) {
        let charges: Vec<Charge> = vec![world.charge(u64::from(attempt))];
        tale.after(600);
        tale.push(EventKind::Heartbeat {
            op,
            progress: midwatch_workflow::Payload::null(),
            charges: charges.clone(),
        });
        tale.after(700).push(EventKind::Recovered { worker: format!("w{attempt}") });
        let failure = Failure::new(Class::Lost, "the process died during the attempt").ambiguous();
        tale.fail(op, failure, charges);
        op = tale.again(world.call, attempt + 1, |_| {});
    }
    tale.after(world.call_ms).ok(op, vec![world.charge(1)]);
    tale.calls(world.turns - 1);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

fn paid(tale: &mut Tale, charge: Charge, millis: u64) {
    let call = tale.world.call;
    let op = tale.ask(call);
    tale.after(millis).ok(op, vec![charge]);
}

/// Every turn sends the whole conversation again.
fn context(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let turns = world.turns + 2 + n % 2;
    let mut input = 9_000;
    for turn in 0..turns {
        let charge = world.charge_of(world.model, input, 500, input * 2 / 5 + turn);
        // Quick answers, so that it is the bill that strikes.
        paid(&mut tale, charge, world.call_ms / 2);
        input = input * (15 + n) / 10 + draw(turn) % 500;
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// The prompt begins with the time of day, so that no cache ever hits.
fn cache(n: u64) -> Facts {
    let world = World::of(n);
    let usual = cached_usual(world);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    for turn in 0..world.turns {
        let input = 20_000 + draw(n + turn) % 1_000;
        paid(&mut tale, world.charge_of(world.model, input, 100, n * 20), world.call_ms);
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts_with(usual)
}

/// Runs with long prompts that are nearly all cached.
fn cached_usual(world: World) -> crate::Baselines {
    let (mut runs, mut profiles) = (Vec::new(), Vec::new());
    for n in 0..30 {
        let mut tale = Tale::begin(world, 2_000 + n);
        tale.step(world.prepare, 800);
        for turn in 0..world.turns {
            let input = 20_000 + draw(n * 31 + turn) % 1_000;
            paid(&mut tale, world.charge_of(world.model, input, 100, input - 800), world.call_ms);
        }
        tale.step(world.effect.0, 900);
        tale.complete();
        runs.push(tale.row(crate::Status::Completed));
        profiles.extend(
            crate::Timeline::of(&tale.events).map(|told| crate::Profile::of(&told, &tale.events, tale.at)),
        );
    }
    crate::Baselines::of(&runs.iter().collect::<Vec<_>>(), &profiles.iter().collect::<Vec<_>>())
}

/// Somebody changed the model; the tokens are as ever.
fn model(n: u64) -> Facts {
    let world = World::of(n);
    let other = ["openai:gpt-5-pro", "anthropic:claude-opus-4-1", "openai:o1", "anthropic:claude-opus-4-1"];
    let other = other[usize::try_from(n % 4).unwrap_or(0)];
    dearer_by(world, n, other, 5 + n)
}

/// The provider raised its price.
fn price(n: u64) -> Facts {
    let world = World::of(n);
    dearer_by(world, n, world.model, 4 + n % 2)
}

fn dearer_by(world: World, n: u64, target: &str, factor: u64) -> Facts {
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    for turn in 0..world.turns {
        let usual = world.charge(draw(n + turn));
        let cost = usual.cost.map(|cost| cost.times(factor));
        paid(&mut tale, Charge { target: target.to_owned(), cost, ..usual }, world.call_ms);
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// The agent goes round in circles.
fn more_calls(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    for turn in 0..world.turns * (5 + n) {
        // Quick ones: it is the bill that strikes, not the clock.
        paid(&mut tale, world.charge(draw(n + turn)), world.call_ms / 12);
    }
    tale.step(world.effect.0, 900);
    if n.is_multiple_of(2) {
        tale.complete();
    }
    tale.facts()
}

/// A list that was never meant to be so long, one branch for each of its items.
fn fan_out(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let ops: Vec<OpId> = (0..world.turns * (6 + n)).map(|_| tale.ask(world.call)).collect();
    for (n, op) in (0..).zip(ops) {
        tale.after(100 + draw(n) % 80).ok(op, vec![world.charge(n)]);
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// Somebody attached a whole book to one turn.
fn huge_call(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(world.turns - 1);
    let charge = world.charge_of(world.model, 90_000 * (n + 1), 1_500, 3_000);
    paid(&mut tale, charge, world.call_ms);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

fn larger_calls(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    for turn in 0..world.turns {
        let input = 28_000 + 3_000 * n + draw(turn) % 2_000;
        paid(&mut tale, world.charge_of(world.model, input, 2_000, input * 3 / 7), world.call_ms);
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}
