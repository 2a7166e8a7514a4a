//! Scores: how often an answer is right where the truth is known.

mod why;

use clap::Subcommand;

/// What to score.
#[derive(Subcommand)]
pub(crate) enum Score {
    /// Answers of `why` to incidents with known causes.
    Why(why::Options),
}

pub(crate) fn run(score: &Score) -> anyhow::Result<()> {
    match score {
        Score::Why(options) => why::run(options),
    }
}
