//! A real Temporal server for tests: on loopback, on free ports, in memory, ended with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server. Dropping it ends its process.
pub(crate) struct DevServer {
    program: PathBuf,
    process: Child,
    port: u16,
}

impl DevServer {
    /// Starts a server; `None` if there is no program for it, see `cargo xtask test`.
    pub(crate) fn start(namespaces: &[&str]) -> Option<Self> {
        let program = program()?;
        let port = free_port();
        let process = Command::new(&program)
            .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"])
            .args(["--port", &port.to_string()])
            .args(["--http-port", &free_port().to_string(), "--metrics-port", &free_port().to_string()])
            .args(namespaces.iter().flat_map(|name| ["--namespace", name]))
            // The development server waits longer than a cluster before it passes tasks on, and rounds timers up.
            .args(["--dynamic-config-value", "history.transferProcessorMaxPollRPS=2000"])
            .args(["--dynamic-config-value", "history.timerProcessorMaxTimeShift=\"1ms\""])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server's program starts");
        let server = Self { program, process, port };
        let until = Instant::now() + Duration::from_secs(60);
        while !server.is_healthy() {
            assert!(Instant::now() < until, "the server does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(server)
    }

    /// It listens before it is ready, so it is asked.
    fn is_healthy(&self) -> bool {
        let address = format!("127.0.0.1:{}", self.port);
        let mut asked = Command::new(&self.program);
        let asked = asked.args(["operator", "cluster", "health", "--address", &address]);
        asked.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Runs the server's own command line, and gives what it says.
    pub(crate) fn tell(&self, namespace: &str, arguments: &[&str]) -> String {
        let address = format!("127.0.0.1:{}", self.port);
        let mut command = Command::new(&self.program);
        let command = command.args(arguments).args(["--address", &address, "--namespace", namespace]);
        let output = command.output().expect("the command line starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("MIDWATCH_TEMPORAL").map(PathBuf::from);
    let installed =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/temporal/bin/temporal"));
    let found = [named, Some(installed)].into_iter().flatten().find(|path| path.is_file());
    let is_required = std::env::var_os("MIDWATCH_REQUIRE_TEMPORAL").is_some();
    assert!(found.is_some() || !is_required, "there is no program of a Temporal server");
    found
}

fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("its address").port()
}
