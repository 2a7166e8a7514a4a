//! Calls through the gateway that do not come to their end: their run is cancelled, or their process dies.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::StreamExt as _;
use midwatch::{
    Certainty, Charge, Class, Context, Ended, Failure, GatewayOptions, Midwatch, Money, RunError, RunId,
    StepContext, StepGateway, step, workflow,
};
use midwatch_books::{balance, billed, booked};
use midwatch_journal::Journal;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_simulator::{Cue, Fault, Reply, Simulator};
use midwatch_workflow::{Event, EventKind};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::body;

/// Where clients say what they see.
static SEEN: OnceLock<UnboundedSender<(u16, String)>> = OnceLock::new();

/// Asks by a task of its own, which outlives the attempt: nobody but the gateway can end what it waits for.
#[step(timeout = "10m", attempts = 1)]
async fn leaves_its_client_behind(cx: StepContext, stream: bool) -> Result<(), Failure> {
    let url = format!("{}/chat/completions", cx.llm_base_url("openai")?);
    let client = tokio::spawn(async move {
        let answer = reqwest::Client::new().post(url).json(&body(stream)).send().await.unwrap();
        let status = answer.status().as_u16();
        let mut chunks = answer.bytes_stream();
        let mut text = Vec::new();
        while let Some(chunk) = chunks.next().await {
            text.extend_from_slice(&chunk.unwrap());
            SEEN.get().unwrap().send((status, String::from_utf8_lossy(&text).into_owned())).unwrap();
        }
    });
    client.await.unwrap();
    Ok(())
}

#[step(timeout = "10m", attempts = 2)]
async fn asks_patiently(cx: StepContext, stream: bool) -> Result<(), Failure> {
    let url = format!("{}/chat/completions", cx.llm_base_url("openai")?);
    let asked = async {
        let answer = reqwest::Client::new().post(url).json(&body(stream)).send().await?;
        answer.error_for_status()?.text().await
    };
    asked.await.map(drop).map_err(|error| cx.llm_failure(error))
}

#[workflow]
async fn waits(cx: Context, (step, stream): (String, bool)) -> Result<(), Failure> {
    match step.as_str() {
        "left" => cx.step(leaves_its_client_behind, &stream).await,
        _ => cx.step(asks_patiently, &stream).await,
    }
}

/// A provider that takes its time with two answers.
async fn slow(token_ms: u64) -> Simulator {
    let long = Cue::anywhere().reply(Reply::text("bell ".repeat(100))).times(2);
    let slow = Cue::anywhere().fault(Fault::SlowTokens { token_ms }).times(2);
    Simulator::builder().seed(7).script([long, slow]).start().await.unwrap()
}

async fn open(path: &Path, url: &str) -> Midwatch {
    let options = GatewayOptions::default().upstream("openai", url);
    let builder = Midwatch::embedded(path).workflow(waits).gateway(options);
    builder.step(leaves_its_client_behind).step(asks_patiently).open().await.unwrap()
}

fn events(path: &Path, run: RunId) -> Vec<Event> {
    SqliteJournal::open_reader(path).unwrap().events(run, 0).unwrap()
}

