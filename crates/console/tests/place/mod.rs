//! A console on a thread of its own, and journals to serve. Not every test needs all of it.

#![allow(dead_code)]

pub(crate) mod journal;

use std::path::Path;
use std::thread::JoinHandle;

use midwatch_console::{Console, Settings};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A console that is served until it is dropped.
pub(crate) struct Served {
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(path: &Path, settings: Settings) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, start) = std::sync::mpsc::channel();
        let console = Console::open(path, settings).unwrap();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                let stop = async move { drop(stopped.await) };
                console.serve_on(listener, stop).await.unwrap();
            });
            runtime.shutdown_background();
        });
        let url = format!("http://{}", start.recv().unwrap());
        Self { url, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
