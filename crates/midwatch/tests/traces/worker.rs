//! A workflow that meets trouble, and a process of its own that carries it out and can be killed.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use midwatch::{
    Backoff, Charge, Class, Context, EmbeddedBuilder, Failure, Midwatch, Money, Otlp, RetryPolicy,
    StepContext, Usage, step, workflow,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Errand {
    /// Whether the first attempt at the last step never ends.
    pub(crate) hangs: bool,
}

fn soon() -> RetryPolicy {
    RetryPolicy::default().backoff(Backoff::Fixed(Duration::from_millis(10)))
}

#[step(target = "openai:gpt-4o", retry = soon())]
async fn think(cx: StepContext, _: ()) -> Result<(), Failure> {
    cx.charge(Charge {
        target: "openai:gpt-4o".to_owned(),
        usage: Usage { calls: 1, input: 1_000, output: 100, ..Usage::default() },
        cost: Some(Money::from_cents(1)),
        ..Charge::default()
    });
    match cx.attempt() {
        1 => Err(Failure::new(Class::RateLimited, "slow down").status(429)),
        _ => Ok(()),
    }
}

#[step]
async fn look(_cx: StepContext, _: ()) -> Result<(), Failure> {
    Ok(())
}

#[step(timeout = "1h")]
async fn carry(cx: StepContext, errand: Errand) -> Result<(), Failure> {
    if errand.hangs && cx.attempt() == 1 {
        std::future::pending::<()>().await;
    }
    Ok(())
}

#[workflow]
async fn part(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(look, &()).await
}

#[workflow]
pub(crate) async fn errand(cx: Context, errand: Errand) -> Result<(), Failure> {
    cx.step(think, &()).await?;
    cx.child(part, &()).await?;
    cx.sleep(Duration::from_millis(20)).await?;
    cx.step(carry, &errand).await
}

pub(crate) fn register(builder: EmbeddedBuilder) -> EmbeddedBuilder {
    builder.workflow(errand).workflow(part).step(think).step(look).step(carry)
}

/// A process that carries an errand out.
pub(crate) struct Worker(Child);

impl Worker {
    /// Starts this test program once more, as [`worker`].
    pub(crate) fn start(path: &Path, url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "worker::worker", "--ignored", "--nocapture"]);
        command.env("WORKER_DB", path).env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
        Self(command.spawn().unwrap())
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn wait(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that other tests start and kill"]
async fn worker() {
    let Some(path) = std::env::var_os("WORKER_DB") else { return };
    let builder = register(Midwatch::embedded(path)).traces(Otlp::from_env().unwrap());
    let midwatch = builder.open().await.unwrap();
    let run = midwatch.start(errand, Errand { hangs: true }).id("errand-1").await.unwrap();
    run.result().await.unwrap();
    midwatch.shut_down().await;
}
