//! The embedded engine behind the front door: one SQLite file, no server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_embedded::{Embedded, GateOptions, Options, QueueOptions};
use midwatch_workflow::{Budget, EngineError, GatePolicy, Name};

use crate::builder::sealed::{Opened, Opens, Setup};
use crate::builder::{Builder, Kind};
use crate::front::Midwatch;

/// What is particular to the embedded engine.
pub struct InProcess(Options);

/// An embedded engine before it opens.
pub type EmbeddedBuilder = Builder<InProcess>;

impl Midwatch {
    /// Prepares the embedded engine on a journal file, which is made if it is not there.
    pub fn embedded(path: impl Into<PathBuf>) -> EmbeddedBuilder {
        Builder::new(path, InProcess(Options::new("")))
    }
}

impl Builder<InProcess> {
    /// Limits a queue: how many of its attempts run at once, and how fast they start.
    pub fn queue(mut self, name: impl Into<Name>, options: QueueOptions) -> Self {
        self.kind.0.queues.insert(name.into(), options);
        self
    }

    /// Limits what all runs of a workflow together may spend in a day (of UTC). Calls under way count with what they may
    /// take; a restart does not begin anew: what is spent is in the journal.
    pub fn budget_per_day(mut self, workflow: impl Into<Name>, budget: Budget) -> Self {
        self.kind.0.budgets.workflow_day.insert(workflow.into(), budget);
        self
    }

    /// Limits what all runs for a tenant together may spend, ever.
    pub fn tenant_budget(mut self, tenant: impl Into<String>, budget: Budget) -> Self {
        self.kind.0.budgets.tenant.insert(tenant.into(), budget);
        self
    }

    /// Limits what all runs for a tenant together may spend in a day (of UTC).
    pub fn tenant_budget_per_day(mut self, tenant: impl Into<String>, budget: Budget) -> Self {
        self.kind.0.budgets.tenant_day.insert(tenant.into(), budget);
        self
    }

    /// Sets the gate of one target, e.g. `openai:gpt-4o`: how fast and how many at once to begin with, and so on.
    pub fn gate(mut self, target: impl Into<Name>, policy: GatePolicy) -> Self {
        self.kind.0.gates = self.kind.0.gates.target(target, policy);
        self
    }

    /// Sets all gates at once; by default every target that a step names has one.
    pub fn gates(mut self, gates: GateOptions) -> Self {
        self.kind.0.gates = gates;
        self
    }

    /// How long a run that only waits stays in memory; 100 ms by default.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.kind.0.linger = limit;
        self
    }
}

impl Kind for InProcess {}

impl Opens for InProcess {
    fn open(self, setup: Setup) -> BoxFuture<'static, Result<Opened, EngineError>> {
        let Setup { journal, path, registry, worker, drain } = setup;
        let options = Options { worker, drain, ..self.0 };
        let options = Options { gates: options.gates.clone().shown_beside(path), ..options };
        Box::pin(async move {
            let engine = Embedded::open(journal, registry, options).await?;
            Ok(Opened::Embedded(Arc::new(engine)))
        })
    }
}
