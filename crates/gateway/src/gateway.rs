//! The gateway: what all calls share, and the way that each of them takes.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use midwatch_gates::{Clock, Gates};
use midwatch_journal::RunQuery;
use midwatch_providers::Prices;
use midwatch_recorder::{NewRun, Recorder, Run};
use midwatch_workflow::{Amount, GatePolicy, Name, Timestamp, WorkflowId};

use crate::access::{Access, Guest};
use crate::answer::{self, Answer};
use crate::asked::Asked;
use crate::board::{self, Shown};
use crate::book::Book;
use crate::budget::{Budgets, Claim, Payer, midnight};
use crate::call::{self, Call};
use crate::caller::{Caller, Named};
use crate::config::{Config, Dialect, Invalid, Mode};
use crate::dedup::Dedup;
use crate::refusal::Refusal;
use crate::route::{Endpoint, Route};
use crate::session::{self, Sessions};
use crate::upstream::{self, Dialer, Http, Upstream, Upstreams};
use crate::wire::{Wire, aside, not_booked, nothing_there};

/// A gateway, ready to serve. Clones share it.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) wire: Arc<Wire>,
    pub(crate) recorder: Recorder,
    pub(crate) dedup: Option<Dedup>,
    pub(crate) board: Shown,
    access: Access,
    sessions: Sessions,
}

/// The time now, for whoever opens a recorder for a gateway.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Checks a configuration as far as that goes without serving: settings, credentials, price file.
///
/// # Errors
/// [`Invalid`], with what is wrong.
pub fn check(config: &Config, environment: impl Fn(&str) -> Option<String>) -> Result<(), Invalid> {
    parts(config, environment).map(drop)
}

type Parts = (Access, Upstreams, Prices);

fn parts(config: &Config, environment: impl Fn(&str) -> Option<String>) -> Result<Parts, Invalid> {
    let access = Access::of(config, &environment)?;
    let upstreams = Upstreams::of(config, &environment)?;
    Ok((access, upstreams, prices(config.prices.as_deref())?))
}

