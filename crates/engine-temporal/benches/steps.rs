//! What midwatch costs on Temporal: the same ten steps, asked for by a midwatch workflow and by a workflow written by hand
//! with the SDK, on one server in one run, in turns. Prints a table, or with `--json` one object.
//!
//! The server keeps its data on disk. The journal is a file, as it would be.

use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_conformance::measure::{Amount, Mishap, STEPS, compare};
use midwatch_engine_conformance::server::TemporalServer;
use midwatch_engine_temporal::{Options, Server, Temporal};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_workflow::{
    Context, Engine as _, NewRun, Payload, Registry, RunResult, StepContext, StepDefinition,
    WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, Url, WorkflowGetResultOptions, WorkflowStartOptions,
};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::runtime::RuntimeOptions;
use temporalio_sdk::{ActivityOptions, Runtime, Worker, WorkerOptions, WorkflowContext, WorkflowResult};

const QUEUE: &str = "by-hand";

fn main() -> Result<(), Mishap> {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has("--test") {
        return Ok(());
    }
    let amount = match has("--quick") {
        true => Amount { runs: 50, rounds: 2, lone: 10 },
        false => Amount { runs: 100, rounds: 5, lone: 20 },
    };
    let Some(server) = TemporalServer::start_on_disk(&[]) else { return Ok(()) };
    let url = server.url();
    // Workflows of the SDK stay on one thread, so its worker has one, as midwatch's has.
    let by_hand = url.clone();
    std::thread::spawn(move || work_by_hand(&by_hand));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let engine = open(&url, folder.path()).await?;
        let client = connect(&url).await?;
        let figures = compare("temporal", amount, |id| ours(&engine, id), |id| theirs(&client, id)).await?;
        engine.shut_down().await?;
        Ok::<_, Mishap>(figures)
    })?;
    say(&figures.told(has("--json")));
    // The worker by hand has no end of its own.
    drop(server);
    std::process::exit(0)
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

async fn open(url: &str, folder: &std::path::Path) -> Result<Temporal, Mishap> {
    let mut registry = Registry::default();
    let echo = || step_fn("echo", |_: StepContext, n: u32| async move { Ok(n + 1) });
    registry.add_step(StepDefinition::of(echo()));
    registry.add_workflow(WorkflowDefinition::of(workflow_fn(
        "ten-steps",
        move |cx: Context, mut n: u32| async move {
            for _ in 0..STEPS {
                n = cx.step(echo(), &n).await?;
            }
            Ok(n)
        },
    )));
    let journal = SqliteJournal::open(folder.join("journal.db"), Default::default())?;
    Ok(Temporal::open(Arc::new(journal), registry, Options::new(Server::at(url), "bench")).await?)
}

async fn ours(engine: &Temporal, id: String) -> Result<(), Mishap> {
    let new =
        NewRun { workflow_id: Some(WorkflowId::new(id)?), ..NewRun::new("ten-steps", Payload::of(&0)?) };
    let started = engine.start(new).await?;
    match engine.result(started.run).await? {
        RunResult::Completed(output) if output.as_str() == STEPS.to_string() => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

struct ByHand;

#[activities]
impl ByHand {
    #[activity]
    async fn echo(_cx: ActivityContext, n: u32) -> Result<u32, ActivityError> {
        Ok(n + 1)
    }
}

#[workflow]
#[derive(Default)]
struct TenSteps;

#[workflow_methods]
impl TenSteps {
    #[run]
    async fn run(cx: &mut WorkflowContext<Self>, mut n: u32) -> WorkflowResult<u32> {
        for _ in 0..STEPS {
            let options = ActivityOptions::start_to_close_timeout(Duration::from_secs(60));
            n = cx.execute_activity(ByHand::echo, n, options).await?;
        }
        Ok(n)
    }
}

fn work_by_hand(url: &str) -> Result<(), Mishap> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    tokio.block_on(async {
        let runtime = Runtime::from_current_tokio(RuntimeOptions::default())?;
        let options =
            WorkerOptions::new(QUEUE).register_activities(ByHand).register_workflow::<TenSteps>()?.build();
        Worker::new(&runtime, connect(url).await?, options)?.run().await?;
        Ok(())
    })
}

async fn connect(url: &str) -> Result<Client, Mishap> {
    let connection = Connection::connect(ConnectionOptions::new(url.parse::<Url>()?).build()).await?;
    Ok(Client::new(connection, ClientOptions::new("default").build())?)
}

async fn theirs(client: &Client, id: String) -> Result<(), Mishap> {
    let options = WorkflowStartOptions::new(QUEUE, format!("by-hand-{id}")).build();
    let run = client.start_workflow(TenSteps::run, 0, options).await?;
    match run.get_result(WorkflowGetResultOptions::default()).await? {
        STEPS => Ok(()),
        other => Err(format!("{other}").into()),
    }
}
