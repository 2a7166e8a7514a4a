//! The server: connections with limits on what they may cost, and an end that lets calls under way finish.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::answer::Answer;
use crate::config::Limits;
use crate::cores::Cores;
use crate::gateway::Gateway;

/// How often runs are looked after.
const TEND_EVERY: Duration = Duration::from_millis(200);

impl Gateway {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn listen(&self) -> io::Result<TcpListener> {
        TcpListener::bind(self.config().listen).await
    }

    /// Serves until `stop` resolves, and then until calls under way have ended or the time for that is over. Gives whether
    /// all of them have. Calls are carried by threads of its own.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<bool> {
        let config = self.config();
        let cores = Cores::start(config.threads(), &config.limits, config.drain, || {
            let (gateway, http) = (self.clone(), self.shared.wire.dialer.client());
            move |request, peer| {
                let (gateway, http) = (gateway.clone(), Arc::clone(&http));
                async move { gateway.answer(http, request, peer).await }
            }
        })?;
        let tending = tokio::spawn(tend(self.clone()));
        let take = |stream, peer, place| cores.take(stream, peer, place);
        accept(listener, config.limits.connections, stop, take).await;
        let has_drained = cores.drain().await;
        tending.abort();
        self.tend();
        Ok(has_drained)
    }

    /// Looks after runs, and hears what people want of them. Reads the disk.
    fn tend(&self) {
        let now = self.shared.wire.clock.now();
        if let Err(error) = self.shared.recorder.hear(now) {
            tracing::warn!(%error, "orders to runs cannot be read");
        }
        self.shared.recorder.tend(now);
        self.shared.board.show(&self.shared.wire.gates, now);
    }
}

/// Lets `take` have whoever connects, with one of so many places, until `stop` resolves.
pub(crate) async fn accept(
    listener: TcpListener,
    places: usize,
    stop: impl Future<Output = ()>,
    take: impl Fn(TcpStream, IpAddr, OwnedSemaphorePermit),
) {
    let places = Arc::new(Semaphore::new(places));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: those of other connections come free in time.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            take(stream, peer.ip(), place);
        }
    }
}

/// The connections that are served on one runtime.
#[derive(Default)]
pub(crate) struct Connections {
    graceful: GracefulShutdown,
}

impl Connections {
    /// Answers what a connection asks, in a task of its own; `place` is given back at its end.
    pub(crate) fn serve<A: Future<Output = Answer> + Send + 'static>(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        limits: &Limits,
        answer: impl Fn(Request<Incoming>, IpAddr) -> A + Send + 'static,
        place: impl Send + 'static,
    ) {
        let connection = self.graceful.watch(connection(stream, peer, limits, answer));
        tokio::spawn(async move {
            // A connection that breaks is its client's affair: what it asked for is booked by itself.
            let _ = connection.await;
            drop(place);
        });
    }

    /// Takes no more requests, and waits so long for calls under way. Gives whether all of them have ended.
    pub(crate) async fn drain(self, within: Duration) -> bool {
        timeout(within, self.graceful.shutdown()).await.is_ok()
    }
}

fn connection<A: Future<Output = Answer> + Send + 'static>(
    stream: TcpStream,
    peer: IpAddr,
    limits: &Limits,
    answer: impl Fn(Request<Incoming>, IpAddr) -> A + Send + 'static,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + 'static {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answer = answer(request, peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes.max(8_192))
        .serve_connection(TokioIo::new(stream), service)
}

async fn tend(gateway: Gateway) {
    let mut ticks = interval(TEND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let gateway = gateway.clone();
        if tokio::task::spawn_blocking(move || gateway.tend()).await.is_err() {
            tracing::error!("runs could not be looked after this time");
        }
    }
}
