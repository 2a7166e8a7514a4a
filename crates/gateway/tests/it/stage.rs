//! A simulator, a gateway before it, and what both sides' books say.

use std::path::PathBuf;
use std::time::Duration;

use midwatch_gateway::{Config, Gateway, now};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Fold, Journal, RunQuery, RunSummary};
use midwatch_recorder::{Options, Recorder};
use midwatch_simulator::{Entry, Simulator};
use midwatch_workflow::{Charge, Ended, Event, EventKind, Failure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What upstreams are called with; it must turn up nowhere.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-0123456789abcdef";
/// What clients call the gateway with.
pub(crate) const CLIENT_KEY: &str = "mw-client-0123456789abcdef";

pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    folder: TempDir,
    recorder: Recorder,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<bool>>,
}

/// An attempt as the journal has it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) step: String,
    pub(crate) nth: u32,
    pub(crate) attempt: u32,
    pub(crate) failure: Option<Failure>,
    pub(crate) charges: Vec<Charge>,
}

/// Starts a gateway with these settings on top of the usual ones.
pub(crate) async fn start(settings: &str) -> Stage {
    let simulator = Simulator::builder().seed(7).start().await.unwrap();
    start_before(simulator, tempfile::tempdir().unwrap(), settings).await
}

async fn start_before(simulator: Simulator, folder: TempDir, settings: &str) -> Stage {
    let db = folder.path().join("gateway.db");
    let url = simulator.openai_url();
    let text = format!(
        "listen = \"127.0.0.1:0\"\n{settings}\n\
         [upstreams.openai]\nurl = \"{url}\"\nkey_env = \"UPSTREAM\"\n\
         [upstreams.anthropic]\nurl = \"{url}\"\ndialect = \"anthropic\"\nkey_env = \"UPSTREAM\"\n"
    );
    let environment = |name: &str| match name {
        "UPSTREAM" => Some(UPSTREAM_KEY.to_owned()),
        "CLIENT" => Some(CLIENT_KEY.to_owned()),
        _ => None,
    };
    let config = Config::read(&text, []).unwrap();
    let recorder = Recorder::open(&db, Options::new("gateway, test"), now()).unwrap();
    let gateway = Gateway::new(config, recorder.clone(), &db, environment).unwrap();
    let listener = gateway.listen().await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(gateway.serve(listener, async { drop(stopped.await) }));
    Stage { simulator, base, client: reqwest::Client::new(), folder, recorder, stop, serving }
}

impl Stage {
    pub(crate) fn db(&self) -> PathBuf {
        self.folder.path().join("gateway.db")
    }

    /// A chat completion that names a run.
    pub(crate) fn chat(&self, run: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/run/{run}/v1/chat/completions", self.base)).json(body)
    }

    /// Ends the gateway in good order and starts another one on the same journal.
    pub(crate) async fn restart(self, settings: &str) -> Stage {
        let Self { simulator, folder, recorder, stop, serving, .. } = self;
        drop(stop);
        assert!(serving.await.unwrap().unwrap(), "all calls had ended");
        recorder.close().unwrap();
        start_before(simulator, folder, settings).await
    }

    /// The runs, once all that was told is in the journal; each summary is what its events say.
    pub(crate) fn runs(&self) -> Vec<RunSummary> {
        self.recorder.flush().unwrap();
        self.recorder.tend(now() + Duration::from_secs(2));
        self.recorder.flush().unwrap();
        let journal = SqliteJournal::open_reader(self.db()).unwrap();
        let runs = journal.runs(&RunQuery::default()).unwrap();
        for run in &runs {
            let events = journal.events(run.run, 0).unwrap();
            assert_eq!(*run, Fold::of(&events).unwrap().summary);
        }
        runs
    }

    /// The run of this name.
    pub(crate) fn run(&self, name: &str) -> RunSummary {
        let found = self.runs().into_iter().find(|run| run.workflow_id.as_str() == name);
        found.unwrap_or_else(|| panic!("there is no run {name}"))
    }

    pub(crate) fn events(&self, run: &RunSummary) -> Vec<Event> {
        SqliteJournal::open_reader(self.db()).unwrap().events(run.run, 0).unwrap()
    }

    /// The attempts of a run that have ended.
    pub(crate) fn attempts(&self, name: &str) -> Vec<Attempt> {
        let run = self.run(name);
        let events = self.events(&run);
        let asked = |wanted| {
            events.iter().find_map(|event| match &event.kind {
                EventKind::AttemptScheduled(asked) if asked.op == wanted => Some(asked.clone()),
                _ => None,
            })
        };
        let ended = events.iter().filter_map(|event| match &event.kind {
            EventKind::AttemptEnded { op, result, charges } => {
                let asked = asked(*op)?;
                let failure = match result {
                    Ended::Ok(_) => None,
                    Ended::Failed(failure) => Some(failure.clone()),
                };
                let charges = charges.clone();
                Some(Attempt {
                    step: asked.step.to_string(),
                    nth: asked.nth,
                    attempt: asked.attempt,
                    failure,
                    charges,
                })
            }
            _ => None,
        });
        ended.collect()
    }

    /// The only attempt of a run.
    pub(crate) fn attempt(&self, name: &str) -> Attempt {
        let mut attempts = self.attempts(name);
        assert_eq!(attempts.len(), 1, "{attempts:?}");
        attempts.remove(0)
    }

    /// What the provider bills, once no call is under way there.
    pub(crate) async fn bills(&self) -> Vec<Entry> {
        assert!(self.simulator.ledger().settled(Duration::from_secs(10)).await);
        self.simulator.ledger().entries()
    }

    /// Waits until every attempt of a run has ended: a client that went away is noticed in a moment.
    pub(crate) async fn ended(&self, name: &str, attempts: u64) {
        for _ in 0..400 {
            let run = self.run(name);
            let open = self
                .events(&run)
                .iter()
                .filter(|event| matches!(event.kind, EventKind::AttemptEnded { .. }))
                .count();
            if open as u64 >= attempts {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{name}: the attempts do not end");
    }
}

pub(crate) fn hello(stream: bool) -> Value {
    json!({"model": "gpt-4o-mini", "max_tokens": 200, "stream": stream,
        "messages": [{"role": "user", "content": "hello"}]})
}

/// All tokens of charges.
pub(crate) fn tokens(charges: &[Charge]) -> u64 {
    charges.iter().map(|charge| charge.usage.tokens()).sum()
}

/// All tokens on a bill.
pub(crate) fn billed(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.billed.input + entry.billed.output).sum()
}
