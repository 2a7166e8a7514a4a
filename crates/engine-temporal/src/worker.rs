//! The worker: a thread with a runtime of its own, since workflows of the SDK cannot leave the thread that they are on.

use std::sync::{Arc, Mutex};
use std::thread;

use futures_util::future::{Either, select};
use midwatch_engine_attempt::Admissions;
use midwatch_journal::Journal;
use midwatch_workflow::{EngineError, Registry};
use temporalio_sdk::runtime::RuntimeOptions;
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::sync::{oneshot, watch};

use crate::attempt::Grounds;
use crate::connect::connect;
use crate::host::{Host, Shared};
use crate::mirror::{Mirror, Watch};
use crate::options::Options;
use crate::step::{Attempts, StepActivity, named};

type Trouble = Box<dyn std::error::Error + Send + Sync>;
type Stop = Box<dyn Fn() + Send + Sync>;

/// A running worker. Dropping it ends it at once, as a crash would.
pub(crate) struct RunningWorker {
    stop: Stop,
    pub(crate) grounds: Arc<Grounds>,
    pub(crate) mirror: Mirror,
    _kill: oneshot::Sender<()>,
    ended: watch::Receiver<Option<Result<(), String>>>,
}

/// What is there once a worker is at work.
struct Begun {
    stop: Stop,
    grounds: Arc<Grounds>,
    mirror: Mirror,
}

impl RunningWorker {
    /// Starts a worker, and comes back when it is ready.
    pub(crate) async fn start(
        options: Options,
        registry: Arc<Registry>,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, EngineError> {
        let (kill, killed) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let (tell_end, ended) = watch::channel(None);
        let thread = thread::Builder::new().name("midwatch-temporal".to_owned()).spawn(move || {
            let end = run(options, registry, journal, ready, killed).map_err(|error| error.to_string());
            if let Err(error) = &end {
                tracing::error!(error, "the worker has ended");
            }
            tell_end.send_replace(Some(end));
        });
        thread.map_err(|error| EngineError::Unavailable(Box::new(error)))?;
        match is_ready.await {
            Ok(Ok(Begun { stop, grounds, mirror })) => Ok(Self { stop, grounds, mirror, _kill: kill, ended }),
            Ok(Err(error)) => Err(EngineError::Unavailable(error)),
            Err(_) => Err(EngineError::Stopped),
        }
    }

    /// Takes no more tasks, lets attempts under way end within the drain limit, and waits for all of it.
    pub(crate) async fn shut_down(&self) -> Result<(), EngineError> {
        (self.stop)();
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await.map_err(|_| EngineError::Stopped)?.clone();
        end.unwrap_or(Ok(())).map_err(|error| EngineError::Unavailable(error.into()))
    }
}

fn run(
    options: Options,
    registry: Arc<Registry>,
    journal: Arc<dyn Journal>,
    ready: oneshot::Sender<Result<Begun, Trouble>>,
    killed: oneshot::Receiver<()>,
) -> Result<(), Trouble> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let end = tokio.block_on(async {
        let (mirror, writer) = Mirror::open(Arc::clone(&journal), options.worker.clone());
        let made = make(&options, registry, &journal, mirror.clone()).await;
        let (mut worker, grounds) = match made {
            Ok(made) => made,
            Err(error) => {
                let _ = ready.send(Err(error));
                return Ok(());
            }
        };
        let stop: Stop = Box::new(worker.shutdown_handle());
        let begun = Begun { stop, grounds: Arc::clone(&grounds), mirror: mirror.clone() };
        let _ = ready.send(Ok(begun));
        let showing = Arc::clone(&grounds);
        let showing = tokio::spawn(async move { showing.admissions.show().await });
        let end = select(Box::pin(worker.run()), killed).await;
        showing.abort();
        match end {
            Either::Left((end, _)) => {
                grounds.admissions.show_last();
                mirror.close();
                let _ = writer.await;
                end.map_err(Trouble::from)
            }
            Either::Right(_) => Ok(()),
        }
    });
    tokio.shutdown_background();
    end
}

async fn make(
    options: &Options,
    registry: Arc<Registry>,
    journal: &Arc<dyn Journal>,
    mirror: Mirror,
) -> Result<(Worker, Arc<Grounds>), Trouble> {
    let (client, _) = connect(&options.server).await?;
    let runtime = Runtime::from_current_tokio(RuntimeOptions::default())?;
    // Heartbeats bring back whether an attempt is still wanted: often enough that nobody waits long for it to stop.
    let beat = (options.lost_after / 4).min(std::time::Duration::from_secs(1));
    let admissions = Admissions::open(journal, options.admissions()).await?;
    let grounds = Arc::new(Grounds { admissions, beat, accounts: Mutex::default() });
    let mut worker = WorkerOptions::new(options.task_queue.clone())
        .max_cached_workflows(options.cached_runs)
        .sticky_queue_schedule_to_start_timeout(options.sticky)
        .max_heartbeat_throttle_interval(beat)
        .graceful_shutdown_period(options.drain)
        .worker_interceptor(Watch(mirror.clone()))
        .build();
    let shared = Arc::new(Shared { registry: Arc::clone(&registry), mirror, lost_after: options.lost_after });
    for workflow in registry.workflows() {
        let shared = Arc::clone(&shared);
        let host = move || Host::new(Arc::clone(&shared));
        named(workflow.name(), || worker.register_workflow_with_factory::<Host, _>(host).map(drop))?;
    }
    for step in registry.steps() {
        let attempts = Arc::new(Attempts { step: step.clone(), grounds: Arc::clone(&grounds) });
        named(step.name(), || {
            worker.register_activity::<StepActivity>(attempts);
        });
    }
    Ok((Worker::new(&runtime, client, worker)?, grounds))
}
