//! Real servers for tests and measurements: on this machine only, on free ports, gone when they are dropped.
//!
//! Their programs are those that `cargo xtask test` installs under `target/tools`, or that the environment names.

mod restate;
mod temporal;
mod tls;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

pub use restate::RestateServer;
pub use temporal::TemporalServer;
pub use tls::{Authority, Inside};

/// How long a server may take to come up.
const START_MAX: Duration = Duration::from_secs(60);

/// Ports that are free now. All are held at once, so that they differ.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address").port())
}

/// A child process that ends with its owner.
struct Process(Child);

impl Process {
    /// Ends it as `kill -9` does.
    fn kill(&mut self) {
        // One that is gone already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder where programs are installed.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

/// A program, unless there is none: a test against it is skipped then, and says so, or fails where the environment says
/// that it must be there.
fn found(program: Option<PathBuf>, what: &str, required: &str) -> Option<PathBuf> {
    let program = program.filter(|program| program.is_file());
    if program.is_none() {
        assert!(std::env::var_os(required).is_none(), "{what} is not installed in target/tools");
        skipped(what);
    }
    program
}

#[allow(clippy::print_stderr)] // a test that is skipped must not look like one that passed
fn skipped(what: &str) {
    eprintln!("SKIPPED: no {what} in target/tools; `cargo xtask test` installs it");
}

/// Waits until a server is up; if it does not come up, `log` says why.
fn wait_until_up(what: &str, is_up: impl Fn() -> bool, log: &Path) {
    let until = Instant::now() + START_MAX;
    while !is_up() {
        if Instant::now() > until {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(30).collect();
            panic!("{what} does not come up:\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
