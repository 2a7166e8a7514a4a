//! Which path leads where.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::admin;
use crate::connection::Line;
use crate::endpoint::Endpoint;
use crate::exchange::exchange;
use crate::request::Arrived;
use crate::world::World;

/// The largest body that is read.
const BODY_MAX: usize = 32 << 20;

pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/v1/chat/completions", model(Endpoint::ChatCompletions))
        .route("/v1/responses", model(Endpoint::Responses))
        .route("/v1/embeddings", model(Endpoint::Embeddings))
        .route("/v1/messages", model(Endpoint::Messages))
        .route("/v1/charges", effect(Endpoint::Charges, "charge"))
        .route("/v1/charges/{id}", object(Endpoint::Charges, "charge"))
        .route("/v1/refunds", effect(Endpoint::Refunds, "refund"))
        .route("/v1/refunds/{id}", object(Endpoint::Refunds, "refund"))
        .route("/v1/effects/{kind}", post(do_effect).get(list_effects))
        .route("/v1/effects/{kind}/{id}", get(show_effect))
        .merge(admin::router())
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(world)
}

type Shared = State<Arc<World>>;
type Connection = ConnectInfo<Line>;

fn model(endpoint: Endpoint) -> MethodRouter<Arc<World>> {
    post(async move |State(world): Shared, ConnectInfo(line): Connection, headers: HeaderMap, body: Bytes| {
        let request = Arrived::post(world.config.seed, endpoint, None, &headers, body);
        exchange(world, line, request).await
    })
}

fn effect(endpoint: Endpoint, kind: &'static str) -> MethodRouter<Arc<World>> {
    post(async move |State(world): Shared, ConnectInfo(line): Connection, headers: HeaderMap, body: Bytes| {
        let request = Arrived::post(world.config.seed, endpoint, Some(kind), &headers, body);
        exchange(world, line, request).await
    })
    .get(async move |State(world): Shared, ConnectInfo(line): Connection, headers: HeaderMap| {
        let request = Arrived::get(world.config.seed, endpoint, kind, None, &headers);
        exchange(world, line, request).await
    })
}

fn object(endpoint: Endpoint, kind: &'static str) -> MethodRouter<Arc<World>> {
    get(
        async move |State(world): Shared,
                    ConnectInfo(line): Connection,
                    Path(id): Path<String>,
                    headers: HeaderMap| {
            let request = Arrived::get(world.config.seed, endpoint, kind, Some(id), &headers);
            exchange(world, line, request).await
        },
    )
}

/// A path that no provider here has: most often a base URL with one `/v1` too many or too few.
async fn unknown(uri: Uri) -> (StatusCode, Json<Value>) {
    let message = format!("the simulator plays nothing at {}", uri.path());
    (StatusCode::NOT_FOUND, Json(json!({"error": {"type": "invalid_request_error", "message": message}})))
}

async fn do_effect(
    State(world): Shared,
    ConnectInfo(line): Connection,
    Path(kind): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = Arrived::post(world.config.seed, Endpoint::Effects, Some(&kind), &headers, body);
    exchange(world, line, request).await
}

async fn list_effects(
    State(world): Shared,
    ConnectInfo(line): Connection,
    Path(kind): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let request = Arrived::get(world.config.seed, Endpoint::Effects, &kind, None, &headers);
    exchange(world, line, request).await
}

async fn show_effect(
    State(world): Shared,
    ConnectInfo(line): Connection,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    let request = Arrived::get(world.config.seed, Endpoint::Effects, &kind, Some(id), &headers);
    exchange(world, line, request).await
}
