//! The commands, one a file.

mod completions;
mod ls;
mod show;
mod version;

use clap::Subcommand;

use crate::config::Global;
use crate::error::Exit;
use crate::output::Out;

/// What can be asked.
#[derive(Subcommand)]
pub(crate) enum Command {
    Ls(ls::Ls),
    Show(show::Show),
    Completions(completions::Completions),
    Version(version::Version),
}

impl Command {
    /// Carries it out.
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Command::Ls(ls) => ls.run(global, out),
            Command::Show(show) => show.run(global, out),
            Command::Completions(completions) => completions.run(out),
            Command::Version(version) => version.run(out),
        }
    }
}
