//! A process that owns the journal: the engine, in the test's own process.

use std::path::Path;
use std::time::Duration;

use midwatch::{
    Backoff, Class, Context, Failure, Midwatch, RetryPolicy, RunHandle, RunId, StepContext, step, workflow,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::midwatch::{Ran, midwatch};

#[step]
async fn reserve(_cx: StepContext, _: ()) -> Result<u64, Failure> {
    Ok(7)
}

#[step]
async fn release(_cx: StepContext, _: u64) -> Result<(), Failure> {
    Ok(())
}

/// Fails the first time.
#[step]
async fn deliver(cx: StepContext, _: ()) -> Result<(), Failure> {
    match cx.attempt() {
        1 => Err(Failure::new(Class::Server, "no van")),
        _ => Ok(()),
    }
}

/// Reserves, and waits for the signal `approve`.
#[workflow]
pub(crate) async fn approval(cx: Context, _: ()) -> Result<String, Failure> {
    cx.step(reserve, &()).compensate(release, |seat| seat).await?;
    cx.signal("approve").await
}

/// Tries a step again, but only after an hour.
#[workflow]
pub(crate) async fn patient(cx: Context, _: ()) -> Result<(), Failure> {
    let hourly = RetryPolicy::default().backoff(Backoff::Fixed(Duration::from_secs(3_600)));
    cx.step(deliver, &()).retry(hourly).await
}

/// An engine that owns the journal in a folder.
pub(crate) struct Owner {
    folder: TempDir,
    runtime: Runtime,
    midwatch: Option<Midwatch>,
}

impl Owner {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let builder = Midwatch::embedded(folder.path().join("midwatch.db"));
        let builder = builder.workflow(approval).workflow(patient).step(reserve).step(release).step(deliver);
        let midwatch = runtime.block_on(builder.open()).unwrap();
        Self { folder, runtime, midwatch: Some(midwatch) }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn midwatch(&self) -> &Midwatch {
        self.midwatch.as_ref().unwrap()
    }

    /// Starts an approval; it waits for its signal soon.
    pub(crate) fn start_approval(&self, id: &str) -> RunHandle<String> {
        let start = async { self.midwatch().start(approval, ()).id(id).await };
        self.runtime.block_on(start).unwrap()
    }

    /// Starts a patient run.
    pub(crate) fn start_patient(&self, id: &str) -> RunHandle<()> {
        let start = async { self.midwatch().start(patient, ()).id(id).await };
        self.runtime.block_on(start).unwrap()
    }

    /// Waits for a run's end; `None` if it failed.
    pub(crate) fn result<T: midwatch::Data>(&self, run: &RunHandle<T>) -> Option<T> {
        self.runtime.block_on(run.result()).ok()
    }

    /// Runs the command until its output holds `text`: what the journal says follows what the engine does.
    pub(crate) fn until(&self, arguments: &str, text: &str) -> Ran {
        for _ in 0..1_000 {
            let ran = midwatch(self.folder(), arguments);
            if ran.stdout.contains(text) {
                return ran;
            }
        }
        panic!("`midwatch {arguments}` never said `{text}`");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(midwatch) = self.midwatch.take() {
            self.runtime.block_on(midwatch.shut_down());
        }
    }
}

/// Puts fixed words in the place of a run's ids.
pub(crate) fn masked(text: &str, run: RunId) -> String {
    text.replace(&run.to_string(), "RUN_ID").replace(&run.short(), "r_RUN")
}
