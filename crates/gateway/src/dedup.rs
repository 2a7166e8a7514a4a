//! Repeats: a call with a key that was answered already gets that answer, and two at once share one call.
//!
//! The answer is durable before its end is sent, so a client that did not get it, whoever died in between, asks again and
//! gets the same. What a retry may cure (limits, failures, broken streams, budgets) is not kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use midwatch_journal::receipts::{Answer as Kept, Begun, Receipts};
use midwatch_workflow::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use crate::answer::{Answer, Flow};
use crate::call::{Call, carry_out};
use crate::config::{Dedup as Options, DedupBy, Invalid, OnUnknown};
use crate::gateway::Shared;
use crate::log::{End, Log};
use crate::refusal::{OfTheGateway, Refusal};

/// Says that an answer is that of an earlier call; Stripe's header.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const COST: HeaderName = HeaderName::from_static("x-midwatch-cost-usd");
/// The longest key, in bytes; Stripe's limit.
const KEY_BYTES_MAX: usize = 255;

/// The store of answers, and the calls under way.
pub(crate) struct Dedup {
    receipts: Arc<Receipts>,
    options: Options,
    under_way: Mutex<HashMap<String, Made>>,
}

struct Made {
    fingerprint: [u8; 16],
    log: Arc<Log>,
}

/// By what a call is known again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    key: String,
    fingerprint: [u8; 16],
}

impl Dedup {
    /// Opens the store beside a journal; `None` if repeats are not to be recognised.
    pub(crate) fn open(options: &Options, journal: &Path) -> Result<Option<Self>, Invalid> {
        if options.by == DedupBy::Off {
            return Ok(None);
        }
        let mut path = PathBuf::from(journal);
        path.as_mut_os_string().push(".receipts");
        let receipts = Receipts::open(path, options.lifetime);
        let receipts = receipts.map_err(|error| Invalid::new(format!("dedup: {error}")))?;
        Ok(Some(Self { receipts: Arc::new(receipts), options: options.clone(), under_way: Mutex::default() }))
    }

    /// The key of a call, if it has one.
    ///
    /// # Errors
    /// A key that cannot be one.
    pub(crate) fn key(
        &self,
        client: &HeaderMap,
        call: &Call,
        is_named: bool,
    ) -> Result<Option<Key>, Refusal> {
        let mut given = client.get_all("idempotency-key").into_iter();
        let own = given.next().map(|key| key.to_str().unwrap_or_default().trim().trim_matches('"'));
        if own.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) || given.next().is_some() {
            let what = "expected one Idempotency-Key of 1 to 255 bytes";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_key", what));
        }
        // Keys of one tenant are not those of another.
        let tenant = call.tenant.as_deref().unwrap_or_default();
        let key = match own {
            Some(key) => format!("{tenant}/key/{key}"),
            None if self.options.by == DedupBy::Derived && is_named => {
                format!("{tenant}/call/{}/{}/{:016x}", call.book.run(), call.step, call.asked.same)
            }
            None => return Ok(None),
        };
        let mut hash = Xxh3::new();
        for part in [call.method.as_str().as_bytes(), call.rest.as_bytes(), &call.asked.body] {
            hash.update(&part.len().to_le_bytes());
            hash.update(part);
        }
        Ok(Some(Key { key, fingerprint: hash.digest128().to_be_bytes() }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Made>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call once, whoever asks for it how often.
    ///
    /// # Errors
    /// It was not sent, or its key stands for another request.
    pub(crate) async fn once(shared: Arc<Shared>, call: Call, key: Key) -> Result<Answer, Refusal> {
        let Some(dedup) = &shared.dedup else { return carry_out(Arc::clone(&shared.wire), call).await };
        let log = {
            let mut under_way = dedup.lock();
            match under_way.get(&key.key) {
                Some(other) if other.fingerprint != key.fingerprint => return Err(other_request()),
                Some(same) => Arc::clone(&same.log),
                None => {
                    let log = Arc::new(Log::default());
                    let entry = Made { fingerprint: key.fingerprint, log: Arc::clone(&log) };
                    under_way.insert(key.key.clone(), entry);
                    // In a task of its own: whoever asked first may leave, others stay.
                    tokio::spawn(lead(Arc::clone(&shared), call, key, Arc::clone(&log)));
                    log
                }
            }
        };
        let (status, headers) = log.head().await?;
        let mut response = Response::new(Flow::Shared(Box::pin(log.body())));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// The store's calls wait for the disk.
    async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Receipts) -> Result<T, midwatch_journal::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let receipts = Arc::clone(&self.receipts);
        let done = tokio::task::spawn_blocking(move || work(&receipts)).await;
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(crate::wire::not_booked(&error)),
            Err(error) => Err(crate::wire::not_booked(&error)),
        }
    }

