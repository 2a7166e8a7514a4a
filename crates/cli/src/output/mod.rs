//! Everything that is printed: the one place that knows of colours, widths and formats.

pub(crate) mod advice;
pub(crate) mod bar;
pub(crate) mod event;
pub(crate) mod gate;
pub(crate) mod look;
pub(crate) mod story;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
pub(crate) use midwatch_observe::tell::amount;
use serde::Serialize;

use crate::config::{Color, Global};
use crate::error::Exit;

/// Where a command prints.
pub(crate) struct Out {
    stream: AutoStream<io::Stdout>,
    /// Whether programs read it.
    pub(crate) is_json: bool,
    width: Option<usize>,
}

/// The width of pictures where nobody says how wide the paper is.
const WIDTH_DEFAULT: usize = 100;

impl Out {
    pub(crate) fn new(global: &Global) -> Self {
        let stream = AutoStream::new(io::stdout(), choice(global.color));
        Self { stream, is_json: global.json, width: width() }
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl Display) -> io::Result<()> {
        let line = format!("{line}\n");
        self.stream.write_all(line.as_bytes())?;
        self.stream.flush()
    }

    /// Prints a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_string(value).map_err(io::Error::other)?;
        self.line(json)
    }

    /// Prints a text as it is.
    pub(crate) fn raw(&mut self, text: &[u8]) -> io::Result<()> {
        self.stream.write_all(text)?;
        self.stream.flush()
    }

    /// The width of the terminal; `None` if there is none, so that what other programs search is not cut.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// The width for pictures.
    pub(crate) fn width_of_picture(&self) -> usize {
        self.width.unwrap_or(WIDTH_DEFAULT)
    }
}

/// Prints an error.
pub(crate) fn report(message: &str, hints: &[String], exit: Exit, global: &Global) {
    let mut stream = AutoStream::new(io::stderr(), choice(global.color));
    let text = if global.json {
        let code = message.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(code, _)| code);
        let error =
            serde_json::json!({ "code": code, "message": message, "hints": hints, "exit": exit as u8 });
        format!("{}\n", serde_json::json!({ "error": error }))
    } else {
        let (bad, faint) = (look::BAD, look::FAINT);
        let mut text = format!("{bad}error:{bad:#} {}\n", text::clean(message));
        for hint in hints {
            text.push_str(&format!("  {faint}{}{faint:#}\n", text::clean(hint)));
        }
        text
    };
    // There is nobody left to tell.
    let _ = stream.write_all(text.as_bytes());
}

/// Prints warnings of what runs on in the background to stderr, or what `RUST_LOG` asks for.
pub(crate) fn log(global: &Global) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let is_colored = choice(global.color) == ColorChoice::Always
        || (choice(global.color) == ColorChoice::Auto && io::stderr().is_terminal());
    let set_up =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(is_colored);
    // Whoever set up another one keeps it.
    let _ = set_up.try_init();
}

/// Asks a person at the terminal; `None` if there is no terminal.
pub(crate) fn confirm(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut stream = anstream::stderr();
    let _ = write!(stream, "{question} [y/N] ");
    let _ = stream.flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn choice(color: Color) -> ColorChoice {
    match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    }
}

/// `COLUMNS` if it is set, or else the terminal's own word.
fn width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    asked.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}
