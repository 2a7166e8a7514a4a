//! What a step logs says whose it is.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

use std::sync::{Arc, Mutex};

use midwatch::{Class, Context, Failure, Midwatch, StepContext, step, workflow};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn of(&self, message: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"] == message).collect()
    }
}

/// What a library knows nothing of midwatch would log.
async fn deep_inside() {
    tokio::task::yield_now().await;
    tracing::warn!(latency_ms = 320, "provider is slow");
}

#[step]
async fn call(cx: StepContext, _: ()) -> Result<String, Failure> {
    deep_inside().await;
    if cx.attempt() == 1 {
        return Err(Failure::new(Class::Lost, "at once again"));
    }
    Ok(cx.traceparent())
}

#[workflow]
async fn logs(cx: Context, _: ()) -> Result<String, Failure> {
    cx.step(call, &()).await
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_step_logs_anywhere_carries_run_step_attempt_and_trace() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(midwatch::logs::json(lines.clone()));
    let _guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let builder = Midwatch::embedded(folder.path().join("midwatch.db")).workflow(logs).step(call);
    let midwatch = builder.open().await.unwrap();
    tracing::info!("outside");
    let run = midwatch.start(logs, ()).id("order-42").await.unwrap();
    let traceparent = run.result().await.unwrap();
    midwatch.shut_down().await;
    let slow = lines.of("provider is slow");
    assert_eq!(slow.len(), 2, "one for each attempt");
    for (line, attempt) in slow.iter().zip(1..) {
        assert_eq!((&line["level"], &line["latency_ms"]), (&"WARN".into(), &320.into()));
        assert_eq!((&line["step"], &line["attempt"]), (&"call".into(), &attempt.into()));
        assert_eq!((&line["workflow_id"], &line["run"]), (&"order-42".into(), &run.id().to_string().into()));
    }
    let ids =
        format!("00-{}-{}-01", slow[1]["trace_id"].as_str().unwrap(), slow[1]["span_id"].as_str().unwrap());
    assert_eq!(ids, traceparent, "the ids of the trace, as the attempt sends them along");
    assert_eq!(lines.of("outside")[0].get("run"), None);
}
