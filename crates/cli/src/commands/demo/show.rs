//! The console beside a demo: it shows the journal from the moment there is one, and stays until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use midwatch_console::{Console, OpenError, Settings};
use midwatch_journal::Error;
use tokio::net::TcpListener;

use crate::control::user;
use crate::stop::Stop;

/// A console on a thread of its own.
pub(super) struct Shown {
    pub(super) url: String,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// How often it is looked whether there is a journal yet.
const LOOK: Duration = Duration::from_millis(50);

/// Begins to serve a journal that need not be there yet, at `listen` or, if that is taken, at a free port.
///
/// # Errors
/// If no address can be had.
pub(super) fn show(db: &Path, listen: SocketAddr) -> anyhow::Result<Shown> {
    let (started, start) = std::sync::mpsc::channel();
    let db = db.to_owned();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let served = runtime.block_on(async {
            let listener = match TcpListener::bind(listen).await {
                Ok(listener) => listener,
                Err(_) => TcpListener::bind(SocketAddr::new(listen.ip(), 0)).await?,
            };
            let mut stop = Stop::listen()?;
            started.send(listener.local_addr()?).context("the demo has ended")?;
            let console = tokio::select! {
                console = open(db) => console?,
                () = stop.told() => return Ok(()),
            };
            console.serve_on(listener, async move { stop.told().await }).await?;
            Ok(())
        });
        // What still renders is of no more use.
        runtime.shutdown_background();
        served
    });
    match start.recv() {
        Ok(address) => Ok(Shown { url: format!("http://{address}"), thread }),
        Err(_) => Err(ended(thread)),
    }
}

impl Shown {
    /// Stays until somebody stops it.
    ///
    /// # Errors
    /// If it could not serve.
    pub(super) fn stay(self) -> anyhow::Result<()> {
        self.thread.join().map_err(|_| anyhow!("the console's thread panicked"))?
    }
}

async fn open(db: PathBuf) -> Result<Console, OpenError> {
    loop {
        match Console::open(&db, Settings { by: user(), ..Settings::default() }) {
            Err(OpenError::Journal(Error::Missing { .. })) => tokio::time::sleep(LOOK).await,
            opened => return opened,
        }
    }
}

fn ended(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Error {
    match thread.join() {
        Ok(Err(error)) => error.context("the console cannot be served"),
        _ => anyhow!("the console cannot be served"),
    }
}
