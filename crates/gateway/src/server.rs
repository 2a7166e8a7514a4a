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
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::answer::Answer;
use crate::config::Limits;
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
    /// all of them have.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> bool {
        let tending = tokio::spawn(tend(self.clone()));
        let gateway = self.clone();
        let answer = move |request, peer| {
            let gateway = gateway.clone();
            async move { gateway.answer(request, peer).await }
        };
        let has_drained = serve(listener, &self.config().limits, self.config().drain, stop, answer).await;
        tending.abort();
        self.tend();
        has_drained
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

/// Answers whoever connects until `stop` resolves, and then until calls under way have ended or `drain` is over. Gives
/// whether all of them have.
pub(crate) async fn serve<A: Future<Output = Answer> + Send + 'static>(
    listener: TcpListener,
    limits: &Limits,
    drain: Duration,
    stop: impl Future<Output = ()>,
    answer: impl Fn(Request<Incoming>, IpAddr) -> A + Clone + Send + 'static,
) -> bool {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
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
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let connection = graceful.watch(connection(stream, peer.ip(), limits, answer.clone()));
        tokio::spawn(async move {
            // A connection that breaks is its client's affair: what it asked for is booked by itself.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    timeout(drain, graceful.shutdown()).await.is_ok()
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
