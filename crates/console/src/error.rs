//! What goes wrong while a request is answered, as a page or as JSON.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nothing is there.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense.
    #[error("{0}")]
    Bad(String),
    /// It is not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// The journal.
    #[error("{0}")]
    Journal(#[from] midwatch_journal::Error),
    /// The answer was cut short.
    #[error("the request could not be carried out")]
    Lost,
}

impl Trouble {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Lost => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// As programs read it.
    pub(crate) fn json(&self) -> Response {
        let error = json!({ "error": { "status": self.status().as_u16(), "message": self.to_string() } });
        (self.status(), Json(error)).into_response()
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        (self.status(), html, crate::page::trouble(&self)).into_response()
    }
}

/// Does what blocks on a thread where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Trouble::Lost))
}
