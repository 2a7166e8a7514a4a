//! The same as JSON, for programs: versioned, described by OpenAPI, and with a page that tells it.
//!
//! Times are microseconds since 1970 (UTC), amounts are pico-dollars. Fields may be added. What is hidden on a page is
//! hidden here.

mod asked;
mod docs;
mod events;
mod journal;
mod read;
mod shape;
mod steer;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Json, Router};
use utoipa::OpenApi;

pub(crate) use docs::docs;

use crate::app::App;

/// The version of the interface, as it stands in addresses. Fields and addresses are added within a version; what is there
/// stays as it is.
pub(crate) const VERSION: u32 = 1;

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "midwatch",
        description = "The journal of durable runs, and orders to them. Times are microseconds since 1970 (UTC), amounts \
                       are pico-dollars (10⁻¹² USD). Fields may be added within a version."
    ),
    paths(
        read::runs,
        read::run,
        read::why,
        events::events,
        events::all_events,
        events::position,
        journal::journal,
        read::counts,
        read::cost,
        read::stalls,
        read::gates,
        steer::steer,
        steer::steer_all
    )
)]
pub(crate) struct Description;

/// All routes below `/api/v1`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/openapi.json", get(|| async { Json(Description::openapi()) }))
        .route("/runs", get(read::runs))
        .route("/runs/{run}", get(read::run))
        .route("/runs/{run}/why", get(read::why))
        .route("/runs/{run}/events", get(events::events))
        .route("/runs/{run}/{action}", post(steer::steer))
        .route("/orders/{action}", post(steer::steer_all))
        .route("/journal", get(journal::journal))
        .route("/events", get(events::all_events))
        .route("/position", get(events::position))
        .route("/counts", get(read::counts))
        .route("/cost", get(read::cost))
        .route("/stalls", get(read::stalls))
        .route("/gates", get(read::gates))
}
