//! Entries of a file of rules: what each means, and whatever is wrong with it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use midwatch_observe::alert::{Audience, Rule, Severity, Test};
use midwatch_workflow::Money;
use toml::Spanned;

use super::receiver::{Receiver, Route, Secret};
use super::toml_file::{ReceiverEntry, RuleEntry, Wrong, line};

/// So many findings are told one by one; in Alertmanager each is an alert of its own.
const ITEMS_MAX: usize = 10;
const ALERTS_MAX: usize = 50;

/// Turns entries into rules and receivers, and notes what is wrong with them.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) wrong: Vec<Wrong>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, wrong: Vec::new() }
    }

    pub(super) fn rule(&mut self, entry: &Spanned<RuleEntry>) -> Option<Rule> {
        let (at, entry) = (entry.span().start, entry.get_ref());
        let kind = entry.kind.get_ref().as_str();
        self.belongs("times", entry.times.as_ref(), kind, &["run_cost"]);
        self.belongs("share", entry.share.as_ref(), kind, &["waste_share", "budget"]);
        self.belongs("limit", entry.limit.as_ref(), kind, &["no_progress", "schedule_to_start"]);
        self.belongs("least_usd", entry.least_usd.as_ref(), kind, &["run_cost", "waste_share"]);
        let test = match kind {
            "run_cost" => Test::RunCost {
                times: self.number(
                    "times",
                    at,
                    entry.times.as_ref(),
                    |times| times > 1.0,
                    "must be more than 1",
                )?,
                least: self.usd(entry.least_usd.as_ref())?,
            },
            "no_progress" => Test::NoProgress { limit: self.limit(at, entry)? },
            "schedule_to_start" => Test::ScheduleToStart { limit: self.limit(at, entry)? },
            "waste_share" => {
                Test::WasteShare { share: self.share(at, entry)?, least: self.usd(entry.least_usd.as_ref())? }
            }
            "budget" => Test::Budget { share: self.share(at, entry)? },
            "parked" => Test::Parked,
            "compensation_failed" => Test::CompensationFailed,
            "target_down" => Test::TargetDown,
            "no_owner" => Test::NoOwner,
            _ => {
                let known = Test::WORDS.join(", ");
                return self.say(
                    entry.kind.span().start,
                    "kind",
                    format!("is no kind of rule: expected one of {known}"),
                );
            }
        };
        if entry.workflow.is_some() && matches!(test, Test::TargetDown | Test::NoOwner) {
            return self.say(
                at,
                "workflow",
                format!("does not belong to a rule of kind `{kind}`: it is about no workflow"),
            );
        }
        let name = entry.name.as_ref().unwrap_or(&entry.kind);
        Some(Rule {
            name: self.name(name)?,
            test,
            severity: self.severity(entry.severity.as_ref())?,
            workflow: entry.workflow.clone(),
            after: entry.after.as_ref().map_or(Duration::ZERO, |time| time.0),
        })
    }

    pub(super) fn receiver(&mut self, entry: &Spanned<ReceiverEntry>, rules: &[Rule]) -> Option<Receiver> {
        let (at, entry) = (entry.span().start, entry.get_ref());
        let kind = entry.kind.get_ref().as_str();
        let is_alertmanager = kind == "alertmanager";
        let route = match kind {
            "webhook" => Route::Webhook(self.address(at, entry)?),
            "alertmanager" => Route::Alertmanager(self.address(at, entry)?),
            "slack" => Route::Slack(self.address(at, entry)?),
            "command" => Route::Command(self.command(at, entry)?),
            _ => {
                let known = "webhook, alertmanager, slack, command";
                return self.say(
                    entry.kind.span().start,
                    "kind",
                    format!("is no kind of receiver: expected one of {known}"),
                );
            }
        };
        for name in entry.rules.iter().flat_map(|rules| rules.get_ref()) {
            if !rules.iter().any(|rule| rule.name == *name) {
                let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
                let at = entry.rules.as_ref().map_or(at, |rules| rules.span().start);
                let _: Option<()> = self.say(
                    at,
                    "rules",
                    format!("names `{name}`, which is no rule: there are {}", known.join(", ")),
                );
            }
        }
        // Alertmanager forgets what it is not told again.
        let every = is_alertmanager.then_some(Duration::from_secs(60));
        let audience = Audience {
            name: self.name(entry.name.as_ref().unwrap_or(&entry.kind))?,
            rules: entry.rules.as_ref().map(|rules| rules.get_ref().clone()).unwrap_or_default(),
            severity: self.severity(entry.severity.as_ref())?,
            repeat: entry.repeat.as_ref().map(|time| time.0).or(every),
            items_max: if is_alertmanager { ALERTS_MAX } else { ITEMS_MAX },
        };
        let timeout = entry.timeout.as_ref().map_or(Duration::from_secs(5), |time| time.0);
        Some(Receiver { audience, route, timeout })
    }

    fn address(&mut self, at: usize, entry: &ReceiverEntry) -> Option<Secret> {
        let kind = entry.kind.get_ref().as_str();
        self.belongs("command", entry.command.as_ref(), kind, &["command"]);
        let given = [("url", &entry.url), ("url_env", &entry.url_env), ("url_file", &entry.url_file)];
        let given: Vec<_> =
            given.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        match given.as_slice() {
            [(key, value)] => {
                let text = value.get_ref();
                if text.is_empty() {
                    return self.say(value.span().start, key, "is empty".to_owned());
                }
                match *key {
                    "url_env" => Some(Secret::Variable(text.clone())),
                    "url_file" => Some(Secret::File(PathBuf::from(text))),
                    _ if is_http(text) => Some(Secret::Here(text.clone())),
                    _ => self.say(value.span().start, "url", "is no http:// or https:// address".to_owned()),
                }
            }
            [] => self.say(at, "url", "is missing: give url, url_env or url_file".to_owned()),
            [_, (key, second), ..] => self.say(
                second.span().start,
                key,
                "is one too many: give one of url, url_env and url_file".to_owned(),
            ),
        }
    }

    fn command(&mut self, at: usize, entry: &ReceiverEntry) -> Option<Vec<String>> {
        for (key, value) in [("url", &entry.url), ("url_env", &entry.url_env), ("url_file", &entry.url_file)]
        {
            self.belongs(key, value.as_ref(), "command", &["webhook", "alertmanager", "slack"]);
        }
        match &entry.command {
            Some(command) if command.get_ref().first().is_some_and(|program| !program.is_empty()) => {
                Some(command.get_ref().clone())
            }
            _ => self.say(
                at,
                "command",
                "is missing: give the program and its arguments, [\"/usr/local/bin/page\"]".to_owned(),
            ),
        }
    }

    fn limit(&mut self, at: usize, entry: &RuleEntry) -> Option<Duration> {
        match &entry.limit {
            Some(limit) if limit.get_ref().0 >= Duration::from_secs(1) => Some(limit.get_ref().0),
            Some(limit) => self.say(limit.span().start, "limit", "must be a second at least".to_owned()),
            None => self.say(at, "limit", "is missing, e.g. limit = \"5m\"".to_owned()),
        }
    }

    fn share(&mut self, at: usize, entry: &RuleEntry) -> Option<f64> {
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        self.number("share", at, entry.share.as_ref(), is_share, "must be more than 0 and at most 1")
    }

    fn number(
        &mut self,
        key: &str,
        at: usize,
        value: Option<&Spanned<f64>>,
        is_right: impl Fn(f64) -> bool,
        why: &str,
    ) -> Option<f64> {
        match value {
            Some(value) if is_right(*value.get_ref()) => Some(*value.get_ref()),
            Some(value) => self.say(value.span().start, key, why.to_owned()),
            None => self.say(at, key, format!("is missing; it {why}")),
        }
    }

    fn usd(&mut self, value: Option<&Spanned<f64>>) -> Option<Money> {
        let Some(value) = value else { return Some(Money::ZERO) };
        let parsed = format!("{:.12}", value.get_ref()).parse().ok();
        parsed.or_else(|| self.say(value.span().start, "least_usd", "is no amount of dollars".to_owned()))
    }

    fn severity(&mut self, value: Option<&Spanned<String>>) -> Option<Severity> {
        match value.map(|value| value.get_ref().as_str()) {
            None | Some("warning") => Some(Severity::Warning),
            Some("critical") => Some(Severity::Critical),
            Some(_) => {
                let at = value.map_or(0, |value| value.span().start);
                self.say(at, "severity", "must be \"warning\" or \"critical\"".to_owned())
            }
        }
    }

    /// Names go into labels and files.
    fn name(&mut self, name: &Spanned<String>) -> Option<String> {
        let text = name.get_ref();
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
        if (1..=64).contains(&text.len()) && text.chars().all(is_plain) {
            return Some(text.clone());
        }
        let why = "must be 1 to 64 letters, digits, `_`, `-` or `.`".to_owned();
        self.say(name.span().start, "name", why)
    }

    fn belongs<T>(&mut self, key: &str, value: Option<&Spanned<T>>, kind: &str, kinds: &[&str]) {
        if let Some(value) = value.filter(|_| !kinds.contains(&kind)) {
            let why = format!("does not belong to kind `{kind}`, but to {}", kinds.join(", "));
            let _: Option<()> = self.say(value.span().start, key, why);
        }
    }

    pub(super) fn unique<'e, T: 'e>(
        &mut self,
        entries: impl Iterator<Item = (&'e Spanned<T>, Option<&'e Spanned<String>>, &'e Spanned<String>)>,
    ) {
        let mut names = HashSet::new();
        for (entry, name, kind) in entries {
            if !names.insert(name.unwrap_or(kind).get_ref().clone()) {
                let at = name.map_or(entry.span().start, |name| name.span().start);
                let why = "is taken: give each rule and each receiver a name of its own".to_owned();
                let _: Option<()> = self.say(at, "name", why);
            }
        }
    }

    pub(super) fn count(&mut self, what: &str, count: usize, max: usize) {
        if count > max {
            let _: Option<()> = self.say(0, what, format!("occurs {count} times: {max} is the most"));
        }
    }

    fn say<T>(&mut self, at: usize, key: &str, why: String) -> Option<T> {
        self.wrong.push(Wrong { line: line(self.text, at), key: Some(key.to_owned()), why });
        None
    }
}

fn is_http(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://")) && reqwest::Url::parse(text).is_ok()
}
