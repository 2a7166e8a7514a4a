//! The process that is killed: the booking example, which is given trips on its standard input and says how each ended.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Builds the example with the engines on servers, as this program was built.
///
/// # Errors
/// If it cannot be built.
pub(super) fn build() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "midwatch", "--example", "booking"]);
    cargo.args(["--features", "restate,temporal"]).current_dir(root);
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    if profile == "release" {
        cargo.arg("--release");
    }
    ensure!(cargo.status().context("start cargo")?.success(), "the booking example could not be built");
    Ok(root.join("target").join(profile).join("examples/booking"))
}

/// A worker. Dropping it kills it.
pub(super) struct Worker {
    process: Child,
    trips: Option<ChildStdin>,
    ended: Receiver<String>,
}

/// What a worker said.
pub(super) enum Heard {
    /// The trip of this id has ended.
    Ended(String),
    /// Nothing within the time.
    Nothing,
    /// It is gone.
    Gone,
}

impl Worker {
    /// Starts one, with these settings in its environment and its log in `log`.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) fn start(
        program: &Path,
        engine: &str,
        settings: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let mut process = Command::new(program)
            .args(["--engine", engine, "--stdin"])
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("start the booking example")?;
        let trips = process.stdin.take();
        let stdout = process.stdout.take().context("the worker's output")?;
        let (sender, ended) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((id, _)) = line.split_once(": ") {
                    let _ = sender.send(id.to_owned());
                }
            }
        });
        Ok(Self { process, trips, ended })
    }

    /// Gives it a trip to start; one that is gone takes none.
    pub(super) fn give(&mut self, trip: &str) {
        if let Some(trips) = &mut self.trips {
            let _ = writeln!(trips, "{trip}");
        }
    }

    /// Waits for the end of a trip, until then at the latest.
    pub(super) fn hear(&self, until: Instant) -> Heard {
        match self.ended.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(id) => Heard::Ended(id),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::Gone,
        }
    }

    /// Lets it end by itself, within a limit.
    ///
    /// # Errors
    /// If it fails, or does not end.
    pub(super) fn finish(mut self, limit: Duration) -> anyhow::Result<()> {
        self.trips = None;
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the worker ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < until, "the worker does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // As `kill -9` does; one that is gone already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
