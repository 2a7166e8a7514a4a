//! The answer to one call, as many clients may read at once: those that came with the same key while it was made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, StatusCode};
use tokio::sync::Notify;

use crate::answer::BoxError;
use crate::refusal::Refusal;

/// An answer that comes in.
#[derive(Default)]
pub(crate) struct Log {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    head: Option<Result<(StatusCode, HeaderMap), Refusal>>,
    chunks: Vec<Bytes>,
    end: Option<End>,
}

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Whole,
    Broken,
}

impl Log {
    /// No foreign code runs under the lock, so a poisoned one still holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, head: Result<(StatusCode, HeaderMap), Refusal>) {
        self.lock().head.get_or_insert(head);
        self.changed.notify_waiters();
    }

    pub(crate) fn add(&self, chunk: Bytes) {
        self.lock().chunks.push(chunk);
        self.changed.notify_waiters();
    }

    pub(crate) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_waiters();
    }

    /// Waits for the head.
    pub(crate) async fn head(&self) -> Result<(StatusCode, HeaderMap), Refusal> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(head) = &self.lock().head {
                return head.clone();
            }
            changed.await;
        }
    }

    /// The body from its beginning.
    pub(crate) fn body(self: Arc<Self>) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
        unfold((self, 0), |(log, at)| async move {
            let next = log.chunk(at).await?;
            Some((next, (log, at + 1)))
        })
    }

    async fn chunk(&self, at: usize) -> Option<Result<Bytes, BoxError>> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let state = self.lock();
                if let Some(chunk) = state.chunks.get(at) {
                    return Some(Ok(chunk.clone()));
                }
                match state.end {
                    Some(End::Broken) if at == state.chunks.len() => {
                        return Some(Err("the upstream's answer broke off".into()));
                    }
                    Some(_) => return None,
                    None => {}
                }
            }
            changed.await;
        }
    }
}
