//! The console in a program of your own: the journal in a browser, and as JSON.

use std::net::SocketAddr;

#[doc(inline)]
pub use midwatch_console::{Access, Clock, Console, OpenError, Settings};

use crate::Midwatch;

impl Midwatch {
    /// Serves the console for as long as this is awaited; on an address of this machine, since it asks for no token.
    ///
    /// It reads the journal beside the engine and takes a small share of one core. See `docs/console.md`.
    ///
    /// ```no_run
    /// # async fn example(midwatch: midwatch::Midwatch) -> Result<(), Box<dyn std::error::Error>> {
    /// tokio::select! {
    ///     served = midwatch.serve("127.0.0.1:7070".parse()?) => served?,
    ///     hosted = midwatch.host() => hosted?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`OpenError`]: the address is taken, or others could reach it.
    pub async fn serve(&self, address: SocketAddr) -> Result<(), OpenError> {
        self.console(Settings::default())?.serve(address, std::future::pending()).await
    }

    /// Prepares a console with settings of your own: a token, read only, more routes beside it.
    ///
    /// # Errors
    /// [`OpenError`], if the journal cannot be read.
    pub fn console(&self, settings: Settings) -> Result<Console, OpenError> {
        Console::open(self.file.journal.path(), settings)
    }
}
