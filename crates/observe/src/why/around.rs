//! What is around a cause: the other runs that it reaches, and the causes that it is not.

use midwatch_workflow::Class;
use midwatch_workflow::event::WaitReason;

use super::answer::{Affected, Excluded};
use super::case::{Case, Finding, Open};
use super::{Cause, Owner};
use crate::run::Run;
use crate::words::span;

/// So many runs are named.
const EXAMPLES: usize = 5;

/// Whether another run shares what the cause is about.
type Fits<'f> = Box<dyn Fn(&Run) -> bool + 'f>;

/// Finds the other open runs that the cause reaches.
pub(super) fn affected(case: &Case<'_>, finding: &Finding<'_>) -> Affected {
    let step = finding.step;
    let target = step.and_then(|step| step.target.as_deref());
    let queue = step.and_then(|step| step.queue.as_deref());
    let workflow = case.timeline.start.workflow.as_str();
    let (share, fits): (String, Fits<'_>) = match finding.cause {
        Cause::ProcessLost | Cause::LockHeld => ("process".to_owned(), Box::new(|_| true)),
        Cause::QueueBacklog | Cause::QueueStarved | Cause::Queue => match queue {
            None => return Affected::default(),
            Some(queue) => {
                let fits = move |run: &Run| {
                    run.queue.as_deref() == Some(queue) && run.held == Some(WaitReason::Queue)
                };
                (format!("queue {queue}"), Box::new(fits))
            }
        },
        Cause::NoCode | Cause::CodeJournalMismatch | Cause::ParkedPanicked | Cause::ParkedStray => {
            let fits = move |run: &Run| {
                run.workflow == workflow && run.parked.map(super::parked::cause) == Some(finding.cause)
            };
            (format!("code of {workflow}"), Box::new(fits))
        }
        _ if blames_target(finding.cause) => match target {
            None => return Affected::default(),
            Some(target) => {
                let fits = move |run: &Run| run.target.as_deref() == Some(target) && is_troubled(run);
                (format!("target {target}"), Box::new(fits))
            }
        },
        _ => return Affected::default(),
    };
    let runs: Vec<&Run> = case.facts.neighbours.iter().filter(|run| fits(run)).collect();
    let examples = runs.iter().take(EXAMPLES).map(|run| run.run).collect();
    Affected { runs: runs.len() as u64, share, examples }
}

fn blames_target(cause: Cause) -> bool {
    use Cause::{
        Authentication, Connection, GateClosed, GateClosedLong, Overloaded, Permission, QuotaExhausted,
        RateLimited, RetryAfter, RetryConnection, RetryMixed, RetryOverloaded, RetryRateLimited, RetryServer,
        RetryTimeout, RetryUnknown, Server, SlowAttempt, Stalled, StepSilent, Timeout, TimeoutsBurned,
    };
    matches!(
        cause,
        Authentication
            | Connection
            | GateClosed
            | GateClosedLong
            | Overloaded
            | Permission
            | QuotaExhausted
            | RateLimited
            | RetryAfter
            | RetryConnection
            | RetryMixed
            | RetryOverloaded
            | RetryRateLimited
            | RetryServer
            | RetryTimeout
            | RetryUnknown
            | Server
            | SlowAttempt
            | StepSilent
            | Stalled
            | Timeout
            | TimeoutsBurned
            | Cause::Gate
            | Cause::Retry
    )
}

/// Whether the run has trouble with its target: an attempt failed for a reason that the target gave, or the gate holds it.
fn is_troubled(run: &Run) -> bool {
    let by_target =
        |class: Class| !matches!(class, Class::Lost | Class::Budget | Class::Cancelled | Class::Bug);
    run.held == Some(WaitReason::Gate) || run.class.is_some_and(by_target)
}

/// Says which causes are not there, and how that is known.
pub(super) fn excluded(case: &Case<'_>, finding: &Finding<'_>) -> Vec<Excluded> {
    let open = case.open();
    let holds =
        |wanted: WaitReason| open.iter().any(|open| matches!(open, Open::Held(_, _, why) if *why == wanted));
    let has = |wanted: fn(&Open<'_>) -> bool| open.iter().any(wanted);
    let is_ended = case.timeline.end.is_some();
    let mut excluded = Vec::new();
    let mut rule_out = |causes: &[Cause], is_out: bool, what: &'static str, because: String| {
        if is_out && !causes.contains(&finding.cause) {
            excluded.push(Excluded { what, because });
        }
    };
    if !is_ended {
        use Cause as C;
        let nothing = |what: &str| format!("no attempt waits {what}");
        rule_out(
            &[C::QueueBacklog, C::QueueStarved, C::Queue],
            !holds(WaitReason::Queue),
            "queue limit",
            nothing("in a queue"),
        );
        rule_out(
            &[C::GateClosed, C::GateClosedLong, C::Gate],
            !holds(WaitReason::Gate),
            "closed gate",
            nothing("at a gate"),
        );
        rule_out(
            &[C::Signal, C::SignalNeverCame, C::LateSignal],
            !has(|open| matches!(open, Open::Signal(_))),
            "signal",
            "it waits for none".to_owned(),
        );
        rule_out(
            &[C::Child, C::ChildStuck, C::SlowChild],
            !has(|open| matches!(open, Open::Child(_))),
            "child",
            "it waits for none".to_owned(),
        );
        rule_out(
            &[C::Timer, C::TimerFarAway],
            !has(|open| matches!(open, Open::Sleep(_))),
            "timer",
            "it does not sleep".to_owned(),
        );
        rule_out(&[C::Paused], case.pause().is_none(), "paused", "nobody holds it".to_owned());
        rule_out(&[], case.timeline.parked().is_none(), "parked", "it asks for nobody".to_owned());
        if let (Owner::Process { name, .. }, true) = (&case.facts.owner, finding.cause != C::LockHeld) {
            rule_out(&[C::ProcessLost], true, "process lost", format!("{name} owns the journal"));
        }
    }
    if let Some(budget) = &case.timeline.start.budget {
        let reached = budget.reached((&case.timeline.spent).into()).is_some();
        rule_out(
            &[Cause::ParkedBudget, Cause::BudgetReached],
            !reached,
            "budget",
            format!("{} spent", case.timeline.spent.cost),
        );
    } else {
        rule_out(
            &[Cause::ParkedBudget, Cause::BudgetReached],
            finding.cause != Cause::ParkedBudget,
            "budget",
            "it has none of its own".to_owned(),
        );
    }
    rule_out(
        &[Cause::Compensation],
        case.compensating().is_none(),
        "compensation",
        "nothing is undone".to_owned(),
    );
    let recovered = case.worker().0 > 1;
    rule_out(
        &[Cause::ProcessDown, Cause::LostAttempts, Cause::Lost, Cause::ProcessLost, Cause::LockHeld],
        !recovered,
        "process change",
        format!("one process carried it out for {}", span(case.profile.elapsed)),
    );
    excluded
}
