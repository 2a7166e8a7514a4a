//! What a path asks for: `[/run/{id}][/up/{upstream}]/v1/…`.

use http::Method;

use crate::config::Dialect;

/// What a client asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// The run, if the path names one.
    pub(crate) run: Option<String>,
    /// The upstream, if the path names one.
    pub(crate) upstream: Option<String>,
    /// What follows `/v1`, with its query.
    pub(crate) rest: String,
    pub(crate) endpoint: Endpoint,
}

/// What kind of call it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    Chat,
    Responses,
    Embeddings,
    Messages,
    /// Something that costs, of which nothing is known.
    Other,
    /// Something that only reads, and is passed on unbooked.
    Free,
}

impl Route {
    /// Reads a path; `None` if it leads nowhere, or somewhere else than it says.
    pub(crate) fn of(method: &Method, path: &str, query: Option<&str>) -> Option<Self> {
        if path.split('/').skip(1).any(is_odd) {
            return None;
        }
        let (run, path) = prefixed(path, "/run/");
        let (upstream, path) = prefixed(path, "/up/");
        let run = match run {
            None => None,
            Some(run) => Some(decoded(run)?),
        };
        let rest = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/'))?;
        let endpoint = Endpoint::of(method, rest);
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        Some(Self { run, upstream: upstream.map(str::to_owned), rest: format!("{rest}{query}"), endpoint })
    }

    /// What the client speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.endpoint {
            Endpoint::Messages => Dialect::Anthropic,
            _ if self.rest.starts_with("/messages") => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        }
    }
}

impl Endpoint {
    fn of(method: &Method, rest: &str) -> Self {
        match rest.trim_end_matches('/') {
            _ if method.is_safe() || method == Method::DELETE => Endpoint::Free,
            "/chat/completions" => Endpoint::Chat,
            "/responses" => Endpoint::Responses,
            "/embeddings" => Endpoint::Embeddings,
            "/messages" => Endpoint::Messages,
            "/messages/count_tokens" | "/responses/input_tokens" => Endpoint::Free,
            _ => Endpoint::Other,
        }
    }

    /// The step's name where the client gives none.
    pub(crate) const fn step(self) -> &'static str {
        match self {
            Endpoint::Chat => "chat",
            Endpoint::Responses => "responses",
            Endpoint::Embeddings => "embeddings",
            Endpoint::Messages => "messages",
            Endpoint::Other | Endpoint::Free => "call",
        }
    }
}

/// Segments by which an upstream could be led elsewhere than the path says here.
fn is_odd(segment: &str) -> bool {
    let lower = segment.to_ascii_lowercase();
    matches!(lower.replace("%2e", ".").as_str(), "." | "..") || lower.contains("%2f") || lower.contains('\\')
}

fn prefixed<'p>(path: &'p str, prefix: &str) -> (Option<&'p str>, &'p str) {
    let Some(after) = path.strip_prefix(prefix) else { return (None, path) };
    let end = after.find('/').unwrap_or(after.len());
    (Some(&after[..end]), &after[end..])
}

/// Undoes percent-encoding.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Option<Route> {
        Route::of(&Method::POST, path, None)
    }

    #[test]
    fn a_path_says_run_upstream_and_call() {
        let chat = route("/v1/chat/completions").unwrap();
        assert_eq!(
            (chat.run, chat.endpoint, chat.rest.as_str()),
            (None, Endpoint::Chat, "/chat/completions")
        );
        let named = route("/run/thread%2D7/up/groq/v1/chat/completions").unwrap();
        assert_eq!((named.run.as_deref(), named.upstream.as_deref()), (Some("thread-7"), Some("groq")));
        assert_eq!(route("/run/a/v1/messages").unwrap().dialect(), Dialect::Anthropic);
        let query = Route::of(&Method::GET, "/v1/models", Some("limit=3")).unwrap();
        assert_eq!((query.endpoint, query.rest.as_str()), (Endpoint::Free, "/models?limit=3"));
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_no_route() {
        for path in [
            "/",
            "/v1",
            "/v2/chat",
            "/v1/../admin",
            "/v1/%2e%2E/admin",
            "/v1/files/a%2fb",
            "/run/x",
            "/run/%zz/v1/x",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
