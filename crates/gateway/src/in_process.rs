//! The gateway inside an engine's process: steps call models with whatever client they like, and what that costs is booked
//! in their own attempts.
//!
//! It listens on loopback, on a thread of its own, so that a step that blocks its runtime is answered all the same. Who may
//! call is who knows the URL that an attempt was given; it ends with the attempt.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use midwatch_gates::{Clock, Gates};
use midwatch_providers::Prices;
use midwatch_workflow::{Name, StepContext};
use tokio::sync::oneshot;

use crate::answer::{self, Answer};
use crate::asked::Asked;
use crate::book::Book;
use crate::budget::Budgets;
use crate::call::{self, Call};
use crate::config::{Config, Dialect, Invalid, Upstream};
use crate::refusal::Refusal;
use crate::route::{Endpoint, Route};
use crate::seat::{Leave, Seat, over};
use crate::server::{Connections, accept};
use crate::upstream::{Dialer, Http, Upstreams};
use crate::wire::{Wire, aside, nothing_there};

/// Limits of an attempt are its engine's; this one only ends what is forgotten.
const ATTEMPT_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long what is under way may take when the gateway closes: its attempts are over by then.
const DRAIN: Duration = Duration::from_millis(200);

/// Whom steps may call through the gateway in their process, and how patiently.
///
/// OpenAI's and Anthropic's own addresses are known as `openai` and `anthropic`. Credentials are the client's own: they pass.
#[derive(Clone, Debug)]
pub struct Options {
    config: Config,
}

impl Default for Options {
    fn default() -> Self {
        let options = Self { config: Config::default() };
        options
            .upstream("openai", "https://api.openai.com/v1")
            .anthropic("anthropic", "https://api.anthropic.com/v1")
    }
}

impl Options {
    /// Knows an upstream that speaks OpenAI's language, by its URL up to `/v1`. The name is that by which prices know who
    /// is paid.
    #[must_use]
    pub fn upstream(self, name: impl Into<String>, url: impl Into<String>) -> Self {
        self.with(name, url, Dialect::OpenAi)
    }

    /// Knows an upstream that speaks Anthropic's language.
    #[must_use]
    pub fn anthropic(self, name: impl Into<String>, url: impl Into<String>) -> Self {
        self.with(name, url, Dialect::Anthropic)
    }

    /// Ends a stream that is silent for so long between two chunks; 60 s if nothing is said.
    #[must_use]
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.config.timeouts.stall = limit;
        self
    }

    /// Ends a call whose answer takes longer to begin; 5 min if nothing is said.
    #[must_use]
    pub fn first_byte_limit(mut self, limit: Duration) -> Self {
        self.config.timeouts.first_byte = limit;
        self
    }

    /// Reserves so many output tokens for a call that names no limit itself; 8,192 if nothing is said.
    #[must_use]
    pub fn output_tokens_assumed(mut self, tokens: u64) -> Self {
        self.config.output_tokens_assumed = tokens;
        self
    }

    fn with(mut self, name: impl Into<String>, url: impl Into<String>, dialect: Dialect) -> Self {
        let upstream = Upstream {
            url: url.into(),
            dialect,
            provider: None,
            key_env: None,
            key_file: None,
            pass_credentials: true,
            concurrency: None,
            per_second: None,
        };
        self.config.upstreams.insert(name.into(), upstream);
        self
    }
}

/// Why the gateway in a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it was told cannot be used.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It cannot listen on loopback, or have a thread.
    #[error("the gateway of this process cannot listen on 127.0.0.1")]
    Listen(#[from] io::Error),
}

/// A gateway inside an engine's process; closed when dropped.
pub struct InProcess {
    desk: Arc<Desk>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

/// Where attempts are known by the URLs that they were given.
pub(crate) struct Desk {
    pub(crate) address: SocketAddr,
    pub(crate) wire: Arc<Wire>,
    seats: Mutex<HashMap<String, Weak<Seat>>>,
}

impl InProcess {
    /// Listens on a free port of 127.0.0.1. `prices` gives the tables of the moment.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        options: Options,
        prices: impl Fn() -> Arc<Prices> + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let mut config = options.config;
        config.timeouts.attempt = ATTEMPT_MAX;
        let clock = Clock::system();
        let wire = Arc::new(Wire {
            dialer: Dialer::new(&config)?,
            upstreams: Upstreams::of(&config, |_| None)?,
            // Both are the engine's.
            budgets: Budgets::new(clock, config.budgets.unpriced, Vec::new()),
            gates: Gates::new(|_| None, clock, HashMap::new()),
            prices: Box::new(prices),
            clock,
            config,
        });
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let desk = Arc::new(Desk { address: listener.local_addr()?, wire, seats: Mutex::default() });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = Arc::clone(&desk);
        let thread = std::thread::Builder::new().name("midwatch-gateway".to_owned());
        thread.spawn(move || runtime.block_on(serve(listener, &served, stopped)))?;
        Ok(Self { desk, _stop: stop })
    }

