//! What every command is told: which journal, which form of output, and what time it is.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use midwatch_journal::Error;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_workflow::Timestamp;

use crate::error::Error as Trouble;
use crate::server::{Address, AddressParser};

/// Options of every command.
#[derive(Args, Clone)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The journal file
    #[arg(long, global = true, env = "MIDWATCH_DB", default_value = "midwatch.db", value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// Instead of the file: the console that shows the journal (`midwatch serve`), e.g. https://watch.example
    #[arg(long, global = true, env = "MIDWATCH_SERVER", value_name = "URL", value_parser = AddressParser)]
    pub(crate) server: Option<Address>,
    /// A file whose first line is the token of that console; MIDWATCH_TOKEN without one
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Prints JSON for programs: one object, or one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to colour: `auto` does so on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// The time that ages are counted to, for documentation and tests
    #[arg(id = "as_of", long, global = true, env = "MIDWATCH_NOW", hide = true)]
    pub(crate) now: Option<Moment>,
}

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// A point in time on the command line.
#[derive(Clone, Copy)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed: jiff::Timestamp =
            text.parse().map_err(|_| format!("`{text}` is not a time such as 2026-11-24T07:00:00Z"))?;
        let micros =
            u64::try_from(parsed.as_microsecond()).map_err(|_| format!("`{text}` is before 1970"))?;
        Ok(Self(Timestamp::from_micros(micros)))
    }
}

impl Global {
    /// Decides between file and server: what was typed comes before the environment, and there a server before a file.
    ///
    /// # Errors
    /// If both were typed.
    pub(crate) fn choose(&mut self, is_typed: impl Fn(&str) -> bool) -> Result<(), Trouble> {
        match (is_typed("db"), is_typed("server")) {
            (true, true) => {
                return Err(Trouble::usage(
                    "--db names a file and --server a console that shows one: give one of them",
                ));
            }
            (true, false) => self.server = None,
            (false, _) => {}
        }
        Ok(())
    }

    /// The token: the first line of the file, or else that of the environment.
    ///
    /// # Errors
    /// If there is no such file, or its first line is empty.
    pub(crate) fn token(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.token_file else {
            return Ok(std::env::var("MIDWATCH_TOKEN").ok().filter(|token| !token.is_empty()));
        };
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
            Some(token) => Ok(Some(token.to_owned())),
            None => {
                let empty = format!("{}: its first line is empty", file.display());
                Err(Trouble::usage(empty).into())
            }
        }
    }

    /// The file or the server, as messages name it.
    pub(crate) fn place(&self) -> String {
        match &self.server {
            Some(server) => server.to_string(),
            None => self.db.display().to_string(),
        }
    }

    /// Opens the journal's file for reading and posting.
    pub(crate) fn journal(&self) -> Result<SqliteJournal, Error> {
        SqliteJournal::open_reader(&self.db)
    }

    /// The time that ages are counted to.
    pub(crate) fn now(&self) -> Timestamp {
        self.now.map_or_else(clock, |moment| moment.0)
    }
}

/// The system's clock.
pub(crate) fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Reads a duration such as `90s`, `1h 30m` or `7d`.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: expected e.g. 90s, 15m, 1h, 7d"))
}
