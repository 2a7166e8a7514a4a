//! Trying the receivers out.

use std::path::Path;
use std::time::{Duration, Instant};

use midwatch_observe::alert::{Finding, Item, Notification, Severity, Subject, Told};

use super::receiver::Receiver;
use super::send::{client, once};
use crate::watch::clock;

/// What came of a message to one receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The receiver.
    pub receiver: String,
    /// What kind it is.
    pub kind: &'static str,
    /// What it answered, or why it did not take it.
    pub answer: Result<String, String>,
    /// How long it took.
    pub took: Duration,
}

/// Sends each receiver a message that says that it is a test, once, and tells what each answered.
pub async fn test(receivers: &[Receiver], journal: &Path) -> Vec<Outcome> {
    let client = client();
    let mut outcomes = Vec::new();
    for receiver in receivers {
        let begun = Instant::now();
        let answer = match &client {
            Ok(client) => {
                let sent = once(client, receiver, &message(), journal, clock()).await;
                sent.map_err(|trouble| trouble.why)
            }
            Err(why) => Err(why.clone()),
        };
        let (name, kind) = (receiver.audience.name.clone(), receiver.route.as_str());
        outcomes.push(Outcome { receiver: name, kind, answer, took: begun.elapsed() });
    }
    outcomes
}

fn message() -> Notification {
    let finding = Finding {
        rule: "test".to_owned(),
        severity: Severity::Warning,
        subject: Subject::Journal,
        says: "this is a test of midwatch's alerts: nothing is wrong".to_owned(),
        next: "midwatch alerts".to_owned(),
    };
    Notification {
        state: Told::Firing,
        rule: finding.rule.clone(),
        severity: finding.severity,
        items: vec![Item { finding, since: clock(), until: None, explained: None }],
        more: 0,
        keys: Vec::new(),
    }
}
