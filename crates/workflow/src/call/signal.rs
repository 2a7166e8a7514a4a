//! A wait for a signal.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::context::Context;
use crate::event::TimerPurpose;
use crate::op::OpKind;
use crate::state::Answer;
use crate::{Class, Data, Failure, Payload};

/// A signal that will be waited for; made by [`Context::signal`].
#[must_use = "a signal is waited for when it is awaited"]
pub struct SignalCall<T> {
    cx: Context,
    name: String,
    limit: Option<Duration>,
    payload: PhantomData<fn() -> T>,
}

impl<T: Data> SignalCall<T> {
    pub(crate) fn new(cx: Context, name: String) -> Self {
        Self { cx, name, limit: None, payload: PhantomData }
    }

    /// Waits at most so long, then fails with class `timeout`.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    async fn wait(self) -> Result<T, Failure> {
        let Some(limit) = self.limit else {
            return taken(self.cx.ask(OpKind::Signal { name: self.name })?.await?)?.read();
        };
        let until = self.cx.now() + limit;
        let mut signal = pin!(self.cx.ask(OpKind::Signal { name: self.name.clone() })?);
        let mut timer = pin!(self.cx.timer(until, TimerPurpose::SignalTimeout)?);
        let first = poll_fn(|cx| match signal.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => timer.as_mut().poll(cx).map(|fired| fired.err().map(Err)),
        });
        match first.await {
            Some(answer) => taken(answer?)?.read(),
            None => {
                let message = format!("signal {} did not come within {limit:?}", self.name);
                Err(Failure::new(Class::Timeout, message))
            }
        }
    }
}

fn taken(answer: Answer) -> Result<Payload, Failure> {
    match answer {
        Answer::Signal(payload) => Ok(payload),
        _ => Err(Failure::new(Class::Bug, "engine answered a signal with something else")),
    }
}

impl<T: Data> IntoFuture for SignalCall<T> {
    type Output = Result<T, Failure>;
    type IntoFuture = BoxFuture<'static, Result<T, Failure>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}
