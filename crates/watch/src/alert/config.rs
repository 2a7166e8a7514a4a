//! What a file of rules means.

use std::time::Duration;

use midwatch_observe::alert::Rule;

use super::entry::Reader;
use super::receiver::Receiver;
use super::toml_file::{Wrong, read};

/// The default rules, as a file with comments.
pub const DEFAULT: &str = include_str!("default.toml");

/// Rules, and who is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// What was not found for so long is over.
    pub resolve_after: Duration,
}

/// So many rules and receivers are taken.
const RULES_MAX: usize = 200;
const RECEIVERS_MAX: usize = 20;
impl Plan {
    /// Reads a file. A file without rules has the default ones.
    ///
    /// # Errors
    /// Everything that is not right, in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<Wrong>> {
        let file = read(text).map_err(|wrong| vec![wrong])?;
        let mut reader = Reader::new(text);
        let mut rules: Vec<Rule> = file.rule.iter().filter_map(|entry| reader.rule(entry)).collect();
        reader
            .unique(file.rule.iter().map(|rule| (rule, rule.get_ref().name.as_ref(), &rule.get_ref().kind)));
        if file.rule.is_empty() {
            rules = Self::default_rules();
        }
        let receivers = file.receiver.iter().filter_map(|entry| reader.receiver(entry, &rules)).collect();
        reader
            .unique(file.receiver.iter().map(|one| (one, one.get_ref().name.as_ref(), &one.get_ref().kind)));
        reader.count("rule", file.rule.len(), RULES_MAX);
        reader.count("receiver", file.receiver.len(), RECEIVERS_MAX);
        if !reader.wrong.is_empty() {
            reader.wrong.sort_by_key(|wrong| wrong.line);
            return Err(reader.wrong);
        }
        let resolve_after = file.resolve_after.map_or(Duration::from_secs(60), |time| time.0);
        Ok(Self { rules, receivers, resolve_after })
    }

    fn default_rules() -> Vec<Rule> {
        // That it can be read is a test of this crate.
        Self::parse(DEFAULT).map(|plan| plan.rules).unwrap_or_default()
    }
}

impl Default for Plan {
    /// The default rules, and nobody who is told.
    fn default() -> Self {
        let rules = Self::default_rules();
        Self { rules, receivers: Vec::new(), resolve_after: Duration::from_secs(60) }
    }
}

#[cfg(test)]
mod tests {
    use midwatch_observe::alert::Test;

    use super::*;

    #[test]
    fn the_default_rules_are_one_of_each_kind_and_tell_nobody() {
        let plan = Plan::parse(DEFAULT).unwrap();
        let kinds: Vec<&str> = plan.rules.iter().map(|rule| rule.test.as_str()).collect();
        assert_eq!(kinds, Test::WORDS);
        assert!(plan.receivers.is_empty());
        assert_eq!(Plan::default().rules, plan.rules);
    }

    #[test]
    fn the_receivers_in_the_comments_of_the_default_file_are_right() {
        let (rules, receivers) = DEFAULT.split_once("\n# [[receiver]]").unwrap();
        let receivers = receivers.replace("\n# ", "\n").replace("\n#\n", "\n\n");
        let plan = Plan::parse(&format!("{rules}\n[[receiver]]{receivers}")).unwrap();
        let names: Vec<&str> =
            plan.receivers.iter().map(|receiver| receiver.audience.name.as_str()).collect();
        assert_eq!(names, ["oncall", "alertmanager", "hook", "page"]);
    }

    #[test]
    fn a_file_of_receivers_alone_has_the_default_rules() {
        let plan = Plan::parse("[[receiver]]\nkind = \"slack\"\nurl_env = \"SLACK\"\n").unwrap();
        assert_eq!((plan.rules.len(), plan.receivers.len()), (Test::WORDS.len(), 1));
    }

    #[test]
    fn whatever_is_wrong_is_named_with_its_line_and_key() {
        let rule = |rest: &str| format!("# first\n[[rule]]\n{rest}\n");
        let receiver = |rest: &str| format!("# first\n[[receiver]]\n{rest}\n");
        for (text, expected) in [
            (
                rule("kind = \"noise\""),
                "line 3: `kind` is no kind of rule: expected one of run_cost, no_progress",
            ),
            (rule("kind = \"run_cost\"\ntimes = 1.0"), "line 4: `times` must be more than 1"),
            (rule("kind = \"run_cost\""), "line 2: `times` is missing; it must be more than 1"),
            (rule("kind = \"budget\"\nshare = 80"), "line 4: `share` must be more than 0 and at most 1"),
            (rule("kind = \"parked\"\nlimit = \"5m\""), "line 4: `limit` does not belong to kind `parked`"),
            (rule("kind = \"no_progress\"\nlimit = \"soon\""), "line 4: `limit` is no duration such as"),
            (rule("kind = \"no_progress\"\nlimit = 5"), "line 4: `limit` invalid type: integer `5`"),
            (rule("kind = \"parked\"\nseverty = \"critical\""), "line 4: `severty` unknown field `severty`"),
            (rule("kind = \"parked\"\nseverity = \"high\""), "line 4: `severity` must be \"warning\" or"),
            (rule("kind = \"parked\"\n[[rule]]\nkind = \"parked\""), "line 4: `name` is taken"),
            (rule("kind = \"no_owner\"\nworkflow = \"w\""), "line 2: `workflow` does not belong"),
            (rule("kind = \"parked"), "line 3: `kind` "),
            (receiver("kind = \"slack\""), "line 2: `url` is missing: give url, url_env or url_file"),
            (
                receiver("kind = \"slack\"\nurl = \"hooks\""),
                "line 4: `url` is no http:// or https:// address",
            ),
            (
                receiver("kind = \"slack\"\nurl_env = \"A\"\nurl_file = \"b\""),
                "line 5: `url_file` is one too many",
            ),
            (receiver("kind = \"command\""), "line 2: `command` is missing"),
            (
                receiver("kind = \"slack\"\nurl_env = \"A\"\nrules = [\"x\"]"),
                "line 5: `rules` names `x`, which is no rule",
            ),
            (receiver("kind = \"mail\""), "line 3: `kind` is no kind of receiver"),
        ] {
            let wrong = Plan::parse(&text).map(drop).unwrap_err();
            assert!(wrong[0].to_string().starts_with(expected), "{text}\n{}\nexpected {expected}", wrong[0]);
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_and_no_secret_with_it() {
        let text =
            "[[rule]]\nkind = \"budget\"\n[[receiver]]\nkind = \"slack\"\nurl = \"ftp://hooks/T0/s3cr3t\"\n";
        let wrong = Plan::parse(text).map(drop).unwrap_err();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        let broken = "[[receiver]]\nkind = \"slack\"\nurl = \"https://hooks/s3cr3t\n";
        for wrong in wrong.into_iter().chain(Plan::parse(broken).map(drop).unwrap_err()) {
            assert!(!wrong.to_string().contains("s3cr3t"), "{wrong}");
        }
    }
}
