//! Starting, steering, and stopping the simulator.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::{Config, Keys, Latency, RateLimit};
use crate::connection::{Door, Line};
use crate::fault::{FaultPlan, Faults};
use crate::ledger::Ledger;
use crate::outage::{Outage, OutageWindow};
use crate::routes;
use crate::script::Cue;
use crate::world::World;

/// How long `stop` waits for connections to finish.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Providers that run until they are stopped or dropped. One port serves all of them.
#[derive(Debug)]
pub struct Simulator {
    world: Arc<World>,
    address: SocketAddr,
    running: Running,
}

#[derive(Debug)]
enum Running {
    /// On the runtime of whoever started it.
    Task(JoinHandle<()>),
    /// On a thread and a runtime of its own.
    Thread(thread::JoinHandle<()>),
    Stopped,
}

/// Starts the simulator that a configuration describes, on the current tokio runtime.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if the configuration cannot work; otherwise what binding the address gave.
pub async fn serve(config: Config) -> io::Result<Simulator> {
    config.validate()?;
    let listener = TcpListener::bind((config.address, config.port)).await?;
    let address = listener.local_addr()?;
    let world = World::new(config);
    let mut stop = world.stop.subscribe();
    let app = routes::router(world.clone()).into_make_service_with_connect_info::<Line>();
    let serving = axum::serve(Door(listener), app)
        .with_graceful_shutdown(async move {
            // An error means that the world is gone: stopped as well.
            let _ = stop.wait_for(|stopped| *stopped).await;
        })
        .into_future();
    let server = tokio::spawn(async move {
        // `axum::serve` does not end with an error; it retries what a listener cannot accept.
        let _ = serving.await;
    });
    Ok(Simulator { world, address, running: Running::Task(server) })
}

/// Starts the simulator on a thread of its own: for tests without a runtime, and where the measured program must not
/// share one with what it is measured against.
///
/// # Errors
/// As [`serve`], and if no thread or runtime can be had.
pub fn serve_on_thread(config: Config) -> io::Result<Simulator> {
    let (started, start) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("midwatch-simulator".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let run = |runtime: tokio::runtime::Runtime| {
            runtime.block_on(async {
                let simulator = match serve(config).await {
                    Ok(simulator) => simulator,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let mut stop = simulator.world.stop.subscribe();
                // If nobody waits for the start any more, nobody can stop it either.
                if started.send(Ok((simulator.world.clone(), simulator.address))).is_ok() {
                    let _ = stop.wait_for(|stopped| *stopped).await;
                }
                simulator.stop().await;
            });
        };
        match runtime {
            Ok(runtime) => run(runtime),
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    let (world, address) = start.recv().map_err(io::Error::other)??;
    Ok(Simulator { world, address, running: Running::Thread(thread) })
}

impl Simulator {
    /// Begins to describe a simulator.
    pub fn builder() -> Builder {
        Builder { config: Config::default() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes into `OPENAI_BASE_URL`: the address with `/v1`.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.base_url())
    }

    /// What goes into `ANTHROPIC_BASE_URL`: the address without `/v1`, which Anthropic's clients add.
    pub fn anthropic_url(&self) -> String {
        self.base_url()
    }

    /// The address of the payment API and of the effects, without `/v1`.
    pub fn payments_url(&self) -> String {
        self.base_url()
    }

    /// What really happened.
    pub fn ledger(&self) -> &Ledger {
        &self.world.ledger
    }

    /// Adds cues to the script, behind those that wait. At most 10,000 may wait; what is beyond is dropped, and the
    /// answer is `false`.
    pub fn script(&self, cues: impl IntoIterator<Item = Cue>) -> bool {
        self.world.script.extend(cues)
    }

    /// Drops the cues that were not used.
    pub fn clear_script(&self) {
        self.world.script.clear();
    }

    /// Everything is down from now on, for this long; `None` until [`restore`](Self::restore).
    pub fn outage(&self, outage: Outage, time: Option<Duration>) {
        let until = time.map_or(Duration::MAX, |time| self.world.now().saturating_add(time));
        self.world.outages.switch_on(outage, until);
    }

    /// Ends an outage that was switched on; planned ones still hold.
    pub fn restore(&self) {
        self.world.outages.switch_off();
    }

    /// Stops: hung requests are let go, connections close, and the port is free again.
    pub async fn stop(mut self) {
        self.world.stop.send_replace(true);
        match std::mem::replace(&mut self.running, Running::Stopped) {
            Running::Task(mut server) => {
                if tokio::time::timeout(STOP_GRACE, &mut server).await.is_err() {
                    server.abort();
                }
            }
            // The thread ends within the same grace; an error would be its panic, which was already printed.
            Running::Thread(thread) => drop(tokio::task::spawn_blocking(move || thread.join()).await),
            Running::Stopped => {}
        }
    }

    /// Stops from outside of a runtime. One that was started by [`serve`] is told to stop, but not waited for.
    pub fn stop_blocking(mut self) {
        self.world.stop.send_replace(true);
        if let Running::Thread(thread) = std::mem::replace(&mut self.running, Running::Stopped) {
            let _ = thread.join();
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.world.stop.send_replace(true);
    }
}

/// Describes a simulator step by step; see [`Config`] for what each setting means.
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// Sets what everything random depends on.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Listens on this port instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.config.port = port;
        self
    }

    /// Lets each provider admit so many requests per second, and so many at once.
    pub fn rate_limit(mut self, per_second: f64, burst: u32) -> Self {
        self.config.rate_limit = Some(RateLimit { per_second, burst });
        self
    }

    /// Strikes all providers at random.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.config.faults = FaultPlan::everywhere(faults);
        self
    }

    /// Strikes the language models at random.
    pub fn faults_on_models(mut self, faults: Faults) -> Self {
        self.config.faults.llm = faults;
        self
    }

    /// Strikes charges, refunds and other effects at random.
    pub fn faults_on_effects(mut self, faults: Faults) -> Self {
        self.config.faults.effects = faults;
        self
    }

    /// Takes time to answer.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.config.latency = latency;
        self
    }

    /// Treats idempotency keys otherwise than Stripe does.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.config.keys = keys;
        self
    }

    /// Is down in this window.
    pub fn outage(mut self, window: OutageWindow) -> Self {
        self.config.outages.push(window);
        self
    }

    /// Adds cues to the script.
    pub fn script(mut self, cues: impl IntoIterator<Item = Cue>) -> Self {
        self.config.script.extend(cues);
        self
    }

    /// The settings so far, to change what has no method here.
    pub fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Starts it; see [`serve`] for the errors.
    ///
    /// # Errors
    /// As [`serve`].
    pub async fn start(self) -> io::Result<Simulator> {
        serve(self.config).await
    }

    /// Starts it on a thread of its own; see [`serve_on_thread`].
    ///
    /// # Errors
    /// As [`serve_on_thread`].
    pub fn start_on_thread(self) -> io::Result<Simulator> {
        serve_on_thread(self.config)
    }
}
