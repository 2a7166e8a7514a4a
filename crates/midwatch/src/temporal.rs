//! Temporal behind the front door: the same workflows on a Temporal server, their events mirrored into a journal file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_temporal::{Options, Server, Temporal};
use midwatch_workflow::EngineError;

use crate::builder::sealed::{Inbox, Opened, Opens, Setup};
use crate::builder::{Builder, Kind};
use crate::front::Midwatch;

/// What is particular to Temporal.
pub struct OnTemporal {
    options: Options,
    url: Option<String>,
    namespace: Option<String>,
}

/// An engine on a Temporal server before it opens.
pub type TemporalBuilder = Builder<OnTemporal>;

impl Midwatch {
    /// Prepares the engine on a Temporal server, which mirrors its runs into a journal file.
    ///
    /// The server is where Temporal's own configuration says: the environment (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`,
    /// `TEMPORAL_API_KEY`, `TEMPORAL_TLS_…`) and its `temporal.toml`; or where [`server`](Builder::server) says.
    pub fn temporal(path: impl Into<PathBuf>) -> TemporalBuilder {
        let options = Options::new(Server::Configured, "");
        Builder::new(path, OnTemporal { options, url: None, namespace: None })
    }
}

impl Builder<OnTemporal> {
    /// The server at this URL, e.g. `http://127.0.0.1:7233`, without TLS or credentials, in the namespace `default`.
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.kind.url = Some(url.into());
        self
    }

    /// Another namespace of the server that [`server`](Self::server) names; elsewhere Temporal's configuration has it.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.kind.namespace = Some(name.into());
        self
    }

    /// The task queue that starters and workers share; `midwatch` by default.
    pub fn task_queue(mut self, name: impl Into<String>) -> Self {
        self.kind.options.task_queue = name.into();
        self
    }

    /// After how many events of its history a run that is started here, and its children, goes on in a new execution; 50 at
    /// least. By default when the server suggests it, after some 4,000.
    pub fn history_max(mut self, events: u32) -> Self {
        self.kind.options.history_max = Some(events);
        self
    }

    /// How long a worker may be silent until its attempts count as lost; 10 s by default.
    pub fn lost_after(mut self, limit: Duration) -> Self {
        self.kind.options.lost_after = limit;
        self
    }
}

impl Kind for OnTemporal {}

impl Opens for OnTemporal {
    fn open(self, setup: Setup) -> BoxFuture<'static, Result<Opened, EngineError>> {
        let Setup { journal, registry, worker, drain, queues, gates, budgets } = setup;
        let Self { options, url, namespace } = self;
        Box::pin(async move {
            let server = match (url, namespace) {
                (Some(url), Some(namespace)) => Server::At { url, namespace },
                (Some(url), None) => Server::at(url),
                (None, None) => Server::Configured,
                (None, Some(_)) => {
                    let what =
                        "a namespace is named without its server: name both, or set TEMPORAL_NAMESPACE";
                    return Err(EngineError::Unavailable(what.into()));
                }
            };
            let options = Options { server, worker, drain, queues, gates, budgets, ..options };
            let engine = Arc::new(Temporal::open(journal, registry, options).await?);
            let known = Arc::clone(&engine);
            Ok(Opened { engine, gates: Box::new(move || known.gates()), inbox: Inbox::Unheard })
        })
    }
}
