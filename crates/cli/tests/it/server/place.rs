//! A console beside a journal, as a process of its own, and the command in a folder that has no journal.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::midwatch::{Ran, command};

/// `midwatch serve` until this is dropped.
pub(super) struct Console {
    child: Child,
    pub(super) url: String,
}

impl Console {
    /// Serves the journal in a folder.
    pub(super) fn start(folder: &Path) -> Self {
        Self::with(folder, |_| {})
    }

    /// The same, with more options or another environment.
    pub(super) fn with(folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut serve = command(folder);
        serve.args(["serve", "--json"]).stdout(Stdio::piped());
        change(&mut serve);
        if serve.get_args().all(|argument| argument != "--listen") {
            serve.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = serve.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self { child, url: said["url"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Somewhere else: no journal is here.
pub(super) struct Elsewhere(TempDir);

impl Elsewhere {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Runs the command with the server in its environment.
    pub(super) fn run(&self, server: &str, arguments: &[&str]) -> Ran {
        self.with(server, arguments, |_| {})
    }

    /// The same in another environment.
    pub(super) fn with(&self, server: &str, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Ran {
        let mut asked = command(self.folder());
        asked.args(arguments).env("MIDWATCH_SERVER", server);
        change(&mut asked);
        let Output { status, stdout, stderr } = asked.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }
}
