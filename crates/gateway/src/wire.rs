//! What every call needs on its way, wherever it is booked: settings, prices, budgets, gates, and upstreams.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use midwatch_gates::{Clock, Gates};
use midwatch_providers::{Prices, Report};
use midwatch_workflow::Charge;
use tokio::time::timeout;

use crate::answer::{self, Answer, Flow};
use crate::budget::Budgets;
use crate::config::{Config, Dialect};
use crate::refusal::Refusal;
use crate::route::Route;
use crate::upstream::{Dialer, Http, Upstream, Upstreams};

/// The price tables of the moment.
pub(crate) type Tables = Box<dyn Fn() -> Arc<Prices> + Send + Sync>;

/// What every call needs on its way.
pub(crate) struct Wire {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) prices: Tables,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) gates: Gates,
    pub(crate) dialer: Dialer,
    pub(crate) upstreams: Upstreams,
}

impl Wire {
    /// Prices a charge by what its report says.
    pub(crate) fn price(&self, charge: Charge, report: &Report) -> Charge {
        (self.prices)().price(charge, report, self.clock.now())
    }

    /// Who is called.
    pub(crate) fn upstream(&self, name: Option<&str>, dialect: Dialect) -> Result<&Arc<Upstream>, Refusal> {
        self.upstreams.find(name, dialect).ok_or_else(|| {
            let what = match name {
                Some(name) => format!("there is no upstream `{name}`"),
                None => "no upstream speaks this: configure one".to_owned(),
            };
            Refusal::new(StatusCode::NOT_FOUND, "no_upstream", what)
        })
    }

    /// Reads a request's body within the limits.
    pub(crate) async fn body(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let limits = &self.config.limits;
        match timeout(limits.body_time, Limited::new(body, limits.body_bytes).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let what = format!("the body is over the limit of {} bytes", limits.body_bytes);
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", what))
            }
            Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "broken_body", "the body broke off")),
            Err(_) => {
                let what = format!("the body did not come within {:?}", limits.body_time);
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", what))
            }
        }
    }

    /// Passes on what costs nothing.
    pub(crate) async fn pass(
        &self,
        http: &Http,
        upstream: &Upstream,
        route: &Route,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Refusal> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = upstream.uri(&route.rest).ok_or_else(nothing_there)?;
        *request.headers_mut() = upstream.headers(headers);
        let sent = timeout(self.config.timeouts.first_byte, http.request(request)).await;
        let unreachable = |what| Refusal::new(StatusCode::BAD_GATEWAY, "upstream_unreachable", what).unsaid();
        let response = sent.map_err(|_| unreachable("the upstream does not answer"))?;
        let (parts, body) = response.map_err(|_| unreachable("the upstream cannot be reached"))?.into_parts();
        Ok(answer::head(parts.status, &parts.headers).map(|()| Flow::Passed(body)))
    }
}

/// Reading so many bytes takes a millisecond or so.
const LARGE: usize = 256 << 10;

/// Does work on so many bytes: at once, or on a thread for such work if they are many, so that the calls beside it need not
/// wait.
pub(crate) async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= LARGE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only the end of the runtime cancels it, and this with it.
        Err(_) => std::future::pending().await,
    }
}

/// A path leads nowhere.
pub(crate) fn nothing_there() -> Refusal {
    let what = "there is nothing here: paths begin with /v1/, /run/{id}/v1/ or /up/{upstream}/v1/";
    Refusal::new(StatusCode::NOT_FOUND, "not_found", what)
}

/// What is not on record is not sent.
pub(crate) fn not_booked(why: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%why, "a call cannot be booked and is not sent");
    let what = "the call cannot be booked, so it was not sent: see the gateway's log";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_booked", what).after(Duration::from_secs(5))
}
