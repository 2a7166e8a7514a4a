//! The receiver layer in front of a real server.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::{Router, routing::post};
use midwatch::receiver::{Idempotency, OnUnknown};
use tokio::sync::Notify;

/// A service that counts its effects, and can be held in the middle of one.
struct Service {
    url: String,
    effects: Arc<AtomicU32>,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
    server: tokio::task::JoinHandle<()>,
}

impl Service {
    async fn start(idempotency: Idempotency) -> Self {
        let effects = Arc::new(AtomicU32::new(0));
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let count = |effects: &Arc<AtomicU32>| {
            let effects = Arc::clone(effects);
            move || async move { format!("charge {}", effects.fetch_add(1, Ordering::SeqCst) + 1) }
        };
        let held = {
            let (effects, begun, go_on) = (Arc::clone(&effects), Arc::clone(&begun), Arc::clone(&go_on));
            move || async move {
                begun.notify_one();
                go_on.notified().await;
                effects.fetch_add(1, Ordering::SeqCst);
                "done"
            }
        };
        let router = Router::new()
            .route("/charges", post(count(&effects)))
            .route("/held", post(held))
            .route("/busy", post(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/broken", post(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .route("/large", post(|| async { "x".repeat(5000) }))
            .layer(idempotency);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, effects, begun, go_on, server }
    }

    async fn post(&self, path: &str, key: &str, body: &str) -> (u16, bool, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request =
            reqwest::Client::new().post(format!("{}{path}", self.url)).header("Idempotency-Key", key);
        let response = request.body(body.to_owned()).send().await.unwrap();
        let is_replay = response.headers().contains_key("idempotent-replayed");
        (response.status().as_u16(), is_replay, response.text().await.unwrap())
    }

    fn effects(&self) -> u32 {
        self.effects.load(Ordering::SeqCst)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn open(folder: &tempfile::TempDir) -> Idempotency {
    Idempotency::open(folder.path().join("receipts.db"), Duration::from_secs(3600)).unwrap()
}

#[tokio::test]
async fn a_repeat_gets_the_stored_answer_and_no_second_effect() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(open(&folder)).await;
    assert_eq!(service.post("/charges", "k", "a").await, (200, false, "charge 1".into()));
    assert_eq!(service.post("/charges", "k", "a").await, (200, true, "charge 1".into()));
    assert_eq!(service.post("/charges", "k2", "a").await, (200, false, "charge 2".into()));
    assert_eq!(service.effects(), 2);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(open(&folder)).await;
    service.post("/charges", "k", "a").await;
    assert_eq!(service.post("/charges", "k", "b").await.0, 422);
    assert_eq!(service.effects(), 1);
}

#[tokio::test]
async fn a_repeat_during_the_first_request_gets_409() {
    let folder = tempfile::tempdir().unwrap();
    let service = Arc::new(Service::start(open(&folder)).await);
    let first = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.post("/held", "k", "a").await }
    });
    service.begun.notified().await;
    assert_eq!(service.post("/held", "k", "a").await.0, 409);
    service.go_on.notify_one();
    assert_eq!(first.await.unwrap().0, 200);
    assert_eq!(service.post("/held", "k", "a").await, (200, true, "done".into()));
}

#[tokio::test]
async fn a_client_that_leaves_does_not_leave_the_effect_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let service = Arc::new(Service::start(open(&folder)).await);
    let first = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.post("/held", "k", "a").await }
    });
    service.begun.notified().await;
    first.abort();
    let _ = first.await;
    service.go_on.notify_one();
    let answer = loop {
        let answer = service.post("/held", "k", "a").await;
        if answer.0 != 409 {
            break answer;
        }
    };
    assert_eq!((answer, service.effects()), ((200, true, "done".into()), 1));
}

#[tokio::test]
async fn a_request_that_was_turned_away_may_come_again_and_an_error_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(open(&folder)).await;
    assert!(!service.post("/busy", "k", "a").await.1);
    assert!(!service.post("/busy", "k", "a").await.1);
    assert!(!service.post("/broken", "k2", "a").await.1);
    assert_eq!(service.post("/broken", "k2", "a").await, (500, true, String::new()));
}

#[tokio::test]
async fn a_request_cut_off_by_the_death_of_the_process_is_refused_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = folder.path().join("receipts.db");
    let dying = Arc::new(Service::start(open(&folder)).await);
    let request = tokio::spawn({
        let dying = Arc::clone(&dying);
        async move { dying.post("/held", "k", "a").await }
    });
    dying.begun.notified().await;
    // What is on disk now is what the next process finds.
    let copied = folder.path().join("copy.db");
    for end in ["", "-wal"] {
        let from = format!("{}{end}", receipts.display());
        std::fs::copy(from, format!("{}{end}", copied.display())).unwrap();
    }
    request.abort();
    let next = Idempotency::open(&copied, Duration::from_secs(3600)).unwrap();
    let careful = Service::start(next.clone().on_unknown(OnUnknown::Refuse)).await;
    let (status, is_replay, body) = careful.post("/held", "k", "a").await;
    assert_eq!((status, is_replay), (500, true), "{body}");
    let bold = Arc::new(Service::start(next.on_unknown(OnUnknown::RunAgain)).await);
    bold.go_on.notify_one();
    assert_eq!(bold.post("/held", "k", "a").await, (200, false, "done".into()));
}

#[tokio::test]
async fn bodies_over_the_limits_are_refused_or_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(open(&folder).request_bytes_max(10).answer_bytes_max(100)).await;
    assert_eq!(service.post("/charges", "k", &"x".repeat(11)).await.0, 413);
    assert_eq!(service.post("/large", "k2", "a").await.2.len(), 5000);
    assert_eq!(service.post("/large", "k2", "a").await.0, 500);
}