    /// Gives an attempt its seat, to be put around every step; see
    /// [`StepDefinition::around`](midwatch_workflow::StepDefinition::around).
    pub fn entrance(&self) -> impl Fn(StepContext) -> (StepContext, Leave) + Clone + Send + Sync + 'static {
        let desk = Arc::clone(&self.desk);
        move |cx| {
            let seat = Seat::new(cx, &desk);
            (seat.cx().lending(Arc::clone(&seat) as _), Leave(seat))
        }
    }
}

async fn serve(listener: std::net::TcpListener, desk: &Arc<Desk>, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the gateway of this process cannot serve"),
    };
    let (served, http) = (Arc::clone(desk), desk.wire.dialer.client());
    let answer = move |request: Request<Incoming>, _| {
        let (desk, http) = (Arc::clone(&served), Arc::clone(&http));
        async move { desk.answer(http, request).await }
    };
    let (limits, connections) = (&desk.wire.config.limits, Connections::default());
    let take = |stream, peer, place| connections.serve(stream, peer, limits, answer.clone(), place);
    accept(listener, limits.connections, async { drop(stopped.await) }, take).await;
    connections.drain(DRAIN).await;
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows an attempt by a token that nobody can guess, from now on.
    pub(crate) fn admit(&self, seat: &Arc<Seat>) -> Result<String, String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| format!("the system gives no randomness: {error}"))?;
        let token = format!("{:032x}", u128::from_be_bytes(random));
        self.lock().insert(token.clone(), Arc::downgrade(seat));
        Ok(token)
    }

    pub(crate) fn forget(&self, token: &str) {
        self.lock().remove(token);
    }

    async fn answer(&self, http: Arc<Http>, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let parsed = path.strip_prefix("/attempt/").and_then(|path| path.split_once('/'));
        let Some((token, rest)) = parsed else {
            return answer::whole(nothing_there().response(Dialect::OpenAi));
        };
        let seat = self.lock().get(token).and_then(Weak::upgrade);
        let rest = once(rest);
        let route = Route::of(request.method(), &rest, request.uri().query());
        let dialect = route.as_ref().map_or(Dialect::OpenAi, Route::dialect);
        let answered = match (seat, route) {
            (None, _) => Err(over()),
            (Some(_), None) => Err(nothing_there()),
            (Some(seat), Some(route)) => {
                let ended = Arc::clone(&seat);
                tokio::select! {
                    answered = self.take(http, seat, route, request) => answered,
                    () = ended.ended() => Err(over()),
                }
            }
        };
        answered.unwrap_or_else(|refusal| answer::whole(refusal.response(dialect)))
    }

    /// In the connection's own task: a client that goes away ends its call, as it would without a gateway.
    async fn take(
        &self,
        http: Arc<Http>,
        seat: Arc<Seat>,
        route: Route,
        request: Request<Incoming>,
    ) -> Result<Answer, Refusal> {
        let (parts, body) = request.into_parts();
        let wire = &self.wire;
        let upstream = Arc::clone(wire.upstream(route.upstream.as_deref(), route.dialect())?);
        let body = wire.body(body).await?;
        if route.endpoint == Endpoint::Free {
            return wire.pass(&http, &upstream, &route, parts.method, &parts.headers, body).await;
        }
        let (endpoint, assumed) = (route.endpoint, wire.config.output_tokens_assumed);
        let asked = aside(body.len(), move || Asked::of(endpoint, body, assumed)).await?;
        let call = Call {
            http,
            target: upstream.target(asked.model.as_deref(), &parts.headers).into(),
            asked,
            rest: route.rest,
            step: Name::Owned(seat.cx().step().to_owned()),
            span: None,
            run_usd: None,
            takes_trailers: answer::takes_trailers(&parts.headers),
            headers: upstream.headers(&parts.headers),
            method: parts.method,
            upstream,
            tenant: None,
            book: Book::Attempt(seat),
        };
        call::carry_out(Arc::clone(wire), call).await
    }
}

/// The path below an attempt's token. Clients differ in whether they add `/v1` to a base URL: one is enough.
fn once(path: &str) -> String {
    format!("/{}", path.replacen("/v1/v1/", "/v1/", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_be_used_with_and_without_its_version() {
        for path in ["up/anthropic/v1/messages", "up/anthropic/v1/v1/messages"] {
            assert_eq!(once(path), "/up/anthropic/v1/messages");
        }
    }

    #[test]
    fn upstreams_that_cannot_be_called_are_refused_at_the_start() {
        let prices = || Arc::new(Prices::bundled());
        let started = InProcess::start(Options::default().upstream("x", "ftp://h"), prices);
        assert!(started.err().unwrap().to_string().contains("upstreams.x"));
    }
}