    /// What is known of a key; takes it if nothing is.
    async fn begin(&self, key: &Key, now: Timestamp) -> Result<Option<Kept>, Refusal> {
        loop {
            let Key { key: taken, fingerprint } = key.clone();
            match self.store(move |receipts| receipts.begin(&taken, fingerprint, now)).await? {
                Begun::New => return Ok(None),
                Begun::Done(Some(kept)) => return Ok(Some(kept)),
                Begun::Done(None) => {
                    let what = "the answer under this key was too large to keep";
                    return Err(Refusal::new(StatusCode::CONFLICT, "answer_not_kept", what));
                }
                Begun::Other => return Err(other_request()),
                Begun::Unknown | Begun::InProgress if self.options.on_unknown == OnUnknown::Refuse => {
                    let what = "the gateway died during the call with this key: whether it was carried out is not known";
                    return Err(Refusal::new(StatusCode::CONFLICT, "unknown_outcome", what));
                }
                Begun::Unknown | Begun::InProgress => {}
            }
            self.forget(key.key.clone()).await;
        }
    }

    async fn forget(&self, key: String) {
        // A store that fails now leaves the key in progress: the next start knows it as unknown.
        let _ = self.store(move |receipts| receipts.forget(&key)).await;
    }
}

/// Takes the key from the calls under way, whatever becomes of its call.
struct Leading {
    shared: Arc<Shared>,
    key: String,
    log: Arc<Log>,
}

impl Drop for Leading {
    fn drop(&mut self) {
        if let Some(dedup) = &self.shared.dedup {
            dedup.lock().remove(&self.key);
        }
        let what = "the call was given up: see the gateway's log";
        self.log.begin(Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "gateway", what)));
        self.log.end(End::Broken);
    }
}

async fn lead(shared: Arc<Shared>, call: Call, key: Key, log: Arc<Log>) {
    let leading = Leading { shared: Arc::clone(&shared), key: key.key.clone(), log: Arc::clone(&log) };
    let Some(dedup) = &shared.dedup else { return };
    match dedup.begin(&key, shared.wire.clock.now()).await {
        Err(refusal) => log.begin(Err(refusal)),
        Ok(Some(kept)) => replay(kept, &log),
        Ok(None) => match carry_out(Arc::clone(&shared.wire), call).await {
            Err(refusal) => {
                dedup.forget(key.key).await;
                log.begin(Err(refusal));
            }
            Ok(answer) => pump(dedup, answer, key.key, &log).await,
        },
    }
    drop(leading);
}

/// Reads an answer to its end, keeps it if it is one to be kept, and lets whoever waits have it.
async fn pump(dedup: &Dedup, answer: Answer, key: String, log: &Log) {
    let (parts, mut body) = answer.into_parts();
    let is_stream = matches!(body, Flow::Stream(_));
    let is_kept = is_final(parts.status) && parts.extensions.get::<OfTheGateway>().is_none();
    if is_stream {
        log.begin(Ok((parts.status, parts.headers.clone())));
    }
    let (mut whole, mut is_large, mut end) = (Vec::new(), false, End::Whole);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            end = End::Broken;
            break;
        };
        if let Ok(chunk) = frame.into_data() {
            is_large |= whole.len() + chunk.len() > dedup.options.answer_bytes;
            if !is_large {
                whole.extend_from_slice(&chunk);
            }
            log.add(chunk);
        }
    }
    let has_failed = matches!(&body, Flow::Stream(tap) if tap.has_failed());
    if is_kept && end == End::Whole && !has_failed {
        let kept = (!is_large).then(|| keep(parts.status, &parts.headers, whole));
        let kept = dedup.store(move |receipts| receipts.complete(&key, kept.as_ref())).await;
        if let Err(refusal) = kept {
            tracing::error!(why = refusal.message, "an answer could not be kept");
        }
    } else {
        dedup.forget(key).await;
    }
    log.begin(Ok((parts.status, parts.headers)));
    log.end(end);
}

/// Whether asking again would give the same.
fn is_final(status: StatusCode) -> bool {
    status.is_success()
        || (status.is_client_error() && !matches!(status.as_u16(), 402 | 408 | 409 | 425 | 429))
}

fn keep(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Kept {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    Kept { status: status.as_u16(), headers: headers.iter().filter_map(header).collect(), body }
}

fn replay(kept: Kept, log: &Log) {
    let mut headers = HeaderMap::with_capacity(kept.headers.len() + 1);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    // What it cost was paid for the first one.
    headers.insert(COST, HeaderValue::from_static("0.00"));
    log.begin(Ok((StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK), headers)));
    log.add(Bytes::from(kept.body));
    log.end(End::Whole);
}

fn other_request() -> Refusal {
    let what = "this key was used for another request";
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "other_request", what)
}
