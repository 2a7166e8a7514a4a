//! What fires, since when, and who was told.
//!
//! What must hold: a receiver hears of a finding once, and once of its end, however often it is found, and whatever
//! crashes in between; what it did not accept is still due. A finding that is not found for a moment is the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midwatch_workflow::{RunId, Timestamp};
use serde::{Deserialize, Serialize};

use super::notification::{Explained, Item, Notification, State as Told};
use super::rule::{Finding, Rule, Severity};

/// What fires and who was told. Its JSON is what is kept beside the journal.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// What was found, by key.
    #[serde(default)]
    active: BTreeMap<String, Active>,
    /// What is over and not everybody who was told of it knows.
    #[serde(default)]
    gone: BTreeMap<String, Item>,
    /// By receiver: what it was told of, and when last.
    #[serde(default)]
    told: BTreeMap<String, BTreeMap<String, Timestamp>>,
}

/// Something that was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Active {
    item: Item,
    /// From when on somebody should hear of it.
    fires_at: Timestamp,
    /// When it was last found.
    seen: Timestamp,
}

/// To whom notifications go.
#[derive(Clone, PartialEq, Debug)]
pub struct Audience {
    /// Its name.
    pub name: String,
    /// The rules that it wants to hear of; all if there is none.
    pub rules: Vec<String>,
    /// It wants to hear of what is at least so bad.
    pub severity: Severity,
    /// How often what still fires is told again; never if there is none.
    pub repeat: Option<Duration>,
    /// So many findings are told one by one in a notification.
    pub items_max: usize,
}

impl State {
    /// Takes in what was found now. What has not been found for `settle` is over.
    pub fn update(&mut self, rules: &[Rule], findings: Vec<Finding>, settle: Duration, now: Timestamp) {
        for finding in findings {
            let key = finding.key();
            self.gone.remove(&key);
            match self.active.get_mut(&key) {
                Some(active) => {
                    active.item.finding = finding;
                    active.seen = now;
                }
                None => {
                    let rule = rules.iter().find(|rule| rule.name == finding.rule);
                    let after = rule.map_or(Duration::ZERO, |rule| rule.after);
                    let item = Item { finding, since: now, until: None, explained: None };
                    self.active.insert(key, Active { item, fires_at: now + after, seen: now });
                }
            }
        }
        let over: Vec<String> = self
            .active
            .iter()
            .filter(|(_, active)| active.seen < now && active.seen + settle <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            if let Some(active) = self.active.remove(&key) {
                self.gone.insert(key, Item { until: Some(now), ..active.item });
            }
        }
        self.forget_gone();
    }

