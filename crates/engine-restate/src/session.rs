//! One invocation: Restate's state machine between the two streams of an HTTP request.
//!
//! The state machine is the one that all of Restate's SDKs stand on. It is driven here directly because the Rust SDK above
//! it cannot wait for a `run` beside anything else: a message that comes during an attempt would wait for its end, and two
//! attempts at once lose each other's wake-ups.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use midwatch_workflow::Timestamp;
use restate_sdk_shared_core::{
    AwaitResponse, CoreVM, Error, NotificationHandle, RetryPolicy, RunExitResult, UnresolvedFuture, VM as _,
    Value,
};

use crate::response::Outbox;
use crate::translate::{encode, now};

/// Why an invocation does not go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Restate takes it from here, and comes back when there is something to do.
    Suspended,
    /// The server is gone, or the history does not fit: Restate tries again.
    Failed(String),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        if error.is_suspended_error() { Broken::Suspended } else { Broken::Failed(format!("{error}")) }
    }
}

/// An invocation.
pub(crate) struct Session {
    pub(crate) vm: CoreVM,
    input: hyper::body::Incoming,
    output: Outbox,
    /// Whether anything more can come in.
    is_closed: bool,
    /// Whether Restate told the invocation to stop while something else was waited for.
    pub(crate) is_cancelled: bool,
}

impl Session {
    pub(crate) fn new(vm: CoreVM, input: hyper::body::Incoming, output: Outbox) -> Self {
        Self { vm, input, output, is_closed: false, is_cancelled: false }
    }

    /// Reads until all that the server knows of the invocation is there.
    pub(crate) async fn ready(&mut self) -> Result<(), Broken> {
        while !self.vm.is_ready_to_execute()? {
            self.read().await;
        }
        Ok(())
    }

    /// Takes in the next piece of input, or its end. Can be dropped while it waits.
    pub(crate) async fn read(&mut self) {
        if self.is_closed {
            return std::future::pending().await;
        }
        match self.input.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.vm.notify_input(data);
                }
            }
            Some(Err(error)) => {
                self.is_closed = true;
                self.vm.notify_error(Error::new(500u16, format!("the server is gone: {error}")), None);
            }
            None => self.close(),
        }
    }

    /// Takes it that nothing more comes: waiting for anything suspends the invocation.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.vm.notify_input_closed();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Puts out what there is to send; it leaves when the driver waits next.
    pub(crate) fn flush(&mut self) {
        let output = self.vm.take_output();
        if !output.is_empty() {
            self.output.put(output);
        }
    }

    /// Proposes the result of a `run`.
    pub(crate) fn propose(&mut self, handle: NotificationHandle, result: Bytes) -> Result<(), Broken> {
        self.vm.propose_run_completion(handle, RunExitResult::Success(result), RetryPolicy::None)?;
        Ok(())
    }

    /// Waits for this one notification; if it is that of a `run` that must be done, `answer` is its result.
    pub(crate) async fn wait_for(
        &mut self,
        handle: NotificationHandle,
        answer: impl Fn() -> Bytes,
    ) -> Result<Value, Broken> {
        loop {
            match self.vm.do_await(UnresolvedFuture::Single(handle))? {
                AwaitResponse::AnyCompleted => {
                    if let Some(value) = self.vm.take_notification(handle)? {
                        return Ok(value);
                    }
                }
                AwaitResponse::ExecuteRun(run) => self.propose(run, answer())?,
                AwaitResponse::CancelSignalReceived => self.is_cancelled = true,
                AwaitResponse::WaitingExternalProgress { .. } => {
                    self.flush();
                    if self.is_closed {
                        return Err(Broken::Failed("the server closed the invocation".to_owned()));
                    }
                    self.read().await;
                }
                AwaitResponse::EphemeralNotificationReady(_) => {}
            }
        }
    }

    /// What time it is, the same in every replay.
    pub(crate) async fn clock(&mut self) -> Result<Timestamp, Broken> {
        let handle = self.vm.sys_run("clock".to_owned())?.handle;
        match self.wait_for(handle, || encode(&now())).await? {
            Value::Success(micros) => {
                serde_json::from_slice(&micros).map_err(|error| Broken::Failed(error.to_string()))
            }
            other => Err(Broken::Failed(format!("a clock that says {other:?}"))),
        }
    }
}
