//! What each kind of receiver is sent.

use std::path::Path;

use midwatch_observe::alert::{Item, Notification, Subject, Told};
use midwatch_workflow::Timestamp;
use serde_json::{Value, json};

/// An alert that Alertmanager is not told of again is over for it after so many seconds.
const ALERT_LASTS: u64 = 300;

/// The JSON for webhooks and commands. `version` rises when a field changes its meaning.
pub(super) fn plain(notification: &Notification, journal: &Path, now: Timestamp) -> Value {
    json!({
        "version": 1,
        "state": notification.state,
        "rule": notification.rule,
        "severity": notification.severity,
        "journal": journal.display().to_string(),
        "at_us": now.as_micros(),
        "total": notification.total(),
        "more": notification.more,
        "text": notification.text(),
        "findings": notification.items.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(item: &Item) -> Value {
    let mut value = json!({
        "subject": item.finding.subject,
        "says": item.finding.says,
        "next": item.next(),
        "since_us": item.since.as_micros(),
    });
    if let Some(until) = item.until {
        value["until_us"] = until.as_micros().into();
    }
    if let Some(why) = &item.explained {
        value["why"] = json!(why);
    }
    value
}

/// The message for Slack and what takes the same form. Slack reads `&`, `<` and `>` as markup.
pub(super) fn slack(notification: &Notification) -> Value {
    let mark = match notification.state {
        Told::Firing => "🔴",
        Told::Resolved => "🟢",
    };
    let text = notification.text().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": format!("{mark} {text}") })
}

/// The alerts for Alertmanager's `POST /api/v2/alerts`: one for each finding, and one for all that are not told one by one.
pub(super) fn alertmanager(notification: &Notification, journal: &Path, now: Timestamp) -> Value {
    let ends = |item: &Item| match notification.state {
        Told::Firing => now + std::time::Duration::from_secs(ALERT_LASTS),
        Told::Resolved => item.until.unwrap_or(now),
    };
    let mut alerts: Vec<Value> = notification
        .items
        .iter()
        .map(|item| {
            let mut annotations = json!({ "summary": item.finding.says, "next": item.next() });
            if let Some(why) = &item.explained {
                annotations["why"] = format!("{} · {}: {}", why.verdict, why.cause, why.headline).into();
            }
            json!({
                "labels": labels(notification, &item.finding.subject, journal),
                "annotations": annotations,
                "startsAt": time(item.since),
                "endsAt": time(ends(item)),
            })
        })
        .collect();
    if let (more @ 1.., Some(last)) = (notification.more, notification.items.last()) {
        alerts.push(json!({
            "labels": labels(notification, &Subject::Journal, journal),
            "annotations": { "summary": format!("and {more} more"), "next": "midwatch alerts" },
            "startsAt": time(last.since),
            "endsAt": time(ends(last)),
        }));
    }
    Value::Array(alerts)
}

/// What tells alerts apart. Alertmanager groups and silences by these.
fn labels(notification: &Notification, subject: &Subject, journal: &Path) -> Value {
    let mut labels = json!({
        "alertname": name(&notification.rule),
        "rule": notification.rule,
        "severity": notification.severity,
        "journal": journal.display().to_string(),
    });
    match subject {
        Subject::Run { run, workflow } => {
            labels["run"] = run.to_string().into();
            labels["workflow"] = workflow.as_str().into();
        }
        Subject::Workflow(workflow) => labels["workflow"] = workflow.as_str().into(),
        Subject::Target(target) => labels["target"] = target.as_str().into(),
        Subject::Journal => {}
    }
    labels
}

/// `no_progress` becomes `MidwatchNoProgress`, as alerts are named.
pub(super) fn name(rule: &str) -> String {
    let words = rule.split(['_', '-', '.']).map(|word| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect::<String>()
    });
    std::iter::once("Midwatch".to_owned()).chain(words).collect()
}

fn time(at: Timestamp) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use midwatch_observe::alert::{Explained, Finding, Severity};
    use midwatch_workflow::RunId;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_503_600_000_000);

    fn told(state: Told, more: u64) -> Notification {
        let finding = Finding {
            rule: "no_progress".to_owned(),
            severity: Severity::Critical,
            subject: Subject::Run { run: RunId::from_bytes([1; 16]), workflow: "research".to_owned() },
            says: "research <1> & more".to_owned(),
            next: "midwatch why r_01010101".to_owned(),
        };
        let explained = Explained {
            verdict: "stuck".to_owned(),
            cause: "step_silent".to_owned(),
            headline: "step call_llm says nothing".to_owned(),
            next: vec!["midwatch cancel r_01010101".to_owned()],
        };
        let until = (state == Told::Resolved).then_some(NOW);
        let since = Timestamp::from_micros(NOW.as_micros() - 60_000_000);
        let item = Item { finding, since, until, explained: Some(explained) };
        let (rule, severity) = ("no_progress".to_owned(), Severity::Critical);
        Notification { state, rule, severity, items: vec![item], more, keys: Vec::new() }
    }

    #[test]
    fn every_message_has_the_verdict_and_the_next_command() {
        let firing = told(Told::Firing, 0);
        let journal = Path::new("/var/midwatch.db");
        for message in [plain(&firing, journal, NOW), slack(&firing), alertmanager(&firing, journal, NOW)] {
            let message = message.to_string().to_lowercase();
            for word in ["stuck", "step_silent", "step call_llm says nothing", "midwatch cancel r_01010101"] {
                assert!(message.contains(word), "{word}: {message}");
            }
        }
    }

    #[test]
    fn alertmanager_knows_an_alert_again_by_its_labels_and_is_told_when_it_ends() {
        let alert = |state| alertmanager(&told(state, 3), Path::new("midwatch.db"), NOW);
        let (firing, resolved) = (alert(Told::Firing), alert(Told::Resolved));
        assert_eq!(firing[0]["labels"], resolved[0]["labels"]);
        assert_eq!(firing[0]["labels"]["alertname"], "MidwatchNoProgress");
        assert_eq!(firing[0]["startsAt"], "2026-11-24T06:59:00Z");
        assert_eq!(
            (&firing[0]["endsAt"], &resolved[0]["endsAt"]),
            (&"2026-11-24T07:05:00Z".into(), &"2026-11-24T07:00:00Z".into())
        );
        assert_eq!(firing[1]["annotations"]["summary"], "and 3 more");
    }

    #[test]
    fn slack_takes_no_markup_from_a_run() {
        let text = slack(&told(Told::Firing, 2))["text"].as_str().unwrap().to_owned();
        assert!(text.contains("research &lt;1&gt; &amp; more"), "{text}");
        assert!(text.ends_with("and 2 more: midwatch alerts"), "{text}");
    }
}
