//! What midwatch costs on Restate: the same ten steps, asked for by a midwatch workflow and by a handler written by hand
//! with the SDK, on one server in one run, in turns. Prints a table, or with `--json` one object.
//!
//! Both are started with the ingress's `send` and awaited with its `attach`. The journal is a file, as it would be.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use midwatch_engine_conformance::measure::{Amount, Mishap, STEPS, compare};
use midwatch_engine_conformance::server::RestateServer;
use midwatch_engine_restate::{Options, Restate};
use midwatch_journal::spool::SpooledJournal;
use midwatch_journal::sqlite::{self, SqliteJournal};
use midwatch_workflow::{
    Context, Engine as _, NewRun, Payload, Registry, RunResult, StepContext, StepDefinition,
    WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};
use restate_sdk::context::RunFuture as _;
use restate_sdk::discovery as d;
use restate_sdk::endpoint::{self, ContextInternal, Endpoint};
use restate_sdk::hyper::HyperEndpoint;
use restate_sdk::serde::Json;
use restate_sdk::service::{Service, macro_support};

type Http = Client<HttpConnector, Full<Bytes>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Mishap> {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has("--test") {
        return Ok(());
    }
    let amount = match has("--quick") {
        true => Amount { runs: 100, rounds: 2, lone: 50 },
        false => Amount { runs: 300, rounds: 5, lone: 50 },
    };
    let Some(server) = RestateServer::start() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let engine = open(&server, folder.path()).await?;
    let http = by_hand(&server).await?;
    let by_hand = |id| theirs(&http, server.ingress(), id);
    let figures = compare("restate", amount, |id| ours(&engine, id), by_hand).await?;
    engine.shut_down().await;
    say(&figures.told(has("--json")));
    Ok(())
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

async fn open(server: &RestateServer, folder: &std::path::Path) -> Result<Restate, Mishap> {
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
    let options = Options { ingress: server.ingress(), admin: server.admin(), ..Options::new("bench") };
    // As the front door opens it.
    let kept = sqlite::Options { patience: Options::JOURNAL_PATIENCE, ..Default::default() };
    let path = folder.join("journal.db");
    let journal = SpooledJournal::over(Arc::new(SqliteJournal::open(&path, kept)?), &path)?;
    Ok(Restate::open(Arc::new(journal), registry, options).await?)
}

async fn ours(engine: &Restate, id: String) -> Result<(), Mishap> {
    let new =
        NewRun { workflow_id: Some(WorkflowId::new(id)?), ..NewRun::new("ten-steps", Payload::of(&0)?) };
    let started = engine.start(new).await?;
    match engine.result(started.run).await? {
        RunResult::Completed(output) if output.as_str() == STEPS.to_string() => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// The same by hand: a handler with ten `run`s, behind the SDK's endpoint on a listener without Nagle's delay.
async fn by_hand(server: &RestateServer) -> Result<Http, Mishap> {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let uri = format!("http://{}", listener.local_addr()?);
    let endpoint = HyperEndpoint::new(
        Endpoint::builder().bind(macro_support::service_definition(ByHand, service()?)).build(),
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = http.serve_connection(TokioIo::new(stream), endpoint).await;
            });
        }
    });
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http = Client::builder(TokioExecutor::new()).build(connector);
    ask(
        &http,
        "POST",
        format!("{}/deployments", server.admin()),
        serde_json::json!({ "uri": uri }).to_string(),
    )
    .await?;
    Ok(http)
}

struct ByHand;

impl Service for ByHand {
    type Future = BoxFuture<'static, Result<(), endpoint::Error>>;

    fn handle(&self, cx: ContextInternal) -> Self::Future {
        Box::pin(async move {
            let (Json(mut n), _) = cx.input::<Json<u32>>().await;
            let mut failed = None;
            for _ in 0..STEPS {
                match cx.run(move || async move { Ok(Json(n + 1)) }).name("echo").await {
                    Ok(Json(next)) => n = next,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            cx.handle_handler_result(failed.map_or(Ok(Json(n)), |error| Err(error.into())));
            cx.end();
            Ok(())
        })
    }
}

fn service() -> Result<d::Service, Mishap> {
    let handler = d::Handler {
        abort_timeout: None,
        documentation: None,
        enable_lazy_state: None,
        idempotency_retention: None,
        inactivity_timeout: None,
        ingress_private: None,
        input: Some(d::InputPayload::from_metadata::<Json<u32>>()),
        journal_retention: None,
        metadata: HashMap::default(),
        name: d::HandlerName::try_from("run")?,
        output: Some(d::OutputPayload::from_metadata::<Json<u32>>()),
        retry_policy_exponentiation_factor: None,
        retry_policy_initial_interval: None,
        retry_policy_max_attempts: None,
        retry_policy_max_interval: None,
        retry_policy_on_max_attempts: None,
        ty: Some(d::HandlerType::Workflow),
        workflow_completion_retention: None,
    };
    Ok(d::Service {
        abort_timeout: None,
        documentation: None,
        enable_lazy_state: None,
        handlers: vec![handler],
        idempotency_retention: None,
        inactivity_timeout: None,
        ingress_private: None,
        journal_retention: None,
        metadata: HashMap::default(),
        name: d::ServiceName::try_from("by-hand")?,
        retry_policy_exponentiation_factor: None,
        retry_policy_initial_interval: None,
        retry_policy_max_attempts: None,
        retry_policy_max_interval: None,
        retry_policy_on_max_attempts: None,
        ty: d::ServiceType::Workflow,
    })
}

async fn theirs(http: &Http, ingress: String, id: String) -> Result<(), Mishap> {
    ask(http, "POST", format!("{ingress}/by-hand/{id}/run/send"), "0".to_owned()).await?;
    let output =
        ask(http, "GET", format!("{ingress}/restate/workflow/by-hand/{id}/attach"), String::new()).await?;
    if output == STEPS.to_string() { Ok(()) } else { Err(output.into()) }
}

async fn ask(http: &Http, method: &str, uri: String, body: String) -> Result<String, Mishap> {
    let mut request = http::Request::builder().method(method).uri(&uri);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let response = http.request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = response.status();
    let text = String::from_utf8(response.into_body().collect().await?.to_bytes().into())?;
    if status.is_success() { Ok(text) } else { Err(format!("{status} at {uri}: {text}").into()) }
}
