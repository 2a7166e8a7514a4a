//! What is served and how it stands, for a command on another machine: what it would otherwise find beside the file.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use midwatch_journal::{Board, Lease};
use midwatch_workflow::Timestamp;
use serde::Serialize;

use super::asked::Refused;
use super::{VERSION, shape};
use crate::app::App;
use crate::error::blocking;

/// What is served.
#[derive(Serialize)]
pub(super) struct Served {
    midwatch: &'static str,
    api: u32,
    is_read_only: bool,
    now: Timestamp,
    owner: Option<String>,
    position: u64,
    letters: u64,
    oldest_letter: Option<Timestamp>,
    board: Option<Board>,
}

/// Says what is served: by which midwatch, who owns the journal, how its gates stand, what waits in its inbox.
#[utoipa::path(get, path = "/api/v1/journal", tag = "read", responses((status = 200, body = shape::Served)))]
pub(super) async fn journal(State(app): State<Arc<App>>) -> Result<Json<Served>, Refused> {
    let served = blocking(move || {
        let (letters, oldest_letter) = app.journal.waiting_letters()?;
        Ok(Served {
            midwatch: env!("CARGO_PKG_VERSION"),
            api: VERSION,
            is_read_only: app.door.is_read_only(),
            now: app.now(),
            owner: Lease::owner(&app.path),
            position: app.journal.position()?,
            letters,
            oldest_letter,
            // What cannot be read of the gates is not known, as on the command line.
            board: Board::read(&app.path).ok().flatten(),
        })
    });
    Ok(Json(served.await?))
}
