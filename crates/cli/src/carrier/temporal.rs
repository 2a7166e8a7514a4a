//! What a Temporal server says of a run: who polls its task queue, what waits there, which activities are pending.

use midwatch_journal::RunSummary;
use midwatch_observe::why::{Cause, Next, Obstacle, Served};
use midwatch_workflow::Timestamp;

use super::wire::{
    Activity, DescribeExecution, DescribeQueue, Execution, ExecutionDescribed, Named, QueueDescribed, Service,
};
use crate::output::time;

/// A worker asks again within a minute; one that was silent for longer is gone. The server names it for five.
const SILENT: std::time::Duration = std::time::Duration::from_secs(90);

/// At most so many pending activities are told.
const ACTIVITIES_MAX: usize = 5;

const SCHEDULED: i32 = 1;
const RUNNING: i32 = 1;

/// Asks for the run, and for its task queue.
pub(super) async fn says(
    address: &str,
    namespace: &str,
    run: &RunSummary,
    now: Timestamp,
) -> anyhow::Result<Served> {
    let mut service = Service::connect(address).await?;
    let (workflow_id, described) = describe(&mut service, namespace, run).await?;
    let queue = described.info.as_ref().map(|info| info.task_queue.clone()).unwrap_or_default();
    let mut queues = Vec::new();
    for kind in [1, 2] {
        let queue = Some(Named { name: queue.clone() });
        let question = DescribeQueue { namespace: namespace.to_owned(), queue, kind, with_stats: true };
        queues.push(service.ask::<_, QueueDescribed>("DescribeTaskQueue", question).await?);
    }
    Ok(served(&workflow_id, &queue, &described, &queues, now))
}

/// The run's execution, and its workflow id there: one that was started by hand may have any, and is called after its first
/// execution.
async fn describe(
    service: &mut Service,
    namespace: &str,
    run: &RunSummary,
) -> anyhow::Result<(String, ExecutionDescribed)> {
    let usual = format!("{}/{}", run.workflow, run.workflow_id);
    let mut ask = async |workflow_id: &str| {
        let execution = Some(Execution { workflow_id: workflow_id.to_owned() });
        let question = DescribeExecution { namespace: namespace.to_owned(), execution };
        service.ask::<_, ExecutionDescribed>("DescribeWorkflowExecution", question).await
    };
    let refusal = match ask(&usual).await {
        Err(refusal) if refusal.is_unknown => refusal,
        described => return Ok((usual, described?)),
    };
    let by_hand = run.workflow_id.to_string();
    let is_it = |of: &ExecutionDescribed| {
        of.info.as_ref().is_some_and(|info| info.first_run_id.parse() == Ok(run.run))
    };
    match ask(&by_hand).await {
        Ok(described) if is_it(&described) => Ok((by_hand, described)),
        _ => Err(refusal.into()),
    }
}

/// What the answers come to.
fn served(
    id: &str,
    queue: &str,
    described: &ExecutionDescribed,
    queues: &[QueueDescribed],
    now: Timestamp,
) -> Served {
    let mut served = Served::default();
    if described.info.as_ref().is_some_and(|info| info.status != RUNNING) {
        let says = format!(
            "Temporal has ended `{id}`; the journal lacks that end until a worker opens it, or compares it"
        );
        served.says.push(says);
        return served;
    }
    let live = |last: &Option<prost_types::Timestamp>| ago(last, now) <= SILENT;
    let pollers = || queues.iter().flat_map(|of| &of.pollers);
    let workers: std::collections::BTreeSet<&str> =
        pollers().filter(|poller| live(&poller.last)).map(|poller| poller.identity.as_str()).collect();
    let backlog: i64 = queues.iter().filter_map(|of| of.stats.as_ref()).map(|stats| stats.backlog).sum();
    let oldest = queues.iter().filter_map(|of| of.stats.as_ref()?.backlog_age).map(|age| age.seconds).max();
    let waiting = match (backlog, oldest) {
        (0, _) => "none wait".to_owned(),
        (count, Some(age @ 1..)) => format!("{count} wait, the oldest for {age} s"),
        (count, _) => format!("{count} wait"),
    };
    if workers.is_empty() {
        let last = pollers().map(|poller| ago(&poller.last, now)).min();
        let last = last.map(|ago| format!("; one last did {} ago", time::span(ago))).unwrap_or_default();
        let headline = format!("no worker asks for tasks of queue `{queue}` at Temporal; {waiting}{last}");
        served.says.push(headline.clone());
        let next = Next {
            command: format!("temporal task-queue describe --task-queue {queue}"),
            does: "shows who asks; start a worker that opens this engine with this task queue".to_owned(),
        };
        served.obstacle = Some(Obstacle { cause: Cause::ProcessLost, headline, next: vec![next] });
    } else {
        let says = format!("Temporal: {} workers ask for tasks of queue `{queue}`; {waiting}", workers.len());
        served.says.push(says);
    }
    if let Some(task) = described.task.as_ref().filter(|task| task.attempt > 1) {
        let since = time::span(ago(&task.scheduled, now));
        served.says.push(format!(
            "Temporal: the workflow's task is tried for the {}. time, since {since}",
            task.attempt
        ));
    }
    served.says.extend(described.activities.iter().take(ACTIVITIES_MAX).map(|activity| told(activity, now)));
    served
}

