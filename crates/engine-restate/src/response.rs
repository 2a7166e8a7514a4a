//! The bodies of responses: an invocation, which is carried on by asking it for more, and what the SDK answers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

/// What an invocation has to send, until the connection asks for it. The driver waits for an answer to whatever it sends, so
/// it holds little.
#[derive(Clone, Default)]
pub(crate) struct Outbox(Arc<Mutex<VecDeque<Bytes>>>);

impl Outbox {
    pub(crate) fn put(&self, data: Bytes) {
        self.contents().push_back(data);
    }

    fn take(&self) -> Option<Bytes> {
        self.contents().pop_front()
    }

    fn contents(&self) -> MutexGuard<'_, VecDeque<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The response to an invocation. There is no task besides: whoever asks for more of it carries the invocation on, and what it
/// puts out is sent without waking anybody. If the connection drops it, the invocation is dropped as well.
pub(crate) struct Carried {
    /// `None` once it has ended.
    invocation: Option<BoxFuture<'static, ()>>,
    output: Outbox,
}

impl Carried {
    pub(crate) fn new(invocation: impl Future<Output = ()> + Send + 'static, output: Outbox) -> Self {
        Self { invocation: Some(Box::pin(invocation)), output }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.output.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let is_pending = match &mut self.invocation {
            None => false,
            Some(invocation) => invocation.as_mut().poll(cx).is_pending(),
        };
        if !is_pending {
            self.invocation = None;
        }
        match self.output.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if is_pending => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

/// Ends a body where it fails: Restate sees a stream that is cut.
pub(crate) fn infallible<B>(body: B) -> UnsyncBoxBody<Bytes, Infallible>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    UntilError(Box::pin(body)).boxed_unsync()
}

struct UntilError<B>(Pin<Box<B>>);

impl<B: Body<Data = Bytes>> Body for UntilError<B> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.as_mut().poll_frame(cx).map(|frame| frame.and_then(Result::ok).map(Ok))
    }
}
