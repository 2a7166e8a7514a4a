//! The style sheet and the script, in the binary; their addresses change with their content, so browsers keep them.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use xxhash_rust::xxh3::xxh3_64;

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Changes whenever an asset does.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = [STYLE, SCRIPT, ICON].iter().fold(0, |hash, text| hash ^ xxh3_64(text.as_bytes()));
    format!("{hash:016x}")
});

pub(crate) async fn style() -> impl IntoResponse {
    kept("text/css; charset=utf-8", STYLE)
}

pub(crate) async fn script() -> impl IntoResponse {
    kept("text/javascript; charset=utf-8", SCRIPT)
}

pub(crate) async fn icon() -> impl IntoResponse {
    kept("image/svg+xml", ICON)
}

fn kept(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")], text)
}
