//! The page that tells the API, from its description.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Html;
use maud::{Markup, html};
use serde_json::Value;
use utoipa::OpenApi as _;

use super::Description;
use crate::access::Who;
use crate::app::App;
use crate::page::{Frame, Page, Part, Section};

/// `GET /api`.
pub(crate) async fn docs(State(app): State<Arc<App>>, Extension(who): Extension<Who>) -> Html<String> {
    let described = serde_json::to_value(Description::openapi()).unwrap_or_default();
    let page = Page {
        title: "API".to_owned(),
        section: Section::Api,
        parts: vec![Part::new("api", "", body(&described))],
    };
    let frame = Frame { who: who.has_session.then(|| who.by.clone()), csrf: who.csrf, ..Frame::default() };
    Html(page.document(&app, &frame))
}

fn body(described: &Value) -> Markup {
    let paths = described["paths"].as_object();
    html! {
        h1 { "API" }
        p { (text(&described["info"]["description"])) }
        p {
            "Described by " a href="/api/v1/openapi.json" { "OpenAPI" } ". With a token, send " code { "Authorization: Bearer TOKEN" }
            "; say who orders with " code { "X-Midwatch-By" } "."
        }
        @for (path, methods) in paths.into_iter().flatten() {
            @for (method, operation) in methods.as_object().into_iter().flatten() { (shown(path, method, operation, described)) }
        }
    }
}

fn shown(path: &str, method: &str, operation: &Value, described: &Value) -> Markup {
    let parameters = operation["parameters"].as_array();
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let is_plain = method == "get" && !path.contains('{');
    html! {
        section.panel.operation {
            h2 { span.method { (method) } " " code { (path) } }
            p { (text(&operation["summary"])) " " (text(&operation["description"])) }
            @if is_plain { p { a href=(path) { "Try it" } } }
            @if parameters.is_some() || !body.is_null() { dl.facts {
                @for parameter in parameters.into_iter().flatten() {
                    dt { code { (text(&parameter["name"])) } }
                    dd { (text(&parameter["description"])) @if parameter["in"] == "path" { "in the path" } }
                }
                @for (name, field) in fields(body, described) { dt { code { (name) } } dd { (text(&field["description"])) } }
            } }
            @for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
                details { summary { (status) " " (text(&answer["description"])) }
                    dl.facts { @for (name, field) in fields(&answer["content"]["application/json"]["schema"], described) {
                        dt { code { (name) } } dd { (kind(field)) " " span.faint { (text(&field["description"])) } }
                    } }
                }
            }
        }
    }
}

/// The fields of a shape, by its name or as it stands.
fn fields<'d>(shape: &'d Value, described: &'d Value) -> impl Iterator<Item = (&'d String, &'d Value)> {
    let named = shape["$ref"].as_str().and_then(|name| described.pointer(name.trim_start_matches('#')));
    named.unwrap_or(shape)["properties"].as_object().into_iter().flatten()
}

fn kind(field: &Value) -> String {
    match (&field["type"], field["$ref"].as_str()) {
        (_, Some(name)) => name.rsplit('/').next().unwrap_or_default().to_owned(),
        (Value::String(kind), _) => kind.clone(),
        (Value::Array(kinds), _) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
