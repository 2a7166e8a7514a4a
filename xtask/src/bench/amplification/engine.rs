//! The embedded engine as strategy: with its gates, and without.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use midwatch::{
    Context, Failure, GateOptions, Midwatch, RetryPolicy, StepContext, StepHttp as _, StepOptions, step_fn,
    workflow_fn,
};
use serde::{Deserialize, Serialize};

use super::{ATTEMPTS, Api, CALLS, Load, Outcome, Strategy};

/// What a call needs to know.
#[derive(Clone, Serialize, Deserialize)]
struct Call {
    url: String,
    run: usize,
    call: usize,
}

async fn call(cx: StepContext, api: Api, call: Call) -> Result<u32, Failure> {
    let (path, body) = super::client::request(api, call.run, call.call);
    cx.http().post(format!("{}{path}", call.url)).json(&body).send().await?.bytes().await?;
    Ok(cx.attempt())
}

/// Opens an engine whose workflow `calls` gives the highest number of an attempt that it took.
pub(super) async fn open(folder: &Path, strategy: Strategy, api: Api) -> anyhow::Result<Arc<Midwatch>> {
    let is_ours = strategy == Strategy::Ours;
    let options = move || StepOptions {
        target: Some("openai:gpt-4o".into()),
        retry: RetryPolicy::default().attempts(if is_ours { ATTEMPTS } else { 10_000 }),
        ..StepOptions::default()
    };
    let step = move |cx: StepContext, input: Call| call(cx, api, input);
    let calls = workflow_fn("calls", move |cx: Context, first: Call| async move {
        let mut most = 0;
        for call in 0..CALLS {
            let input = Call { call, ..first.clone() };
            most = most.max(cx.step(step_fn("call", step).with(options()), &input).await?);
        }
        Ok::<u32, Failure>(most)
    });
    let builder = Midwatch::embedded(folder.join("amplification.db"))
        .workflow(calls)
        .step(step_fn("call", step).with(options()))
        .drain(Duration::ZERO);
    let builder = if is_ours { builder } else { builder.gates(GateOptions::off()) };
    Ok(Arc::new(builder.open().await?))
}

/// Starts all runs at once and waits for their ends.
pub(super) async fn carry_out(midwatch: &Midwatch, load: &Load) -> anyhow::Result<Outcome> {
    let mut ends = FuturesUnordered::new();
    for run in 0..load.runs {
        let calls = workflow_fn("calls", |_: Context, _: Call| async { Ok::<u32, Failure>(0) });
        let input = Call { url: load.url.clone(), run, call: 0 };
        let handle = midwatch.start(calls, input).await.context("start a run")?;
        ends.push(async move { handle.result().await });
    }
    let (mut completed, mut failed) = (0, 0);
    let all = async {
        while let Some(end) = ends.next().await {
            match end {
                Ok(most) => {
                    completed += 1;
                    failed += usize::from(most > ATTEMPTS);
                }
                Err(_) => failed += 1,
            }
        }
    };
    let is_stopped = tokio::time::timeout(load.limit, all).await.is_err();
    Ok(Outcome { completed, failed, is_stopped })
}