    /// Forgets receivers that are no longer there.
    pub fn keep_receivers<'r>(&mut self, names: impl IntoIterator<Item = &'r str>) {
        let names: BTreeSet<&str> = names.into_iter().collect();
        self.told.retain(|name, _| names.contains(name.as_str()));
        self.forget_gone();
    }

    /// What is over and everybody knows, or nobody was told of.
    fn forget_gone(&mut self) {
        let told = &self.told;
        self.gone.retain(|key, _| told.values().any(|keys| keys.contains_key(key)));
    }

    /// What fires now, the oldest first.
    pub fn firing(&self, now: Timestamp) -> Vec<&Item> {
        let firing = self.active.values().filter(|active| active.fires_at <= now);
        let mut items: Vec<&Item> = firing.map(|active| &active.item).collect();
        items.sort_by_key(|item| item.since);
        items
    }

    /// Since when a finding is known.
    pub fn since(&self, finding: &Finding) -> Option<Timestamp> {
        self.active.get(&finding.key()).map(|active| active.item.since)
    }

    /// Whether anybody was told of a finding.
    pub fn is_told(&self, finding: &Finding) -> bool {
        let key = finding.key();
        self.told.values().any(|keys| keys.contains_key(&key))
    }

    /// Runs that fire and have no explanation yet, the oldest first, at most `limit` for each rule.
    pub fn unexplained(&self, limit: usize, now: Timestamp) -> Vec<(String, RunId)> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut found = Vec::new();
        for item in self.firing(now) {
            let Some(run) = item.finding.subject.run() else { continue };
            let count = seen.entry(item.finding.rule.as_str()).or_default();
            *count += 1;
            if *count <= limit && item.explained.is_none() {
                found.push((item.finding.key(), run));
            }
        }
        found
    }

    /// Takes in what `why` says of it.
    pub fn explain(&mut self, key: &str, explained: Explained) {
        if let Some(active) = self.active.get_mut(key) {
            active.item.explained = Some(explained);
        }
    }

    /// What is to be said to a receiver now: for each rule, what began and what is over.
    pub fn due(&self, audience: &Audience, now: Timestamp) -> Vec<Notification> {
        let nothing = BTreeMap::new();
        let told = self.told.get(&audience.name).unwrap_or(&nothing);
        let is_due = |key: &String| match (told.get(key), audience.repeat) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(at), Some(repeat)) => *at + repeat <= now,
        };
        let firing = self.active.iter().filter(|(_, active)| active.fires_at <= now);
        let firing = firing.filter(|(key, active)| audience.wants(&active.item.finding) && is_due(key));
        let over = self.gone.iter().filter(|(key, _)| told.contains_key(*key));
        let mut due: BTreeMap<(Told, &str), Vec<(&String, &Item)>> = BTreeMap::new();
        for (key, active) in firing {
            due.entry((Told::Firing, &active.item.finding.rule)).or_default().push((key, &active.item));
        }
        for (key, item) in over {
            due.entry((Told::Resolved, &item.finding.rule)).or_default().push((key, item));
        }
        due.into_iter().map(|((state, _), found)| notification(state, found, audience.items_max)).collect()
    }

    /// A receiver took a notification.
    pub fn accepted(&mut self, receiver: &str, notification: &Notification, now: Timestamp) {
        let told = self.told.entry(receiver.to_owned()).or_default();
        for key in &notification.keys {
            match notification.state {
                Told::Firing => drop(told.insert(key.clone(), now)),
                Told::Resolved => drop(told.remove(key)),
            }
        }
        self.forget_gone();
    }
}

impl Audience {
    fn wants(&self, finding: &Finding) -> bool {
        let is_named = self.rules.is_empty() || self.rules.contains(&finding.rule);
        is_named && finding.severity >= self.severity
    }
}

