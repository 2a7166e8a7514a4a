//! The server: connections with limits on what they may cost, and an end that lets calls under way finish.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};

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
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.config().limits.connections));
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
            let connection = self.connection(stream, peer);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A connection that breaks is its client's affair: what it asked for is booked by itself.
                let _ = connection.await;
                drop(place);
            });
        }
        drop(listener);
        let has_drained = timeout(self.config().drain, graceful.shutdown()).await.is_ok();
        tending.abort();
        self.shared.recorder.tend(self.shared.clock.now());
        has_drained
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + 'static {
        let _ = stream.set_nodelay(true);
        let limits = &self.config().limits;
        let gateway = self.clone();
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(limits.head_bytes.max(8_192))
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| {
                    let gateway = gateway.clone();
                    async move { Ok::<_, Infallible>(gateway.answer(request, peer.ip()).await) }
                }),
            )
    }
}

async fn tend(gateway: Gateway) {
    let mut ticks = interval(TEND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        gateway.shared.recorder.tend(gateway.shared.clock.now());
    }
}
