//! A server behind what ends its TLS: reached as Temporal's own settings say, and refused by name if it is not trusted.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use midwatch_engine_conformance::server::{Authority, Inside, TemporalServer};
use midwatch_engine_temporal::{Options, Server, Temporal};
use midwatch_journal::memory::MemoryJournal;
use midwatch_workflow::{
    Context, Engine, Failure, NewRun, Payload, Registry, StepContext, StepDefinition, WorkflowDefinition,
    step_fn, workflow_fn,
};

/// Where the program below writes what came of its run, or why it could not open.
const SAYS: &str = "MIDWATCH_TEST_SAYS";

/// Not a test: a program of its own, since settings come from its environment.
#[test]
#[ignore = "started by the test that sets its environment"]
fn program() {
    let Some(says) = std::env::var_os(SAYS) else { return };
    let echo = || step_fn("echo", |_: StepContext, text: String| async move { Ok::<_, Failure>(text) });
    let mut registry = Registry::default();
    registry.add_step(StepDefinition::of(echo()));
    let greeting = workflow_fn("greeting", move |cx: Context, name: String| async move {
        cx.step(echo(), &format!("good night, {name}")).await
    });
    registry.add_workflow(WorkflowDefinition::of(greeting));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let told = runtime.block_on(async {
        let options = Options::new(Server::Configured, "worker");
        let engine = match Temporal::open(Arc::new(MemoryJournal::new()), registry, options).await {
            Ok(engine) => engine,
            Err(error) => return error.to_string(),
        };
        let new = NewRun::new("greeting", Payload::of(&"ann").expect("JSON"));
        let run = engine.start(new).await.expect("a run").run;
        let result = engine.result(run).await.expect("an end");
        engine.shut_down().await.expect("a clean end");
        format!("{result:?}")
    });
    std::fs::write(says, told).expect("a note");
}

fn told(folder: &Path, environment: &[(&str, &str)]) -> String {
    let says = folder.join("says");
    let program = std::env::current_exe().expect("this program");
    let mut program = Command::new(program);
    program.args(["tls::program", "--exact", "--ignored"]).current_dir(folder).env(SAYS, &says);
    let output = program.envs(environment.iter().copied()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::read_to_string(says).expect("what it says")
}

#[test]
fn a_worker_reaches_a_server_over_tls_that_it_trusts_and_that_trusts_it() {
    let Some(server) = TemporalServer::start(&[]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    ours.write(&file("ours.pem"));
    other.write(&file("other.pem"));
    ours.write_client(&file("client.pem"), &file("client.key"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let address = runtime.block_on(ours.end_tls(server.socket(), Inside::Grpc, Some(&ours))).to_string();
    let at = ("TEMPORAL_ADDRESS", address.as_str());
    let trusts = |file| ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", file);
    let client =
        [("TEMPORAL_TLS_CLIENT_CERT_PATH", "client.pem"), ("TEMPORAL_TLS_CLIENT_KEY_PATH", "client.key")];
    let known = told(folder.path(), &[at, trusts("ours.pem"), client[0], client[1]]);
    assert!(known.contains("good night, ann"), "{known}");
    let untrusted = told(folder.path(), &[at, trusts("other.pem"), client[0], client[1]]);
    for part in ["[MW0107] Temporal was not reached at", &address, "UnknownIssuer", trusts("").0] {
        assert!(untrusted.contains(part), "{part} in {untrusted}");
    }
    let nobody = told(folder.path(), &[at, trusts("ours.pem")]);
    for part in ["[MW0107] Temporal was not reached at", &address, client[0].0] {
        assert!(nobody.contains(part), "{part} in {nobody}");
    }
}
