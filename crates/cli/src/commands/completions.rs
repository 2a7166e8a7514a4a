//! `midwatch completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::error::Exit;
use crate::output::Out;

/// Print a script that completes commands in a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch completions bash > ~/.local/share/bash-completion/completions/midwatch
  midwatch completions zsh > ~/.zfunc/_midwatch
  midwatch completions fish > ~/.config/fish/completions/midwatch.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "midwatch", &mut script);
        out.raw(&script)?;
        Ok(Exit::Done)
    }
}
