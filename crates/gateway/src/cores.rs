//! Threads that carry calls, each with a runtime and with connections to upstreams of its own.
//!
//! A call stays on the thread of its connection from the first byte to the last: nothing is handed from one to another, and
//! nobody is woken on another core. The price is that a connection does not move to where there is less to do. So it is
//! given to whoever has the fewest, and what takes long is done aside ([`aside`](crate::wire::aside)).

use std::io;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::answer::Answer;
use crate::config::Limits;
use crate::server::Connections;

/// The threads; they end when this is drained or dropped.
pub(crate) struct Cores {
    all: Vec<Core>,
}

struct Core {
    /// Has no limit of its own: places for connections are limited.
    arriving: UnboundedSender<Arrived>,
    /// How many connections it has.
    load: Arc<AtomicUsize>,
    /// Says at the end whether all calls had ended.
    ended: oneshot::Receiver<bool>,
}

/// A connection on its way to its thread.
struct Arrived {
    stream: std::net::TcpStream,
    peer: IpAddr,
    place: Place,
}

/// A place for a connection, among all and on its thread.
struct Place {
    _of_all: OwnedSemaphorePermit,
    load: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cores {
    /// Starts so many threads; `answering` makes for each what answers its requests.
    ///
    /// # Errors
    /// If the system gives no thread, or nothing to wait for connections with.
    pub(crate) fn start<A, F>(
        count: NonZero<usize>,
        limits: &Limits,
        drain: Duration,
        answering: impl Fn() -> A,
    ) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let start = |n| Core::start(n, limits.clone(), drain, answering());
        Ok(Self { all: (0..count.get()).map(start).collect::<io::Result<_>>()? })
    }

    /// Gives a connection to the thread that has the fewest.
    pub(crate) fn take(&self, stream: TcpStream, peer: IpAddr, of_all: OwnedSemaphorePermit) {
        let Some(core) = self.all.iter().min_by_key(|core| core.load.load(Ordering::Relaxed)) else { return };
        match stream.into_std() {
            Ok(stream) => core.give(stream, peer, of_all),
            Err(error) => tracing::warn!(%error, "a connection was lost before it was served"),
        }
    }

    /// Takes no more connections, and lets calls under way end. Gives whether all have.
    pub(crate) async fn drain(self) -> bool {
        // All are told before any is waited for.
        let ended: Vec<_> = self.all.into_iter().map(|Core { ended, .. }| ended).collect();
        let mut have_all = true;
        for ended in ended {
            have_all &= ended.await.unwrap_or(false);
        }
        have_all
    }
}

impl Core {
    fn start<A, F>(n: usize, limits: Limits, drain: Duration, answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (arriving, arrived) = unbounded_channel();
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name(format!("midwatch-calls-{n}"));
        thread.spawn(move || {
            let has_drained = runtime.block_on(carry(arrived, &limits, drain, answer));
            // Drops, and so books, what is still under way; waits for no disk.
            runtime.shutdown_background();
            let _ = end.send(has_drained);
        })?;
        Ok(Self { arriving, load: Arc::default(), ended })
    }

    fn give(&self, stream: std::net::TcpStream, peer: IpAddr, of_all: OwnedSemaphorePermit) {
        self.load.fetch_add(1, Ordering::Relaxed);
        let place = Place { _of_all: of_all, load: Arc::clone(&self.load) };
        if self.arriving.send(Arrived { stream, peer, place }).is_err() {
            tracing::error!("a thread that carries calls is gone: its connections are refused");
        }
    }
}

/// Serves the connections of one thread until no more can come, and then until their calls have ended or `drain` is over.
async fn carry<A, F>(
    mut arriving: UnboundedReceiver<Arrived>,
    limits: &Limits,
    drain: Duration,
    answer: A,
) -> bool
where
    A: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let connections = Connections::default();
    while let Some(Arrived { stream, peer, place }) = arriving.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => connections.serve(stream, peer, limits, answer.clone(), place),
            Err(error) => tracing::warn!(%error, "a connection cannot be served"),
        }
    }
    connections.drain(drain).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use http::Response;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::answer;
    use crate::server::accept;

    /// Asks on a connection, and gives the whole answer.
    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut text = String::new();
        while !text.contains("midwatch-calls-") {
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "the connection ended: {text}");
            text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
        text[text.find("midwatch-calls-").unwrap()..].to_owned()
    }

    #[tokio::test]
    async fn connections_are_spread_and_stay_where_they_are() {
        let says_its_thread = || {
            |_, _| async {
                let name = thread::current().name().unwrap_or_default().to_owned();
                answer::whole(Response::new(Bytes::from(name)))
            }
        };
        let two = NonZero::new(2).unwrap();
        let cores = Cores::start(two, &Limits::default(), Duration::from_secs(5), says_its_thread).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let take = |stream, peer, place| cores.take(stream, peer, place);
            accept(listener, 10, async { drop(stopped.await) }, take).await;
            cores.drain().await
        });
        let (mut connections, mut threads) = (Vec::new(), BTreeMap::new());
        for _ in 0..6 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let thread = ask(&mut stream).await;
            *threads.entry(thread.clone()).or_insert(0) += 1;
            connections.push((stream, thread));
        }
        assert_eq!(threads.values().copied().collect::<Vec<i32>>(), [3, 3], "{threads:?}");
        for (stream, thread) in &mut connections {
            assert_eq!(ask(stream).await, *thread);
        }
        drop(stop);
        assert!(serving.await.unwrap(), "idle connections hold nothing up");
    }
}
