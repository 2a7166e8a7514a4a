//! `GET /metrics`.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::render::{Format, render};
use crate::watch::{Found, Watch};

impl Watch {
    /// The routes, to be served alone or merged with others: `/metrics`.
    pub fn router(&self) -> Router {
        Router::new().route("/metrics", get(page)).with_state(Arc::clone(&self.found))
    }
}

async fn page(State(found): State<Arc<RwLock<Found>>>, headers: HeaderMap) -> Response {
    let found = found.read().unwrap_or_else(PoisonError::into_inner).clone();
    if found.is_stale() {
        let seconds = found.at.elapsed().as_secs();
        let says = format!("the journal was last read {seconds} s ago: the watcher hangs\n");
        return (StatusCode::SERVICE_UNAVAILABLE, says).into_response();
    }
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    match render(&found.metrics, format) {
        Ok(page) => ([(CONTENT_TYPE, format.content_type())], page).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n").into_response(),
    }
}
