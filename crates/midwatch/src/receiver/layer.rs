//! The layer: takes the key, carries the request out to its end, keeps the answer, sends it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use midwatch_journal::receipts::{Answer, Begun, Receipts};
use midwatch_workflow::Timestamp;
use tower_layer::Layer;
use tower_service::Service;

use super::refusal::Refusal;
use super::request::{fingerprint, key};

/// Says that an answer is that of an earlier request; Stripe's header.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What to do with a key whose request was under way when the process died.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnUnknown {
    /// Answer 500 as a replay, so that the sender parks for a person: nothing is done twice.
    #[default]
    Refuse,
    /// Carry it out again: for handlers that are idempotent themselves, e.g. one database transaction.
    RunAgain,
}

/// The layer; see the [module](super).
#[derive(Clone)]
pub struct Idempotency {
    receipts: Arc<Receipts>,
    on_unknown: OnUnknown,
    request_bytes_max: usize,
    answer_bytes_max: usize,
}

impl Idempotency {
    /// Opens the store of receipts; each is kept for `lifetime`. Senders must not retry past it.
    ///
    /// # Errors
    /// If the file cannot be opened, or another process has it.
    pub fn open(path: impl Into<PathBuf>, lifetime: Duration) -> Result<Self, midwatch_journal::Error> {
        let receipts = Arc::new(Receipts::open(path, lifetime)?);
        let (request_bytes_max, answer_bytes_max) = (1 << 20, 4 << 20);
        Ok(Self { receipts, on_unknown: OnUnknown::default(), request_bytes_max, answer_bytes_max })
    }

    /// What to do with a key whose request was under way when the process died.
    #[must_use]
    pub fn on_unknown(self, rule: OnUnknown) -> Self {
        Self { on_unknown: rule, ..self }
    }

    /// The largest body of a request with a key, in bytes; 1 MiB by default. Beyond it the answer is 413.
    #[must_use]
    pub fn request_bytes_max(self, bytes: usize) -> Self {
        Self { request_bytes_max: bytes, ..self }
    }

    /// The largest answer that is kept, in bytes; 4 MiB by default. A larger one is sent once, and its repeat gets 500.
    #[must_use]
    pub fn answer_bytes_max(self, bytes: usize) -> Self {
        Self { answer_bytes_max: bytes, ..self }
    }

    /// The store's calls wait for the disk.
    async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Receipts) -> Result<T, midwatch_journal::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let receipts = Arc::clone(&self.receipts);
        match tokio::task::spawn_blocking(move || work(&receipts)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::error!(%error, "receipts");
                Err(Refusal::Store)
            }
            Err(_) => Err(Refusal::Store),
        }
    }

    async fn begin(&self, key: &str, fingerprint: [u8; 16]) -> Result<Option<Answer>, Refusal> {
        loop {
            let (for_store, now) = (key.to_owned(), now());
            match self.store(move |receipts| receipts.begin(&for_store, fingerprint, now)).await? {
                Begun::New => return Ok(None),
                Begun::Done(Some(answer)) => return Ok(Some(answer)),
                Begun::Done(None) => return Err(Refusal::NotKept),
                Begun::InProgress => return Err(Refusal::InProgress),
                Begun::Other => return Err(Refusal::OtherRequest),
                Begun::Unknown if self.on_unknown == OnUnknown::Refuse => return Err(Refusal::Unknown),
                Begun::Unknown => {
                    let for_store = key.to_owned();
                    self.store(move |receipts| receipts.forget(&for_store)).await?;
                }
            }
        }
    }

    async fn forget(&self, key: String) {
        // A store that fails now leaves the key in progress: refused rather than done twice.
        let _ = self.store(move |receipts| receipts.forget(&key)).await;
    }
}

impl<S> Layer<S> for Idempotency {
    type Service = IdempotencyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService { inner, idempotency: self.clone() }
    }
}

/// A service whose requests with a key are carried out once; made by [`Idempotency`].
#[derive(Clone)]
pub struct IdempotencyService<S> {
    inner: S,
    idempotency: Idempotency,
}

impl<S, B, R> Service<Request<B>> for IdempotencyService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    R: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone may not be ready; the one that was polled is.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let key = match key(request.method(), request.headers()) {
            Ok(Some(key)) => key,
            Ok(None) => return Box::pin(inner.call(request)),
            Err(refusal) => return Box::pin(async move { Ok(refusal.response()) }),
        };
        let idempotency = self.idempotency.clone();
        Box::pin(async move {
            match carry_out(idempotency, inner, key, request).await {
                Ok(response) => response,
                Err(refusal) => Ok(refusal.response()),
            }
        })
    }
}

async fn carry_out<S, B, R>(
    idempotency: Idempotency,
    mut inner: S,
    key: String,
    request: Request<B>,
) -> Result<Result<Response<R>, S::Error>, Refusal>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    R: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let (parts, body) = request.into_parts();
    let body = read(body, idempotency.request_bytes_max).await?;
    if let Some(answer) = idempotency.begin(&key, fingerprint(&parts, &body)).await? {
        return Ok(Ok(replay(answer)));
    }
    // A client that leaves drops this future; the task goes on, so that nothing is left half done and unanswered.
    let task = tokio::spawn(async move {
        match inner.call(Request::from_parts(parts, B::from(body))).await {
            Ok(response) => Ok(keep(&idempotency, key, response).await),
            Err(error) => {
                idempotency.forget(key).await;
                Err(error)
            }
        }
    });
    // A handler that panicked may have had its effect: its key stays in progress and becomes unknown.
    task.await.map_err(|_| Refusal::Unknown)
}

/// Keeps an answer before it is sent, unless it says that the request was turned away.
async fn keep<R>(idempotency: &Idempotency, key: String, response: Response<R>) -> Response<R>
where
    R: Body<Data = Bytes> + From<Bytes> + Send,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let is_turned_away =
        matches!(parts.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    if is_turned_away {
        idempotency.forget(key).await;
    } else {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let answer = (body.len() <= idempotency.answer_bytes_max).then(|| Answer {
            status: parts.status.as_u16(),
            headers: parts.headers.iter().filter_map(header).collect(),
            body: body.to_vec(),
        });
        if let Err(refusal) =
            idempotency.store(move |receipts| receipts.complete(&key, answer.as_ref())).await
        {
            tracing::error!(?refusal, "answer could not be kept: its key stays in progress");
        }
    }
    Response::from_parts(parts, R::from(body))
}

async fn read<B>(body: B, limit: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(_) => Err(Refusal::BrokenBody),
    }
}

fn replay<R: From<Bytes>>(answer: Answer) -> Response<R> {
    let mut response = Response::new(R::from(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
