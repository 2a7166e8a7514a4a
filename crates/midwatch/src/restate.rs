//! Restate behind the front door: the same workflows on a Restate server, their events mirrored into a journal file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_restate::{Options, Restate};
use midwatch_workflow::EngineError;

use crate::builder::sealed::{Inbox, Opened, Opens, Setup};
use crate::builder::{Builder, Kind};
use crate::front::Midwatch;

/// What is particular to Restate.
pub struct OnRestate(Options);

/// An engine on a Restate server before it opens.
pub type RestateBuilder = Builder<OnRestate>;

impl Midwatch {
    /// Prepares the engine on a Restate server, which mirrors its runs into a journal file.
    ///
    /// The server is on this machine at its usual ports, unless [`ingress`](Builder::ingress) and
    /// [`admin`](Builder::admin) say otherwise.
    pub fn restate(path: impl Into<PathBuf>) -> RestateBuilder {
        Builder::new(path, OnRestate(Options::new("")))
    }
}

impl Builder<OnRestate> {
    /// Restate's ingress, where runs are started; `http://127.0.0.1:8080` by default.
    pub fn ingress(mut self, url: impl Into<String>) -> Self {
        self.kind.0.ingress = url.into();
        self
    }

    /// Restate's admin API, where this process is registered; `http://127.0.0.1:9070` by default.
    pub fn admin(mut self, url: impl Into<String>) -> Self {
        self.kind.0.admin = url.into();
        self
    }

    /// Where this process listens for Restate. Runs are pinned to the address: a process that is to go on with them after
    /// a restart needs the same one again. By default it is any free port of the loopback interface.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.kind.0.listen = address;
        self
    }

    /// How Restate reaches this process, if not by the address that it listens on.
    pub fn advertise(mut self, uri: impl Into<String>) -> Self {
        self.kind.0.advertise = Some(uri.into());
        self
    }

    /// Put before the name of every service, for several applications on one server.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.kind.0.prefix = prefix.into();
        self
    }

    /// Takes only requests that Restate signed with a key that belongs to this public one (`publickeyv1_…`), or another
    /// that is named.
    pub fn identity_key(mut self, key: impl Into<String>) -> Self {
        self.kind.0.identity_keys.push(key.into());
        self
    }

    /// The longest that any attempt may take; 1 h by default. One that takes longer is cut by the server and made again.
    pub fn attempt_max(mut self, limit: Duration) -> Self {
        self.kind.0.attempt_max = limit;
        self
    }

    /// How long Restate remembers a run that has ended, and that its workflow id is taken; 7 days by default.
    pub fn retention(mut self, limit: Duration) -> Self {
        self.kind.0.retention = limit;
        self
    }

    /// How long a run that only waits stays in memory; 10 s by default.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.kind.0.linger = limit;
        self
    }
}

impl Kind for OnRestate {}

impl Opens for OnRestate {
    fn patience(&self) -> Option<Duration> {
        Some(Options::JOURNAL_PATIENCE)
    }

    fn open(self, setup: Setup) -> BoxFuture<'static, Result<Opened, EngineError>> {
        let Setup { journal, registry, worker, drain, queues, gates, budgets } = setup;
        let options = Options { worker, drain, queues, gates, budgets, ..self.0 };
        Box::pin(async move {
            let engine = Arc::new(Restate::open(journal, registry, options).await?);
            let known = Arc::clone(&engine);
            Ok(Opened { engine, gates: Box::new(move || known.gates()), inbox: Inbox::Unheard })
        })
    }
}
