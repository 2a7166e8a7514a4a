//! The simulator's own doors, under `/_…`: the books, the script, the switch. They fail for nobody.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use crate::ledger::{Effect, Entry, Summary};
use crate::outage::Outage;
use crate::script::Cue;
use crate::world::World;

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/_ledger", get(summary))
        .route("/_ledger/entries", get(entries))
        .route("/_ledger/effects", get(effects))
        .route("/_script", post(script).delete(clear_script))
        .route("/_outage", post(outage).delete(restore))
}

#[derive(Deserialize)]
struct Settle {
    /// Waits this long, at most, until no request is under way.
    #[serde(default)]
    settle_ms: u64,
}

async fn summary(State(world): State<Arc<World>>, Query(settle): Query<Settle>) -> Json<Summary> {
    if settle.settle_ms > 0 {
        world.ledger.settled(Duration::from_millis(settle.settle_ms)).await;
    }
    Json(world.ledger.summary())
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    from: u64,
    #[serde(default = "page_length")]
    limit: usize,
}

fn page_length() -> usize {
    1000
}

async fn entries(State(world): State<Arc<World>>, Query(page): Query<Page>) -> Json<Vec<Entry>> {
    Json(world.ledger.entries_from(page.from, page.limit))
}

#[derive(Deserialize)]
struct Wanted {
    run: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    standing: bool,
}

async fn effects(State(world): State<Arc<World>>, Query(wanted): Query<Wanted>) -> Json<Vec<Effect>> {
    let mut found = if wanted.standing { world.ledger.standing() } else { world.ledger.effects() };
    found.retain(|effect| {
        wanted.run.as_ref().is_none_or(|run| effect.run.as_ref() == Some(run))
            && wanted.kind.as_ref().is_none_or(|kind| effect.kind == *kind)
    });
    Json(found)
}

async fn script(State(world): State<Arc<World>>, Json(cues): Json<Vec<Cue>>) -> StatusCode {
    if world.script.extend(cues) { StatusCode::NO_CONTENT } else { StatusCode::INSUFFICIENT_STORAGE }
}

async fn clear_script(State(world): State<Arc<World>>) -> StatusCode {
    world.script.clear();
    StatusCode::NO_CONTENT
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Switch {
    outage: Outage,
    /// Absent: until it is switched off.
    for_ms: Option<u64>,
}

async fn outage(State(world): State<Arc<World>>, Json(switch): Json<Switch>) -> StatusCode {
    let until =
        switch.for_ms.map_or(Duration::MAX, |ms| world.now().saturating_add(Duration::from_millis(ms)));
    world.outages.switch_on(switch.outage, until);
    StatusCode::NO_CONTENT
}

async fn restore(State(world): State<Arc<World>>) -> StatusCode {
    world.outages.switch_off();
    StatusCode::NO_CONTENT
}
