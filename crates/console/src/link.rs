//! Addresses of pages.

use midwatch_workflow::RunId;

pub(crate) fn run(run: RunId) -> String {
    format!("/runs/{run}")
}

/// The event in the list of all events.
pub(crate) fn event(run: RunId, number: u64) -> String {
    format!("/runs/{run}/events?at={number}#n{number}")
}

/// A path with those parameters that have a value.
pub(crate) fn with<'p>(path: &str, parameters: impl IntoIterator<Item = (&'p str, String)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, &value);
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}
