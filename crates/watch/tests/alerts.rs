//! Alerts of a real journal, told to real receivers.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

mod place;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use midwatch_watch::alert::{Alerter, Plan, kept};
use midwatch_watch::{Options, Watch};
use midwatch_workflow::ParkReason;
use serde_json::Value;

use place::{Place, told};

const LIMIT: Duration = Duration::from_secs(60);

/// A server that takes what is posted, and refuses the first so many.
struct Hook {
    url: String,
    posted: Receiver<Value>,
    _runtime: tokio::runtime::Runtime,
}

impl Hook {
    fn refusing(count: u32) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, posted) = channel();
        let state = std::sync::Arc::new(std::sync::Mutex::new((sender, count)));
        let take = async |State(state): State<std::sync::Arc<std::sync::Mutex<_>>>, body: String| {
            let mut state: std::sync::MutexGuard<'_, (std::sync::mpsc::Sender<Value>, u32)> =
                state.lock().unwrap();
            if state.1 > 0 {
                state.1 -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            state.0.send(serde_json::from_str(&body).unwrap()).unwrap();
            StatusCode::OK
        };
        let app = Router::new().route("/s3cr3t", post(take)).with_state(state);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/s3cr3t", listener.local_addr().unwrap());
        runtime.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { url, posted, _runtime: runtime }
    }

    fn next(&self) -> Value {
        self.posted.recv_timeout(LIMIT).unwrap()
    }
}

fn watch(path: &Path, rules: &str) -> (Alerter, Watch) {
    let watch = Watch::start(path, Options { every: Duration::from_millis(20) }).unwrap();
    let alerter = Alerter::start(path, Plan::parse(rules).unwrap(), &watch).unwrap().unwrap();
    (alerter, watch)
}

fn parked(n: u64) -> midwatch_observe::corpus::Tale {
    told(n, Duration::from_secs(60), |tale| {
        tale.park("call_llm", ParkReason::Budget, "the budget is reached")
    })
}

fn rules(hook: &Hook) -> String {
    format!(
        "resolve_after = \"100ms\"\n[[receiver]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\n",
        hook.url
    )
}

#[test]
fn a_parked_run_is_told_with_its_verdict_once_over_a_restart_and_when_it_goes_on() {
    let place = Place::new();
    let journal = place.owner();
    let mut tale = parked(1);
    place.write(&journal, &tale);
    let hook = Hook::refusing(0);
    let (alerter, watching) = watch(place.path(), &rules(&hook));
    let first = hook.next();
    assert_eq!(
        (&first["state"], &first["rule"], &first["total"]),
        (&"firing".into(), &"parked".into(), &1.into())
    );
    let finding = &first["findings"][0];
    assert_eq!(finding["why"]["cause"], "parked_budget");
    let next = finding["next"].as_str().unwrap();
    let db = format!(" --db {}", place.path().display());
    assert!(next.starts_with("midwatch budget r_") && next.ends_with(&db), "{finding}");
    drop((alerter, watching));
    // Another process watches on; the run goes on while it does. Nobody hears again that it was parked.
    let (_alerter, watching) = watch(place.path(), &rules(&hook));
    let seen = watching.found().standing.unwrap().now;
    while watching.found().standing.unwrap().now == seen {
        std::thread::yield_now();
    }
    let op = tale.events.iter().rev().find_map(|event| event.kind.op()).unwrap();
    let before = tale.events.len();
    tale.push(midwatch_workflow::EventKind::Resolved {
        op,
        resolution: midwatch_workflow::Resolution::Fail,
        by: "ann".to_owned(),
    });
    tale.complete();
    place.write_from(&journal, &tale, before);
    let second = hook.next();
    assert_eq!((&second["state"], &second["rule"]), (&"resolved".into(), &"parked".into()));
    assert_eq!(second["findings"][0]["subject"], finding["subject"]);
}

#[test]
fn a_receiver_that_refuses_for_a_while_hears_of_it_in_the_end_and_only_once() {
    let place = Place::new();
    let journal = place.owner();
    (0..40).for_each(|n| place.write(&journal, &parked(n)));
    let hook = Hook::refusing(2);
    let (_alerter, _watch) = watch(place.path(), &rules(&hook));
    let told = hook.next();
    assert_eq!((&told["total"], &told["more"]), (&40.into(), &30.into()));
    assert_eq!(told["findings"].as_array().unwrap().len(), 10);
    // The next thing that it hears is another finding, not the same again.
    place.write(&journal, &parked(99));
    assert_eq!(hook.next()["total"], 1);
}

#[test]
fn a_command_takes_what_is_firing_on_its_stdin() {
    let place = Place::new();
    let journal = place.owner();
    place.write(&journal, &parked(1));
    let taken = place.folder().join("taken");
    let command = format!(
        "resolve_after = \"1s\"\n[[receiver]]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat > {0}.new && mv {0}.new {0}\"]\n",
        taken.display()
    );
    let (_alerter, watching) = watch(place.path(), &command);
    place::until(|| taken.exists().then_some(()));
    let text = std::fs::read_to_string(&taken).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["rule"], "parked");
    let count = || {
        let metrics = watching.found().metrics;
        let family = &midwatch_observe::metrics::family::NOTIFICATIONS;
        metrics.value(family, &["command", "accepted"]).cloned()
    };
    assert_eq!(place::until(count), midwatch_observe::metrics::Value::Counter(1));
}

#[test]
fn two_processes_that_watch_one_journal_do_not_tell_everything_twice() {
    let place = Place::new();
    drop(place.owner());
    let hook = Hook::refusing(0);
    let (alerter, watching) = watch(place.path(), &rules(&hook));
    let plan = Plan::parse(&rules(&hook)).unwrap();
    assert!(Alerter::start(place.path(), plan.clone(), &watching).unwrap().is_none());
    drop(alerter);
    assert!(Alerter::start(place.path(), plan, &watching).unwrap().is_some());
}

#[test]
fn no_address_is_kept_beside_the_journal_or_said_in_an_error() {
    let place = Place::new();
    let journal = place.owner();
    place.write(&journal, &parked(1));
    let hook = Hook::refusing(u32::MAX);
    let plan = Plan::parse(&rules(&hook)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcomes = runtime.block_on(midwatch_watch::alert::test(&plan.receivers, place.path()));
    assert_eq!(outcomes[0].answer, Err("HTTP 503".to_owned()));
    let nobody =
        Plan::parse("[[receiver]]\nkind = \"slack\"\nurl = \"http://127.0.0.1:1/s3cr3t\"\n").unwrap();
    let outcomes = runtime.block_on(midwatch_watch::alert::test(&nobody.receivers, place.path()));
    assert!(outcomes[0].answer.is_err());
    assert!(!format!("{outcomes:?} {plan:?} {nobody:?}").contains("s3cr3t"));
    let (_alerter, _watch) = watch(place.path(), &rules(&hook));
    place::until(|| kept(place.path()).unwrap());
    let text = std::fs::read_to_string(midwatch_watch::alert::path(place.path())).unwrap();
    assert!(!text.contains("s3cr3t") && text.contains("parked"), "{text}");
}
