//! Calls that know nothing of each other, as most programs make them: again at once, or after a backoff of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use midwatch::{Class, Decision, Failure, Money, RetryPolicy, Timestamp, Tried};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{ATTEMPTS, Api, CALLS, Load, Outcome, Strategy};

/// Where a call goes, and with what.
pub(super) fn request(api: Api, run: usize, call: usize) -> (&'static str, Value) {
    match api {
        Api::Openai => {
            let content = format!("run {run}, call {call}");
            (
                "/v1/chat/completions",
                json!({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}),
            )
        }
        Api::Payments => {
            let reference = format!("{run}/{call}");
            ("/v1/effects/call", json!({"reference": reference}))
        }
    }
}

/// Makes all calls, those of one run one after another.
pub(super) async fn carry_out(strategy: Strategy, load: &Load) -> anyhow::Result<Outcome> {
    let client = reqwest::Client::builder().retry(reqwest::retry::never()).build()?;
    let (completed, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut runs = JoinSet::new();
    for run in 0..load.runs {
        let (client, url, api) = (client.clone(), load.url.clone(), load.api);
        let (completed, failed) = (Arc::clone(&completed), Arc::clone(&failed));
        runs.spawn(async move {
            let mut is_lost = false;
            for call in 0..CALLS {
                let attempts = persist(strategy, &client, &url, api, run, call).await;
                if attempts > ATTEMPTS && !std::mem::replace(&mut is_lost, true) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            completed.fetch_add(1, Ordering::Relaxed);
        });
    }
    let all = async { while runs.join_next().await.is_some() {} };
    let is_stopped = tokio::time::timeout(load.limit, all).await.is_err();
    runs.shutdown().await;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    Ok(Outcome { completed: count(&completed), failed: count(&failed), is_stopped })
}

/// Tries until it succeeds, and gives the number of attempts.
async fn persist(
    strategy: Strategy,
    client: &reqwest::Client,
    url: &str,
    api: Api,
    run: usize,
    call: usize,
) -> u32 {
    let (path, body) = request(api, run, call);
    let policy = RetryPolicy::default().attempts(u32::MAX);
    for attempt in 1.. {
        let sent = client.post(format!("{url}{path}")).json(&body).send().await;
        let failure = match sent {
            Ok(response) if response.status().is_success() => match response.bytes().await {
                Ok(_) => return attempt,
                Err(_) => Failure::new(Class::Connection, "cut"),
            },
            Ok(response) => {
                let mut failure = Failure::new(Class::Overloaded, "refused");
                failure.retry_after = retry_after(&response);
                failure
            }
            Err(_) => Failure::new(Class::Connection, "failed"),
        };
        if strategy == Strategy::PerCallBackoff {
            let tried = Tried {
                attempts: attempt,
                lost: 0,
                since: Timestamp::default(),
                cost: Money::ZERO,
                deadline: None,
            };
            let seed = (run * CALLS + call) as u64;
            if let Decision::Retry { delay, .. } = policy.decide(&tried, &failure, Timestamp::default(), seed)
            {
                tokio::time::sleep(delay).await;
            }
        }
    }
    u32::MAX
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok()?.parse::<f64>().ok();
    let seconds = header("retry-after-ms").map(|ms| ms / 1e3).or_else(|| header("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}
