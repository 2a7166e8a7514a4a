//! Runs the command.

use std::path::Path;
use std::process::{Command, Output};

/// The time that the command is told it is: ten minutes after the journals of the tests begin.
pub(crate) const NOW: &str = "2026-11-24T07:10:00Z";

/// What a command printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Everything, for a snapshot.
    pub(crate) fn all(&self) -> String {
        let mut all = format!("exit {}\n", self.code);
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                all.push_str(&format!("--- {name}\n{text}"));
            }
        }
        all
    }
}

/// A command on the journal in this folder, without the environment's say.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
    command.current_dir(folder).env("COLUMNS", "100").env("TZ", "UTC").env("USER", "ann");
    for variable in [
        "MIDWATCH_DB",
        "MIDWATCH_SERVER",
        "MIDWATCH_TOKEN",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "LOGNAME",
    ] {
        command.env_remove(variable);
    }
    command.env("NO_PROXY", "*");
    command.env("MIDWATCH_NOW", NOW);
    command
}

/// Runs `midwatch` with these arguments, parted at spaces.
pub(crate) fn midwatch(folder: &Path, arguments: &str) -> Ran {
    run(folder, &arguments.split(' ').collect::<Vec<_>>())
}

/// Runs `midwatch` with these arguments.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ran {
    ran(command(folder).args(arguments))
}

/// What a command comes to.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}