fn told(activity: &Activity, now: Timestamp) -> String {
    let name = activity.of.as_ref().map(|of| of.name.as_str()).unwrap_or_default();
    let failed =
        activity.last_failure.as_ref().map(|failure| format!("; it failed last with: {}", failure.message));
    let state = match activity.state {
        SCHEDULED => format!("waits for a worker for {}", time::span(ago(&activity.scheduled, now))),
        _ => {
            let began = time::span(ago(&activity.last_started, now));
            let beat = activity.last_heartbeat.as_ref().map(|_| {
                format!(", its last heartbeat came {} ago", time::span(ago(&activity.last_heartbeat, now)))
            });
            format!("is at work for {began} at {}{}", activity.worker, beat.unwrap_or_default())
        }
    };
    format!("Temporal: activity {name} {state}{}", failed.unwrap_or_default())
}

fn ago(then: &Option<prost_types::Timestamp>, now: Timestamp) -> std::time::Duration {
    let micros = then.as_ref().map_or(0, |then| then.seconds * 1_000_000 + i64::from(then.nanos) / 1_000);
    now.since(Timestamp::from_micros(u64::try_from(micros).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::wire::{ExecutionInfo, Poller, Stats};
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn described() -> ExecutionDescribed {
        let info =
            ExecutionInfo { status: RUNNING, task_queue: "midwatch".to_owned(), ..ExecutionInfo::default() };
        ExecutionDescribed { info: Some(info), ..ExecutionDescribed::default() }
    }

    fn queue(seconds_ago: i64, backlog: i64) -> QueueDescribed {
        let last = Some(prost_types::Timestamp { seconds: 1_000 - seconds_ago, nanos: 0 });
        let poller = Poller { last, identity: "one".to_owned() };
        QueueDescribed { pollers: vec![poller], stats: Some(Stats { backlog, backlog_age: None }) }
    }

    #[test]
    fn a_queue_that_no_worker_asks_is_why_nothing_moves() {
        let gone = served("trip/1", "midwatch", &described(), &[queue(200, 3)], NOW);
        let obstacle = gone.obstacle.unwrap();
        assert_eq!(obstacle.cause, Cause::ProcessLost);
        assert!(obstacle.headline.contains("no worker asks") && obstacle.headline.contains("3 wait"));
        let there = served("trip/1", "midwatch", &described(), &[queue(20, 0)], NOW);
        assert_eq!(there.obstacle, None);
        assert!(there.says[0].contains("1 workers ask"), "{:?}", there.says);
    }

    #[test]
    fn a_pending_activity_tells_how_it_failed_last() {
        let activity = Activity {
            of: Some(Named { name: "charge".to_owned() }),
            state: SCHEDULED,
            scheduled: Some(prost_types::Timestamp { seconds: 940, nanos: 0 }),
            last_failure: Some(super::super::wire::Failure { message: "down".to_owned() }),
            ..Activity::default()
        };
        let says = told(&activity, NOW);
        assert!(says.contains("charge waits for a worker for 1m") && says.ends_with("down"), "{says}");
    }
}
