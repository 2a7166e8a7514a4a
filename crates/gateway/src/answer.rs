//! Answers on their way to the client: heads, bodies, and what the gateway adds.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use midwatch_workflow::{Charge, RunId, Spent};

use crate::bill::cost;
use crate::tap::Tap;
use crate::upstream::is_of_this_hop;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What an answer's body is.
pub(crate) enum Flow {
    /// In one piece.
    Whole(Full<Bytes>),
    /// A stream that is read along with.
    Stream(Box<Tap>),
    /// One that others may read too.
    Shared(Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>),
    /// Passed on unread.
    Passed(Incoming),
}

/// What goes to the client.
pub(crate) type Answer = Response<Flow>;

impl Body for Flow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Flow::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Flow::Stream(tap) => tap.poll_frame(cx),
            Flow::Shared(body) => body.as_mut().poll_next(cx).map_ok(Frame::data),
            Flow::Passed(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Flow::Whole(body) => body.is_end_stream(),
            Flow::Stream(_) | Flow::Shared(_) => false,
            Flow::Passed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Flow::Whole(body) => body.size_hint(),
            Flow::Stream(_) | Flow::Shared(_) => SizeHint::default(),
            Flow::Passed(body) => body.size_hint(),
        }
    }
}

/// An answer in one piece.
pub(crate) fn whole(response: Response<Bytes>) -> Answer {
    response.map(|body| Flow::Whole(Full::new(body)))
}

/// An upstream's head as the client gets it.
pub(crate) fn head(status: StatusCode, upstream: &HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in upstream {
        if !is_of_this_hop(name) && name != header::SET_COOKIE {
            headers.append(name, value.clone());
        }
    }
    response
}

const RUN: HeaderName = HeaderName::from_static("x-midwatch-run");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-midwatch-attempts");
const COST: HeaderName = HeaderName::from_static("x-midwatch-cost-usd");
const TOKENS: HeaderName = HeaderName::from_static("x-midwatch-tokens");

/// Adds which run the call belongs to, and what its attempts cost if that is known already.
pub(crate) fn add(headers: &mut HeaderMap, run: RunId, attempts: u32, charges: Option<&[Charge]>) {
    set(headers, RUN, run.to_string());
    set(headers, ATTEMPTS, attempts.to_string());
    if let Some(charges) = charges {
        add_spent(headers, charges);
    }
}

fn add_spent(headers: &mut HeaderMap, charges: &[Charge]) {
    let mut spent = Spent::default();
    spent.add_all(charges);
    set(headers, TOKENS, spent.usage.tokens().to_string());
    if let Some(cost) = cost(charges) {
        set(headers, COST, cost.to_string().trim_start_matches('$').to_owned());
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

/// Whether the client has said that it reads trailers.
pub(crate) fn takes_trailers(client: &HeaderMap) -> bool {
    let said = client.get_all(header::TE).into_iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|names| names.split(',')).any(|name| name.trim().eq_ignore_ascii_case("trailers"))
}

/// Says which trailers will follow.
pub(crate) fn announce_trailers(headers: &mut HeaderMap) {
    headers.insert(header::TRAILER, HeaderValue::from_static("x-midwatch-cost-usd, x-midwatch-tokens"));
}

/// What a stream cost, for the trailers.
pub(crate) fn trailers(charges: &[Charge]) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    add_spent(&mut trailers, charges);
    trailers
}