fn prices(file: Option<&Path>) -> Result<Prices, Invalid> {
    let Some(path) = file else { return Ok(Prices::bundled()) };
    let wrong = |why: String| Invalid::new(format!("prices: {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Prices::bundled().with_file(&text).map_err(|error| wrong(error.to_string()))
}

impl Gateway {
    /// Puts a gateway together, which keeps the answers for repeats beside `journal`. Credentials are read from
    /// `environment` and from files.
    ///
    /// # Errors
    /// [`Invalid`], with what is wrong.
    pub fn new(
        config: Config,
        recorder: Recorder,
        journal: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Invalid> {
        let (access, upstreams, prices) = parts(&config, environment)?;
        let clock = Clock::runtime(now());
        Prices::warm();
        let prices = Arc::new(prices);
        let wire = Wire {
            dialer: Dialer::new(&config)?,
            budgets: Budgets::new(clock, config.budgets.unpriced, daily(&config, &recorder, clock.now())?),
            gates: Gates::new(policies(&config), clock, board::known(journal)),
            prices: Box::new(move || Arc::clone(&prices)),
            upstreams,
            clock,
            config,
        };
        let shared = Shared {
            dedup: Dedup::open(&wire.config.dedup, journal)?,
            sessions: Sessions::new(wire.config.idle, wire.config.session_calls_max),
            board: Shown::new(journal),
            access,
            recorder,
            wire: Arc::new(wire),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.shared.wire.config
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, http: Arc<Http>, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/healthz" && parts.method == Method::GET {
            return answer::whole(Response::new(Bytes::from_static(b"ok\n")));
        }
        let route = Route::of(&parts.method, parts.uri.path(), parts.uri.query());
        let dialect = route.as_ref().map_or(Dialect::OpenAi, Route::dialect);
        let answered = match route {
            Some(route) => self.take(http, route, (parts.method, parts.headers, body), peer).await,
            None => Err(nothing_there()),
        };
        answered.unwrap_or_else(|refusal| answer::whole(refusal.response(dialect)))
    }

    async fn take(
        &self,
        http: Arc<Http>,
        route: Route,
        (method, headers, body): (Method, HeaderMap, Incoming),
        peer: IpAddr,
    ) -> Result<Answer, Refusal> {
        let shared = &self.shared;
        let wire = &shared.wire;
        let guest = shared.access.check(&headers)?;
        let upstream = shared.upstream(&route, guest)?;
        let body = wire.body(body).await?;
        if route.endpoint == Endpoint::Free {
            return wire.pass(&http, &upstream, &route, method, &headers, body).await;
        }
        let (endpoint, assumed) = (route.endpoint, wire.config.output_tokens_assumed);
        let asked = aside(body.len(), move || Asked::of(endpoint, body, assumed)).await?;
        let caller = Caller::of(route.run.as_deref(), &headers);
        let tenant = shared.tenant(guest, &caller);
        let run = shared.run(guest, &caller, tenant.clone(), peer, &headers).await?;
        let mut call = Call {
            http,
            rest: route.rest,
            step: caller.step.map_or(Name::Borrowed(route.endpoint.step()), Name::Owned),
            span: caller.span,
            run_usd: caller.run_usd,
            takes_trailers: answer::takes_trailers(&headers),
            target: upstream.target(asked.model.as_deref(), &headers).into(),
            headers: upstream.headers(&headers),
            method,
            upstream,
            tenant,
            asked,
            book: Book::Run(run),
        };
        let key = match &shared.dedup {
            Some(dedup) => dedup.key(&headers, &call, caller.run.is_some())?,
            None => None,
        };
        // An answer that others may get too is kept as it is.
        call.takes_trailers &= key.is_none();
        // In a task of its own: a client that goes away must not leave the books open.
        let shared = Arc::clone(shared);
        let task = match key {
            Some(key) => return Dedup::once(shared, call, key).await,
            None => tokio::spawn(call::carry_out(Arc::clone(&shared.wire), call)),
        };
        let broke =
            || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "gateway", "the gateway failed: see its log");
        task.await.map_err(|_| broke())?
    }
}

impl Shared {
    fn upstream(&self, route: &Route, guest: Guest<'_>) -> Result<Arc<Upstream>, Refusal> {
        let upstream = self.wire.upstream(route.upstream.as_deref(), route.dialect())?;
        if let Guest::Key(key) = guest {
            let may = &self.wire.config.keys[key].upstreams;
            if !may.is_empty() && !may.contains(&upstream.name) {
                let what = format!("key `{key}` may not call `{}`", upstream.name);
                return Err(Refusal::new(StatusCode::FORBIDDEN, "upstream_not_allowed", what));
            }
        }
        Ok(Arc::clone(upstream))
    }

    /// A key's tenant is the key's; who needs no key says it.
    fn tenant(&self, guest: Guest<'_>, caller: &Caller) -> Option<String> {
        match guest {
            Guest::Key(key) => {
                Some(self.wire.config.keys[key].tenant.clone().unwrap_or_else(|| key.to_owned()))
            }
            Guest::Anybody => caller.tenant.clone(),
        }
    }

    /// The run that a call belongs to.
    async fn run(
        &self,
        guest: Guest<'_>,
        caller: &Caller,
        tenant: Option<String>,
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Result<Run, Refusal> {
        let now = self.wire.clock.now();
        let (key, of_key) = match guest {
            Guest::Key(key) => (Some(key), self.wire.config.keys[key].workflow.as_ref()),
            Guest::Anybody => (None, None),
        };
        let workflow = of_key.or(caller.workflow.as_ref()).unwrap_or(&self.wire.config.workflow);
        let named = match &caller.run {
            Some(named) => Some(named.clone()),
            None => {
                let session = self.sessions.of(session::who(key, peer, headers), now);
                session.map(|workflow_id| Named { workflow_id, trace: None })
            }
        };
        let Named { workflow_id, trace } = named.ok_or_else(nothing_there)?;
        let workflow_id = self.within(tenant.as_deref(), workflow_id);
        if let Some(run) = self.recorder.find(workflow, &workflow_id) {
            return Ok(run);
        }
        let mut new = NewRun::new(workflow.clone(), workflow_id, now);
        new.run = trace.unwrap_or(new.run);
        new.tenant = tenant;
        new.traceparent.clone_from(&caller.traceparent);
        new.budget = self.wire.config.budgets.run.and(caller.run_usd).budget();
        let recorder = self.recorder.clone();
        let found = tokio::task::spawn_blocking(move || recorder.run(new, now)).await;
        found.map_err(|_| not_booked(&"the task was cancelled"))?.map_err(|error| not_booked(&error))
    }

    /// The runs of one tenant are not those of another, whatever they are called.
    fn within(&self, tenant: Option<&str>, workflow_id: WorkflowId) -> WorkflowId {
        match tenant.filter(|_| !self.wire.config.keys.is_empty()) {
            Some(tenant) => {
                midwatch_recorder::workflow_id(&format!("{tenant}/{workflow_id}")).unwrap_or(workflow_id)
            }
            None => workflow_id,
        }
    }
}

/// The budgets by the day, with what is spent of them already.
fn daily(config: &Config, recorder: &Recorder, now: Timestamp) -> Result<Vec<Claim>, Invalid> {
    let spent = |tenant: Option<String>| {
        let query = RunQuery { tenant, ..RunQuery::default() };
        let spent = midwatch_journal::spent(&**recorder.journal(), query, midnight(now));
        spent.map_err(|error| Invalid::new(format!("budgets: {error}")))
    };
    let mut claims = Vec::new();
    for tenant in config.budgets.tenant_day.keys().chain(config.keys.keys()) {
        if let Some(budget) = config.tenant_day(tenant) {
            let payer = Payer::TenantDay(tenant.clone());
            let spent = spent(Some(tenant.clone()))?;
            claims.push(Claim { payer, budget, raised: Amount::default(), spent });
        }
    }
    if let Some(budget) = config.budgets.day.budget() {
        claims.push(Claim { payer: Payer::Day, budget, raised: Amount::default(), spent: spent(None)? });
    }
    Ok(claims)
}

/// The gates of upstreams: none where failures are only passed on.
fn policies(config: &Config) -> impl Fn(&Name) -> Option<GatePolicy> + Send + Sync + 'static {
    let is_on = config.mode == Mode::Protect;
    let own = config.upstreams.clone();
    move |target: &Name| {
        let upstream = own.get(upstream::of_target(target)).filter(|_| is_on)?;
        let usual =
            GatePolicy { rate_initial: 100.0, burst: 100, concurrency_initial: 100, ..GatePolicy::default() };
        let policy = upstream.per_second.map_or(usual, GatePolicy::per_second);
        Some(upstream.concurrency.map_or(policy, |most| policy.concurrency_max(most)))
    }
}
