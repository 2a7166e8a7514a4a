//! Events, as the journal has them: what programs follow, and what a command on another machine computes its views from.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use midwatch_journal::Journal;
use midwatch_workflow::{Event, EventKind, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::IntoParams;

use super::asked::{Asked, Refused, limit, whole};
use super::{read, shape};
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::payload::hide;

/// So many bytes of events are put into one answer, but for the last event or append.
const BYTES_MAX: usize = 8 << 20;

/// So many appends are read at once: each may hold many megabytes.
const ROWS: usize = 50;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Those after this one.
    after: Option<u64>,
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// An event with its place.
#[derive(Serialize)]
struct Numbered {
    run: RunId,
    number: u64,
    at: Timestamp,
    event: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// Events of a run.
#[derive(Serialize)]
pub(super) struct Events {
    run: RunId,
    events: Vec<Numbered>,
    has_more: bool,
}

/// Events of all runs.
#[derive(Serialize)]
pub(super) struct AllEvents {
    events: Vec<Numbered>,
    position: u64,
    has_more: bool,
}

/// A position in commit order.
#[derive(Serialize)]
pub(super) struct Position {
    position: u64,
}

/// The events of a run, as the journal has them. An answer holds 8 MiB of them at most, but for its last one.
#[utoipa::path(get, path = "/api/v1/runs/{run}/events", params(("run" = String, Path), After), tag = "read", responses(
    (status = 200, body = shape::Events), (status = 400, body = shape::Problem), (status = 404, body = shape::Problem)))]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    Asked(asked): Asked<After>,
) -> Result<Json<Events>, Refused> {
    let (limit, after) = (limit(asked.limit, 1_000)?, whole(asked.after)?);
    let answer = blocking(move || {
        let found = read::named(&app, &run)?;
        let run = found.run;
        // A long run is read once and kept while it is read page by page; what fits on a page is not worth a place.
        let is_short = found.events.saturating_sub(after) <= 2 * limit as u64;
        let new = if is_short {
            app.journal.events(run, after)?
        } else {
            let told = app.shelf.told(&app.journal, run)?.ok_or(Trouble::Lost)?;
            let from = usize::try_from(after).unwrap_or(usize::MAX).min(told.events.len());
            told.events[from..].iter().take(limit + 1).cloned().collect()
        };
        let (events, _) = numbered(&new, run, after.saturating_add(1), None, limit, &app)?;
        let has_more = new.len() > events.len();
        Ok(Events { run, events, has_more })
    });
    Ok(Json(answer.await?))
}

/// Events of all runs in commit order, after a position. The limit counts appends, each of one event or more, and an answer
/// holds 8 MiB of them at most, but for its last append.
#[utoipa::path(get, path = "/api/v1/events", params(After), tag = "read", responses(
    (status = 200, body = shape::AllEvents), (status = 400, body = shape::Problem)))]
pub(super) async fn all_events(
    State(app): State<Arc<App>>,
    Asked(asked): Asked<After>,
) -> Result<Json<AllEvents>, Refused> {
    let (limit, after) = (limit(asked.limit, 1_000)?, whole(asked.after)?);
    let answer = blocking(move || {
        let mut answer = AllEvents { events: Vec::new(), position: after, has_more: true };
        let (mut left, mut bytes) = (limit, 0);
        while left > 0 && bytes <= BYTES_MAX && answer.has_more {
            let wanted = left.min(ROWS);
            let rows = app.journal.since(answer.position, wanted)?;
            answer.has_more = rows.len() == wanted;
            left -= rows.len();
            for row in &rows {
                if bytes > BYTES_MAX {
                    answer.has_more = true;
                    break;
                }
                let (events, more) =
                    numbered(&row.events, row.run, row.first, Some(row.position), usize::MAX, &app)?;
                answer.events.extend(events);
                answer.position = row.position;
                bytes += more;
            }
        }
        Ok(answer)
    });
    Ok(Json(answer.await?))
}

/// The last position in commit order: where events of all runs begin from now on.
#[utoipa::path(get, path = "/api/v1/position", tag = "read", responses((status = 200, body = shape::Position)))]
pub(super) async fn position(State(app): State<Arc<App>>) -> Result<Json<Position>, Refused> {
    let position = blocking(move || Ok(app.journal.position()?)).await?;
    Ok(Json(Position { position }))
}

/// Numbers events from `first` on; so many at most, and of a run's own list no more bytes than fit. Gives their bytes too.
fn numbered(
    events: &[Event],
    run: RunId,
    first: u64,
    position: Option<u64>,
    limit: usize,
    app: &App,
) -> Result<(Vec<Numbered>, usize), Trouble> {
    let (mut shown, mut bytes) = (Vec::new(), 0);
    for (event, number) in events.iter().zip(first..).take(limit) {
        if position.is_none() && bytes > BYTES_MAX {
            break;
        }
        let text = shown_text(&event.kind, &app.settings.redact)?;
        bytes += text.get().len();
        shown.push(Numbered { run, number, at: event.at, event: text, position });
    }
    Ok((shown, bytes))
}

/// An event's text. It is the journal's own, digit for digit, unless something in it is hidden.
fn shown_text(kind: &EventKind, redact: &[String]) -> Result<Box<RawValue>, Trouble> {
    let text = to_raw_value(kind).map_err(|_| Trouble::Lost)?;
    let mut value: Value = serde_json::from_str(text.get()).map_err(|_| Trouble::Lost)?;
    if hide(&mut value, redact) { to_raw_value(&value).map_err(|_| Trouble::Lost) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::Payload;

    use super::*;

    fn beat(progress: &str) -> EventKind {
        EventKind::SignalReceived {
            name: "progress".to_owned(),
            payload: Payload::from_json(progress).unwrap(),
            id: None,
        }
    }

    #[test]
    fn an_event_keeps_its_text_unless_something_in_it_is_hidden() {
        let plain = beat(r#"{"z":1.50,"a":12345678901234567890123}"#);
        assert_eq!(shown_text(&plain, &[]).unwrap().get(), serde_json::to_string(&plain).unwrap());
        let shown = shown_text(&beat(r#"{"password":"x","a":1}"#), &[]).unwrap();
        assert!(shown.get().contains("[hidden]") && !shown.get().contains("\"x\""), "{shown}");
        serde_json::from_str::<EventKind>(shown.get()).unwrap();
    }
}
