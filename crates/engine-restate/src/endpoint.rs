//! Where Restate reaches this process: an HTTP/2 listener of its own, because the SDK's leaves Nagle's algorithm on.
//!
//! Discovery, health and the mailbox service are the SDK's; the `run` handlers of workflows are driven here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use midwatch_workflow::Name;
use restate_sdk::discovery as d;
use restate_sdk::endpoint::{self, ContextInternal, Endpoint, HandlerOptions, ServiceOptions};
use restate_sdk::serde::Json;
use restate_sdk::service::{Service, ServiceDefinition, macro_support};
use restate_sdk_shared_core::{
    CoreVM, IdentityVerifier, ImplicitCancellationOption, NonEmptyValue, PayloadOptions, TerminalFailure,
    VM as _, VMOptions,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::host::Host;
use crate::response::{Carried, Outbox, infallible};
use crate::run::{Driver, Stop};
use crate::session::{Broken, Session};
use crate::translate::{MAILBOX, Posted, RunInput};

/// Serves Restate until it is dropped.
pub(crate) struct Server {
    tasks: Tasks,
}

/// Everything that is under way: connections, and the requests on them.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

/// What a request is answered with.
type Answer = Response<Either<Carried, UnsyncBoxBody<Bytes, Infallible>>>;

/// What all connections share.
struct Shared {
    host: Arc<Host>,
    sdk: Endpoint,
    verifier: IdentityVerifier,
    /// The workflow of each service.
    services: HashMap<String, Name>,
    tasks: Tasks,
}

impl Server {
    /// Begins to serve.
    ///
    /// # Errors
    /// If a name or an identity key has no form that Restate knows.
    pub(crate) fn start(host: Arc<Host>, listener: TcpListener) -> Result<Self, String> {
        let tasks = Tasks::default();
        let keys: Vec<&str> = host.options.identity_keys.iter().map(String::as_str).collect();
        let shared = Arc::new(Shared {
            sdk: sdk_endpoint(&host)?,
            verifier: IdentityVerifier::new(&keys).map_err(|error| error.to_string())?,
            services: host
                .registry
                .workflows()
                .map(|workflow| (host.service(workflow.name()), workflow.name().clone()))
                .collect(),
            tasks: tasks.clone(),
            host,
        });
        tasks.spawn(accept(shared, listener));
        Ok(Self { tasks })
    }

    /// Ends everything at once, as a crash would.
    pub(crate) fn abort(&self) {
        self.tasks.set().abort_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Tasks {
    fn set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.set();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection with delayed writes");
        }
        let for_requests = Arc::clone(&shared);
        let serve = hyper::service::service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(answer(&for_requests, request)))
        });
        let requests = shared.tasks.clone();
        shared.tasks.spawn(async move {
            let mut http = hyper::server::conn::http2::Builder::new(requests);
            http.max_concurrent_streams(None);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), serve).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}

fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let workflow = invoked(&path).and_then(|service| shared.services.get(service));
    let Some(workflow) = workflow else {
        return shared.sdk.handle(request).map(|body| Either::Right(infallible(body)));
    };
    if let Err(error) = shared.verifier.verify_identity(request.headers(), &path) {
        return refused(StatusCode::UNAUTHORIZED, error.to_string());
    }
    let (parts, input) = request.into_parts();
    let options = VMOptions {
        // Children are cancelled by their parent's code, in its order and with its reason.
        implicit_cancellation: ImplicitCancellationOption::Enabled {
            cancel_children_calls: false,
            cancel_children_one_way_calls: false,
        },
        ..VMOptions::default()
    };
    let vm = match CoreVM::new(parts.headers, options) {
        Ok(vm) => vm,
        Err(error) => return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()),
    };
    let head = vm.get_response_head();
    let output = Outbox::default();
    let session = Session::new(vm, input, output.clone());
    let invocation = invoke(Arc::clone(&shared.host), workflow.clone(), session);
    let response = Response::builder().status(head.status_code);
    let response =
        head.headers.iter().fold(response, |response, header| response.header(&*header.key, &*header.value));
    let response = response.body(Either::Left(Carried::new(invocation, output)));
    response.unwrap_or_else(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The service whose `run` a path invokes.
fn invoked(path: &str) -> Option<&str> {
    let (_, call) = path.rsplit_once("/invoke/")?;
    call.strip_suffix("/run")
}

fn refused(status: StatusCode, why: String) -> Answer {
    let mut response = Response::new(Either::Right(infallible(Full::new(Bytes::from(why)))));
    *response.status_mut() = status;
    response
}

/// Carries an invocation on until it ends or Restate takes it back.
async fn invoke(host: Arc<Host>, workflow: Name, mut session: Session) {
    let input = match read_input(&mut session).await {
        Ok(Some(input)) => input,
        Ok(None) => return,
        Err(broken) => return tracing::debug!(?broken, "an invocation that did not begin"),
    };
    let run = input.start.run;
    let Some(workflow) = host.registry.workflow(&workflow).cloned() else { return };
    let mut driver = match Driver::begin(Arc::clone(&host), &workflow, session, input).await {
        Ok(driver) => driver,
        Err(stop) => return say(run, &stop),
    };
    let mut stopped = driver.drive().await;
    if let Err(Stop::Halted(reason, message)) = stopped {
        driver.park(reason, message);
        stopped = driver.hold().await;
    }
    match stopped {
        Ok(()) => {}
        Err(Stop::Broken(Broken::Suspended)) => {
            let _ = driver.mirror.settle().await;
            driver.session.flush();
        }
        Err(stop) => {
            let _ = driver.mirror.settle().await;
            say(run, &stop);
        }
    }
}

fn say(run: midwatch_workflow::RunId, stop: &Stop) {
    match stop {
        Stop::Broken(Broken::Suspended) => tracing::debug!(%run, "run suspended"),
        Stop::Broken(Broken::Failed(why)) => tracing::info!(%run, why, "run left to Restate"),
        Stop::Halted(reason, why) => tracing::warn!(%run, ?reason, why, "run parked"),
        Stop::Journal(error) => tracing::error!(%run, %error, "run left to Restate: its journal fails"),
    }
}

/// Reads what a run is started with; somebody who started it without midwatch is told so.
async fn read_input(session: &mut Session) -> Result<Option<RunInput>, Broken> {
    session.ready().await?;
    let input = session.vm.sys_input()?;
    if let Ok(input) = serde_json::from_slice(&input.input) {
        return Ok(Some(input));
    }
    let message = "a midwatch run is started by midwatch, which gives it its run id".to_owned();
    let failure = TerminalFailure { code: 400, message, metadata: Vec::new() };
    session.vm.sys_write_output(NonEmptyValue::Failure(failure), PayloadOptions::default())?;
    session.vm.sys_end()?;
    session.flush();
    Ok(None)
}

/// The SDK's part: discovery, and the service that passes messages on.
fn sdk_endpoint(host: &Arc<Host>) -> Result<Endpoint, String> {
    let mut builder = Endpoint::builder();
    for key in &host.options.identity_keys {
        builder = builder.identity_key(key).map_err(|error| error.to_string())?;
    }
    let leave_alone = host.options.attempt_max + std::time::Duration::from_secs(60);
    let run = HandlerOptions::new().workflow_retention(host.options.retention);
    let options = ServiceOptions::new()
        .inactivity_timeout(leave_alone)
        .abort_timeout(leave_alone)
        .journal_retention(host.options.retention)
        .retry_policy_initial_interval(std::time::Duration::from_millis(100))
        .retry_policy_exponentiation_factor(2.0)
        .retry_policy_max_interval(std::time::Duration::from_secs(10))
        // A worker that is away for long is no reason to give a run up.
        .retry_policy_max_attempts(u64::from(u32::MAX))
        .handler("run", run);
    for workflow in host.registry.workflows() {
        let (service, ty) = (host.service(workflow.name()), d::ServiceType::Workflow);
        let definition = definition(&service, "run", ty, Some(d::HandlerType::Workflow))?;
        builder = builder.bind(definition.options(options.clone()));
    }
    let mailbox = definition(&host.mailbox(), "post", d::ServiceType::Service, None)?;
    Ok(builder.bind(mailbox).build())
}

fn definition(
    service: &str,
    handler: &str,
    ty: d::ServiceType,
    handler_ty: Option<d::HandlerType>,
) -> Result<ServiceDefinition, String> {
    let handler = d::Handler {
        abort_timeout: None,
        documentation: None,
        enable_lazy_state: None,
        idempotency_retention: None,
        inactivity_timeout: None,
        ingress_private: None,
        input: Some(d::InputPayload::from_metadata::<Json<serde_json::Value>>()),
        journal_retention: None,
        metadata: HashMap::default(),
        name: d::HandlerName::try_from(handler).map_err(|error| error.to_string())?,
        output: Some(d::OutputPayload::from_metadata::<Json<serde_json::Value>>()),
        retry_policy_exponentiation_factor: None,
        retry_policy_initial_interval: None,
        retry_policy_max_attempts: None,
        retry_policy_max_interval: None,
        retry_policy_on_max_attempts: None,
        ty: handler_ty,
        workflow_completion_retention: None,
    };
    let service = d::Service {
        abort_timeout: None,
        documentation: None,
        enable_lazy_state: None,
        handlers: vec![handler],
        idempotency_retention: None,
        inactivity_timeout: None,
        ingress_private: None,
        journal_retention: None,
        metadata: HashMap::default(),
        name: d::ServiceName::try_from(service).map_err(|error| error.to_string())?,
        retry_policy_exponentiation_factor: None,
        retry_policy_initial_interval: None,
        retry_policy_max_attempts: None,
        retry_policy_max_interval: None,
        retry_policy_on_max_attempts: None,
        ty,
    };
    Ok(macro_support::service_definition(Mailbox, service))
}

/// Passes messages on to runs. Only this service is the SDK's to handle: `run` never comes here.
struct Mailbox;

impl Service for Mailbox {
    type Future = BoxFuture<'static, Result<(), endpoint::Error>>;

    fn handle(&self, cx: ContextInternal) -> Self::Future {
        Box::pin(async move {
            if cx.handler_name() != "post" {
                return Err(endpoint::Error::unknown_handler(cx.service_name(), cx.handler_name()));
            }
            let (Json(posted), _) = cx.input::<Json<Posted>>().await;
            cx.resolve_signal(&posted.invocation, MAILBOX, Json(posted.letter));
            cx.handle_handler_result(Ok(Json(())));
            cx.end();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::invoked;

    #[test]
    fn only_the_run_handler_of_a_service_is_driven_here() {
        for (path, expected) in [
            ("/invoke/trip/run", Some("trip")),
            ("/behind/a/proxy/invoke/agent.ten/run", Some("agent.ten")),
            ("/invoke/midwatch.mailbox/post", None),
            ("/discover", None),
        ] {
            assert_eq!(invoked(path), expected, "{path}");
        }
    }
}
