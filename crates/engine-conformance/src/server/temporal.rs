//! A Temporal server: the development server of its command line.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Process, found, free_ports, tools, wait_until_up};

/// Where a server keeps its data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storage {
    Memory,
    Disk,
}

/// A running Temporal server.
pub struct TemporalServer {
    program: PathBuf,
    process: Process,
    folder: tempfile::TempDir,
    storage: Storage,
    /// Of the API, of HTTP, of metrics.
    ports: [u16; 3],
    namespaces: Vec<String>,
    /// Dynamic configuration beside the usual.
    settings: Vec<String>,
}

impl TemporalServer {
    /// Starts a server whose data is in memory, with these namespaces beside `default`; `None` if none is installed.
    ///
    /// # Panics
    /// If it is installed and does not come up.
    pub fn start(namespaces: &[&str]) -> Option<Self> {
        Self::start_on(Storage::Memory, namespaces, &[])
    }

    /// The same with dynamic configuration of its own, e.g. `limit.historyCount.suggestContinueAsNew=60`.
    ///
    /// # Panics
    /// If it is installed and does not come up.
    pub fn start_with(namespaces: &[&str], settings: &[&str]) -> Option<Self> {
        Self::start_on(Storage::Memory, namespaces, settings)
    }

    /// Starts a server whose data is on disk, where it outlives [`kill_and_restart`](Self::kill_and_restart).
    ///
    /// # Panics
    /// If it is installed and does not come up.
    pub fn start_on_disk(namespaces: &[&str]) -> Option<Self> {
        Self::start_on(Storage::Disk, namespaces, &[])
    }

    fn start_on(storage: Storage, namespaces: &[&str], settings: &[&str]) -> Option<Self> {
        let named = std::env::var_os("MIDWATCH_TEMPORAL").map(PathBuf::from);
        let program = named.unwrap_or_else(|| tools().join("temporal/bin/temporal"));
        let program = found(Some(program), "Temporal server", "MIDWATCH_REQUIRE_TEMPORAL")?;
        let folder = tempfile::tempdir().expect("a folder for the server's data");
        let owned = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        let (ports, namespaces, settings) = (free_ports(), owned(namespaces), owned(settings));
        let process = spawn(&program, folder.path(), storage, ports, &namespaces, &settings);
        let server = Self { program, process, folder, storage, ports, namespaces, settings };
        server.wait();
        Some(server)
    }

    /// Kills the server as `kill -9` does, and starts it again on what its disk holds.
    ///
    /// # Panics
    /// If it does not come up again.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        let Self { program, folder, storage, ports, namespaces, settings, .. } = &*self;
        self.process = spawn(program, folder.path(), *storage, *ports, namespaces, settings);
        self.wait();
    }

    /// Where it is, as its clients want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it is, as its command line wants it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Where it is, for whoever stands before it.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[0]))
    }

    /// Runs the server's own command line, and gives what it says.
    ///
    /// # Panics
    /// If it fails.
    pub fn tell(&self, namespace: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        let address = self.address();
        let command = command.args(arguments).args(["--address", &address, "--namespace", namespace]);
        let output = command.output().expect("the command line starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// It listens before it is ready, so it is asked.
    fn wait(&self) {
        let is_up = || {
            let mut asked = Command::new(&self.program);
            let asked = asked.args(["operator", "cluster", "health", "--address", &self.address()]);
            asked.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        wait_until_up("the Temporal server", is_up, &self.folder.path().join("server.log"));
    }
}

fn spawn(
    program: &Path,
    folder: &Path,
    storage: Storage,
    [port, http, metrics]: [u16; 3],
    namespaces: &[String],
    settings: &[String],
) -> Process {
    let log = File::options().create(true).append(true).open(folder.join("server.log")).expect("a log");
    let mut server = Command::new(program);
    server
        .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"])
        .args(["--port", &port.to_string()])
        .args(["--http-port", &http.to_string(), "--metrics-port", &metrics.to_string()])
        // The development server waits longer than a cluster before it passes tasks on, and rounds timers up.
        .args(["--dynamic-config-value", "history.transferProcessorMaxPollRPS=2000"])
        .args(["--dynamic-config-value", "history.timerProcessorMaxTimeShift=\"1ms\""]);
    for setting in settings {
        server.args(["--dynamic-config-value", setting]);
    }
    for namespace in namespaces {
        server.args(["--namespace", namespace]);
    }
    if storage == Storage::Disk {
        server.arg("--db-filename").arg(folder.join("temporal.db"));
        server.args(["--sqlite-pragma", "journal_mode=wal"]);
    }
    server.stdin(Stdio::null()).stdout(log.try_clone().expect("the log's handle")).stderr(log);
    Process(server.spawn().expect("start the Temporal server"))
}