fn notification(state: Told, mut found: Vec<(&String, &Item)>, items_max: usize) -> Notification {
    found.sort_by_key(|(_, item)| item.since);
    let first = &found[0].1.finding;
    Notification {
        state,
        rule: first.rule.clone(),
        severity: first.severity,
        items: found.iter().take(items_max).map(|(_, item)| (*item).clone()).collect(),
        more: found.len().saturating_sub(items_max) as u64,
        keys: found.iter().map(|(key, _)| (*key).clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Subject, Test};
    use super::*;

    const SETTLE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + seconds * 1_000_000)
    }

    fn finding(rule: &str, n: u8) -> Finding {
        Finding {
            rule: rule.to_owned(),
            severity: Severity::Warning,
            subject: Subject::Run { run: RunId::from_bytes([n; 16]), workflow: "research".to_owned() },
            says: format!("run {n}"),
            next: "midwatch why".to_owned(),
        }
    }

    fn audience() -> Audience {
        Audience {
            name: "oncall".to_owned(),
            rules: Vec::new(),
            severity: Severity::Warning,
            repeat: None,
            items_max: 10,
        }
    }

    /// Lets the audience take what is due, and gives it in short.
    fn tell(state: &mut State, audience: &Audience, now: Timestamp) -> Vec<(Told, String, u64)> {
        let due = state.due(audience, now);
        due.iter().for_each(|notification| state.accepted(&audience.name, notification, now));
        due.iter().map(|told| (told.state, told.rule.clone(), told.total())).collect()
    }

    #[test]
    fn a_finding_is_told_once_and_once_when_it_is_over() {
        let (mut state, audience) = (State::default(), audience());
        let mut told = Vec::new();
        for second in (0..600).step_by(10) {
            let found = if (100..300).contains(&second) { vec![finding("parked", 1)] } else { Vec::new() };
            state.update(&[], found, SETTLE, at(second));
            told.extend(tell(&mut state, &audience, at(second)).into_iter().map(|told| (second, told.0)));
        }
        assert_eq!(told, [(100, Told::Firing), (350, Told::Resolved)]);
        assert_eq!(
            state,
            State { told: [("oncall".to_owned(), BTreeMap::new())].into(), ..State::default() }
        );
    }

    #[test]
    fn a_finding_that_is_missing_for_a_moment_is_still_the_same() {
        let (mut state, audience) = (State::default(), audience());
        for (second, is_found) in [(0, true), (10, false), (50, false), (55, true), (100, false), (110, true)]
        {
            let found = if is_found { vec![finding("parked", 1)] } else { Vec::new() };
            state.update(&[], found, SETTLE, at(second));
            assert_eq!(tell(&mut state, &audience, at(second)).is_empty(), second > 0);
        }
    }

    #[test]
    fn a_rule_with_a_delay_fires_only_if_it_holds_for_so_long() {
        let rule = Rule {
            name: "target_down".to_owned(),
            test: Test::TargetDown,
            severity: Severity::Warning,
            workflow: None,
            after: Duration::from_secs(30),
        };
        let mut state = State::default();
        for (second, fires) in [(0, false), (20, false), (30, true)] {
            state.update(std::slice::from_ref(&rule), vec![finding("target_down", 1)], SETTLE, at(second));
            assert_eq!(!tell(&mut state, &audience(), at(second)).is_empty(), fires, "after {second} s");
        }
    }

    #[test]
    fn a_thousand_findings_are_one_notification_with_a_few_of_them() {
        let mut state = State::default();
        let many = (0..1_000u32).map(|n| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            let subject = Subject::Run { run: RunId::from_bytes(id), workflow: "research".to_owned() };
            Finding { subject, ..finding("parked", 0) }
        });
        state.update(&[], many.collect(), SETTLE, at(0));
        let due = state.due(&audience(), at(0));
        assert_eq!((due.len(), due[0].items.len(), due[0].more), (1, 10, 990));
        assert!(due[0].text().ends_with("and 990 more: midwatch alerts"));
        state.accepted("oncall", &due[0], at(0));
        assert!(state.due(&audience(), at(1)).is_empty());
        assert_eq!(state.unexplained(10, at(1)).len(), 10);
    }

    #[test]
    fn what_a_receiver_did_not_take_is_still_due_after_a_restart_and_nobody_else_hears_it_twice() {
        let mut state = State::default();
        let other = Audience { name: "other".to_owned(), ..audience() };
        state.update(&[], vec![finding("parked", 1)], SETTLE, at(0));
        assert_eq!(tell(&mut state, &other, at(0)).len(), 1);
        let kept = serde_json::to_string(&state).unwrap();
        let mut state: State = serde_json::from_str(&kept).unwrap();
        state.update(&[], vec![finding("parked", 1)], SETTLE, at(5));
        assert!(tell(&mut state, &other, at(5)).is_empty());
        assert_eq!(tell(&mut state, &audience(), at(5)).len(), 1);
        // Over: both hear of it, and only one that was told does.
        let third = Audience { name: "third".to_owned(), severity: Severity::Critical, ..audience() };
        state.update(&[], Vec::new(), SETTLE, at(100));
        for (audience, count) in [(audience(), 1), (other, 1), (third, 0)] {
            assert_eq!(tell(&mut state, &audience, at(100)).len(), count, "{}", audience.name);
        }
        assert!(state.gone.is_empty());
    }

    #[test]
    fn an_audience_hears_only_of_what_it_wants() {
        let mut state = State::default();
        let critical = Finding { severity: Severity::Critical, ..finding("no_progress", 2) };
        state.update(&[], vec![finding("parked", 1), critical], SETTLE, at(0));
        let rules = |audience: Audience| -> Vec<String> {
            state.due(&audience, at(0)).into_iter().map(|due| due.rule).collect()
        };
        assert_eq!(rules(audience()), ["no_progress", "parked"]);
        assert_eq!(rules(Audience { severity: Severity::Critical, ..audience() }), ["no_progress"]);
        assert_eq!(rules(Audience { rules: vec!["parked".to_owned()], ..audience() }), ["parked"]);
    }

    #[test]
    fn what_still_fires_is_told_again_only_after_the_time_for_it() {
        let mut state = State::default();
        let audience = Audience { repeat: Some(Duration::from_secs(3_600)), ..audience() };
        let mut told = 0;
        for minute in 0..150 {
            state.update(&[], vec![finding("parked", 1)], SETTLE, at(minute * 60));
            told += tell(&mut state, &audience, at(minute * 60)).len();
        }
        assert_eq!(told, 3);
    }
}
