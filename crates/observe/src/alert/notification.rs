//! What is said to a receiver at once.

use std::fmt::Write as _;

use midwatch_workflow::Timestamp;
use serde::{Deserialize, Serialize};

use super::rule::{Finding, Severity};
use crate::why::Answer;
use crate::words::counted;

/// Whether it begins or is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is so.
    Firing,
    /// It is no longer so.
    Resolved,
}

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Firing => "firing",
            State::Resolved => "resolved",
        }
    }
}

/// What `why` says of the run that a finding is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explained {
    /// The verdict, a stable word.
    pub verdict: String,
    /// The cause, a stable word.
    pub cause: String,
    /// The same in a sentence.
    pub headline: String,
    /// Commands that help, the best first.
    pub next: Vec<String>,
}

/// So many commands are kept.
const NEXT_MAX: usize = 3;

impl From<Answer> for Explained {
    fn from(answer: Answer) -> Self {
        Self {
            verdict: answer.verdict.to_string(),
            cause: answer.cause.to_string(),
            headline: answer.headline,
            next: answer.next.into_iter().take(NEXT_MAX).map(|next| next.command).collect(),
        }
    }
}

/// One finding in a notification.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// What was found.
    pub finding: Finding,
    /// Since when.
    pub since: Timestamp,
    /// When it was over, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What `why` says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
}

/// Findings of one rule that began, or are over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// Which of both.
    pub state: State,
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// As many findings as are told one by one, the oldest first.
    pub items: Vec<Item>,
    /// How many more there are.
    pub more: u64,
    /// The keys of all of them, by which [`super::State::accepted`] remembers that they were told.
    pub keys: Vec<String>,
}

impl Item {
    /// What is so, why, and what to do: two or three lines.
    pub fn text(&self) -> String {
        let mut text = self.finding.says.clone();
        match &self.explained {
            Some(why) => {
                let _ = write!(text, "\n  {} · {}: {}", why.verdict.to_uppercase(), why.cause, why.headline);
                let next = why.next.first().unwrap_or(&self.finding.next);
                let _ = write!(text, "\n  next: {next}");
            }
            None => {
                let _ = write!(text, "\n  next: {}", self.finding.next);
            }
        }
        text
    }

    /// The command that helps best.
    pub fn next(&self) -> &str {
        let best = self.explained.as_ref().and_then(|why| why.next.first());
        best.unwrap_or(&self.finding.next)
    }
}

impl Notification {
    /// How many findings it is about.
    pub fn total(&self) -> u64 {
        self.items.len() as u64 + self.more
    }

    /// One line: `firing · no_progress (critical): 3 findings`.
    pub fn title(&self) -> String {
        let total = counted(self.total(), "finding");
        format!("{} · {} ({}): {total}", self.state.as_str(), self.rule, self.severity)
    }

    /// The whole of it for people.
    pub fn text(&self) -> String {
        let mut text = self.title();
        for item in &self.items {
            let told = match self.state {
                State::Firing => item.text(),
                State::Resolved => format!("over: {}", item.finding.says),
            };
            let _ = write!(text, "\n{told}");
        }
        if self.more > 0 {
            let _ = write!(text, "\nand {} more: midwatch alerts", self.more);
        }
        text
    }
}