/// The ends of a run's attempts: the class of each failure, and what was booked.
fn ends(events: &[Event]) -> Vec<(Option<Class>, Vec<Charge>)> {
    let end = |event: &Event| match &event.kind {
        EventKind::AttemptEnded { result, charges, .. } => match result {
            Ended::Ok(_) => Some((None, charges.clone())),
            Ended::Failed(failure) => Some((Some(failure.class), charges.clone())),
        },
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

async fn are_at_work(simulator: &Simulator, calls: u64) {
    while simulator.ledger().summary().requests < calls {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_cancelled_run_cuts_its_calls_also_those_that_its_step_left_to_others() {
    let (sender, mut seen) = unbounded_channel();
    SEEN.set(sender).unwrap();
    let (simulator, folder) = (slow(60).await, tempfile::tempdir().unwrap());
    let path = folder.path().join("midwatch.db");
    let midwatch = open(&path, &simulator.openai_url()).await;
    for (calls, stream, status, certainty) in
        [(1, true, 200, Certainty::Estimated), (2, false, 410, Certainty::Bound)]
    {
        let run = midwatch.start(waits, ("left".to_owned(), stream)).await.unwrap();
        are_at_work(&simulator, calls).await;
        if stream {
            assert_eq!(seen.recv().await.unwrap().0, 200);
        }
        run.cancel("it loops").await.unwrap();
        let Err(RunError::Failed { failure, .. }) = run.result().await else { panic!("it was cancelled") };
        assert_eq!(failure.class, Class::Cancelled);
        let last = async {
            loop {
                let (status, text) = seen.recv().await.unwrap();
                if text.contains("attempt_over") {
                    return status;
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), last).await.unwrap(), status);
        assert!(simulator.ledger().settled(Duration::from_secs(20)).await);
        let entry = simulator.ledger().entries().pop().unwrap();
        assert!(entry.client_gone, "the provider's connection is dropped: {entry:?}");
        let ends = ends(&events(&path, run.id()));
        let [(Some(Class::Cancelled), charges)] = &ends[..] else { panic!("{ends:?}") };
        assert_eq!(charges.iter().map(|charge| charge.certainty).collect::<Vec<_>>(), [certainty]);
    }
    midwatch.shut_down().await;
}

/// A process that asks, whole and streamed, and waits for answers.
struct Worker(Child);

impl Worker {
    /// Starts this test program once more, as [`worker`].
    fn start(path: &Path, simulator: &Simulator) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cut::worker", "--ignored", "--nocapture"]);
        command.env("WORKER_DB", path).env("WORKER_UPSTREAM", simulator.openai_url());
        Self(command.spawn().unwrap())
    }

    /// As `kill -9` does.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that another test starts and kills"]
async fn worker() {
    let Some(path) = std::env::var_os("WORKER_DB").map(PathBuf::from) else { return };
    let midwatch = open(&path, &std::env::var("WORKER_UPSTREAM").unwrap()).await;
    let start = |id, stream| midwatch.start(waits, ("stays".to_owned(), stream)).id(id);
    let (whole, streamed) = (start("whole", false).await.unwrap(), start("streamed", true).await.unwrap());
    drop(tokio::join!(whole.result(), streamed.result()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_attempt_leaves_what_its_calls_may_have_used_and_the_next_one_asks_again() {
    let (simulator, folder) = (slow(40).await, tempfile::tempdir().unwrap());
    let path = folder.path().join("midwatch.db");
    let mut worker = Worker::start(&path, &simulator);
    are_at_work(&simulator, 2).await;
    worker.kill();
    assert!(simulator.ledger().settled(Duration::from_secs(20)).await);

    let midwatch = open(&path, &simulator.openai_url()).await;
    let mut ours = HashMap::new();
    for (id, stream) in [("whole", false), ("streamed", true)] {
        let run = midwatch.start(waits, ("stays".to_owned(), stream)).id(id).await.unwrap();
        assert!(!run.is_new());
        run.result().await.unwrap();
        let events = events(&path, run.id());
        let ends = ends(&events);
        let [(Some(Class::Lost), lost), (None, asked)] = &ends[..] else { panic!("{id}: {ends:?}") };
        let [bound] = &lost[..] else { panic!("{id}: {lost:?}") };
        assert_eq!((bound.certainty, bound.usage.output), (Certainty::Bound, 200), "as its body allows");
        assert!(bound.usage.input > 0 && bound.cost.is_some(), "{bound:?}");
        assert!(asked.iter().all(|charge| charge.certainty == Certainty::Exact), "{asked:?}");
        ours.extend(booked(run.id(), &events));
    }
    midwatch.shut_down().await;
    assert!(simulator.ledger().settled(Duration::from_secs(10)).await);
    // At the prices of `gpt-4o-mini`.
    let bill = billed(&simulator.ledger().entries(), |entry| {
        Money::from_picos(entry.billed.input * 150_000 + entry.billed.output * 600_000)
    });
    let balance = balance(&ours, &bill);
    assert_eq!(balance.disagreements, [""; 0]);
    assert_eq!((balance.booked.attempts, balance.unknown.attempts), (2, 2), "{balance:?}");
    assert!(balance.billed_unknown.tokens > 0, "{balance:?}");
}
