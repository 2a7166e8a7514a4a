//! The families of metrics: their names, units, labels and buckets. `docs/metrics.md` has the same table.

/// What a value is counted in. Values are whole numbers of a small unit, so that adding them up is exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Things.
    Count,
    /// Microseconds, shown as seconds.
    Seconds,
    /// Pico-dollars, shown as dollars.
    Usd,
    /// A share from 0 to 1; gauges only.
    Ratio,
}

impl Unit {
    /// A value as it is shown.
    #[allow(clippy::cast_precision_loss)] // for charts only
    pub fn shown(self, value: u64) -> f64 {
        match self {
            Unit::Count | Unit::Ratio => value as f64,
            Unit::Seconds => value as f64 / 1e6,
            Unit::Usd => value as f64 / 1e12,
        }
    }

    /// The word for it in documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::Count => "count",
            Unit::Seconds => "seconds",
            Unit::Usd => "US dollars",
            Unit::Ratio => "ratio",
        }
    }
}

/// What kind of metric it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only rises, from 0 when the watcher starts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size: the upper bounds of its buckets, in the unit's small form, without the last one, infinity.
    Histogram(&'static [u64]),
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// A label: its name, and whether users choose its values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// The name.
    pub name: &'static str,
    /// Whether its values are the user's own words, of which there may be any number.
    pub is_open: bool,
}

/// A family of metrics.
#[derive(Debug)]
pub struct Family {
    /// The full name, with `_total` for a counter.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What it is counted in.
    pub unit: Unit,
    /// Its labels, in order.
    pub labels: &'static [Label],
}

const fn open(name: &'static str) -> Label {
    Label { name, is_open: true }
}

const fn closed(name: &'static str) -> Label {
    Label { name, is_open: false }
}

const WORKFLOW: Label = open("workflow");
const TARGET: Label = open("target");
const PROVIDER: Label = open("provider");
const MODEL: Label = open("model");
const STATUS: Label = closed("status");
const CLASS: Label = closed("class");
const REASON: Label = closed("reason");

/// From 10 ms to a week; an agent's run may be either.
const LONG: Kind = Kind::Histogram(&[
    10_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    14_400_000_000,
    86_400_000_000,
    604_800_000_000,
]);
/// From 5 ms to an hour, the longest wait that the default timeouts allow.
const SHORT: Kind = Kind::Histogram(&[
    5_000,
    25_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    3_600_000_000,
]);
/// From a hundredth of a cent to $100 in steps of 1, 2, 5: three medians are never in the bucket of the median.
const DOLLARS: Kind = Kind::Histogram(&[
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    50_000_000_000,
    100_000_000_000,
    200_000_000_000,
    500_000_000_000,
    1_000_000_000_000,
    2_000_000_000_000,
    5_000_000_000_000,
    10_000_000_000_000,
    20_000_000_000_000,
    50_000_000_000_000,
    100_000_000_000_000,
]);
/// From 100 µs to 10 s; what the journal's writer counts by.
pub const COMMIT_BUCKETS: &[u64] =
    &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000];

/// Declares families, and the list of all of them.
macro_rules! families {
    ($($ident:ident = $kind:expr, $unit:ident, $name:literal, [$($label:expr),*]: $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $ident: Family = Family {
                name: $name, help: $help, kind: $kind, unit: Unit::$unit, labels: &[$($label),*],
            };
        )*

        /// All families, in the order in which they are served.
        pub static ALL: &[&Family] = &[$(&$ident,)*];
    };
}

families! {
    RUNS_STARTED = Kind::Counter, Count, "midwatch_runs_started_total", [WORKFLOW]:
        "Runs that started, children and forks included.";
    RUNS_ENDED = Kind::Counter, Count, "midwatch_runs_ended_total", [WORKFLOW, STATUS]:
        "Runs that ended, by how; a run that is retried may end again.";
    RUN_DURATION = LONG, Seconds, "midwatch_run_duration_seconds", [WORKFLOW]:
        "From the start of a run to its end.";
    RUN_COST = DOLLARS, Usd, "midwatch_run_cost_usd", [WORKFLOW]:
        "What an ended run spent in all; runs that spent nothing are left out.";
    ATTEMPTS = Kind::Counter, Count, "midwatch_attempts_total", [WORKFLOW, TARGET, CLASS]:
        "Attempts that ended, by the class of their failure, or ok.";
    ATTEMPT_DURATION = SHORT, Seconds, "midwatch_attempt_duration_seconds", [TARGET]:
        "From the start of an attempt to its end, waits not included.";
    RETRIES = Kind::Counter, Count, "midwatch_retries_total", [WORKFLOW, CLASS]:
        "Attempts that were asked for after one that failed, by the class of that failure.";
    SCHEDULE_TO_START = SHORT, Seconds, "midwatch_schedule_to_start_seconds", [WORKFLOW, closed("held_by")]:
        "From asking for an attempt to its start, by what held it back.";
    TOKENS = Kind::Counter, Count, "midwatch_tokens_total", [PROVIDER, MODEL, closed("kind")]:
        "Tokens of all attempts, failed ones too; the kinds are disjoint, their sum is all tokens.";
    COST = Kind::Counter, Usd, "midwatch_cost_usd_total", [WORKFLOW, PROVIDER, MODEL]:
        "What all attempts cost, failed ones too, as far as prices are known.";
    WASTED = Kind::Counter, Usd, "midwatch_wasted_usd_total", [WORKFLOW, CLASS]:
        "What failed attempts cost, by the class of their failure.";
    UNPRICED = Kind::Counter, Count, "midwatch_unpriced_charges_total", [PROVIDER, MODEL]:
        "Charges without a known price; they are in no sum of dollars.";
    PARKS = Kind::Counter, Count, "midwatch_parks_total", [WORKFLOW, REASON]:
        "Times that a run was parked, by why.";

    RUNS = Kind::Gauge, Count, "midwatch_runs", [WORKFLOW, STATUS]:
        "Runs that are open, by where they stand.";
    STALLED = Kind::Gauge, Count, "midwatch_stalled_runs", [WORKFLOW, closed("kind")]:
        "Runs without progress beyond the stall limit; read from the journal, whether or not a worker lives.";
    HEARTBEAT_AGE = Kind::Gauge, Seconds, "midwatch_heartbeat_age_seconds", [WORKFLOW]:
        "The longest that a run with attempts under way has said nothing.";
    WAITING_TO_START = Kind::Gauge, Seconds, "midwatch_waiting_to_start_seconds", [WORKFLOW, closed("held_by")]:
        "The longest that an attempt has been held back so far.";
    PARKED = Kind::Gauge, Count, "midwatch_parked_runs", [WORKFLOW, REASON]:
        "Runs that need a person, by why.";
    COST_MEDIAN = Kind::Gauge, Usd, "midwatch_run_cost_median_usd", [WORKFLOW]:
        "The median cost of the latest completed runs; absent where there are too few.";
    COST_OUTLIERS = Kind::Gauge, Count, "midwatch_cost_outlier_runs", [WORKFLOW]:
        "Runs, open or ended lately, that cost more than three times the median of their workflow.";
    BUDGET_USED = Kind::Gauge, Ratio, "midwatch_budget_used_ratio", [WORKFLOW]:
        "The largest share of its own budget that an open run has spent.";
    GATE_CLOSED = Kind::Gauge, Count, "midwatch_gate_closed", [TARGET, closed("because")]:
        "1 while a gate lets nothing through: for a cool_down, or for a circuit because its target is down.";
    GATE_WAITING = Kind::Gauge, Count, "midwatch_gate_waiting_attempts", [TARGET]:
        "Attempts that wait at a gate.";
    GATE_UNDER_WAY = Kind::Gauge, Count, "midwatch_gate_under_way_attempts", [TARGET]:
        "Attempts under way at a target.";
    GATE_RATE = Kind::Gauge, Count, "midwatch_gate_starts_per_second", [TARGET]:
        "Starts per second that a gate allows.";
    LETTERS = Kind::Gauge, Count, "midwatch_inbox_letters", []:
        "Messages that the owner has not taken in.";
    LETTER_AGE = Kind::Gauge, Seconds, "midwatch_inbox_oldest_seconds", []:
        "The age of the oldest of them.";
    OWNER_UP = Kind::Gauge, Count, "midwatch_owner_up", []:
        "1 if a process owns the journal and so carries its runs out.";
    COMMIT_DURATION = Kind::Histogram(COMMIT_BUCKETS), Seconds, "midwatch_journal_commit_seconds", []:
        "What a commit of the journal took, as its owner counted since it opened it.";
    JOURNAL_UP = Kind::Gauge, Count, "midwatch_journal_up", []:
        "1 if the journal could be read the last time.";
    POSITION = Kind::Gauge, Count, "midwatch_watch_position", []:
        "The place in the journal up to which the counters count.";
    REFRESHED = Kind::Gauge, Seconds, "midwatch_watch_refreshed_timestamp_seconds", []:
        "When the journal was last read.";
    ALERTS = Kind::Gauge, Count, "midwatch_alerts_firing", [open("rule")]:
        "Findings of the watcher's own rules that are firing.";
    NOTIFICATIONS = Kind::Counter, Count, "midwatch_notifications_total", [open("receiver"), closed("result")]:
        "Notifications to a receiver, by whether it took them.";
    BUILD = Kind::Gauge, Count, "midwatch_build_info", [closed("version")]:
        "Always 1; the label says which version is watching.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_say_their_unit_and_name_no_run() {
        let names: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            let base = family.name.trim_end_matches("_total");
            assert!(family.name.starts_with("midwatch_"), "{}", family.name);
            assert_eq!(family.kind == Kind::Counter, family.name.ends_with("_total"), "{}", family.name);
            let suffix = match family.unit {
                Unit::Count => "",
                Unit::Seconds => "_seconds",
                Unit::Usd => "_usd",
                Unit::Ratio => "_ratio",
            };
            assert!(base.ends_with(suffix), "{}", family.name);
            let labels = family.labels.iter().map(|label| label.name);
            assert!(labels.clone().all(|label| !["run", "run_id", "workflow_id", "step"].contains(&label)));
        }
    }

    #[test]
    fn buckets_rise_and_three_medians_are_in_another_one() {
        for family in ALL {
            let Kind::Histogram(bounds) = family.kind else { continue };
            assert!(bounds.is_sorted_by(|a, b| a < b), "{}", family.name);
        }
        let Kind::Histogram(dollars) = RUN_COST.kind else { unreachable!() };
        assert!(dollars.is_sorted_by(|a, b| *b <= 3 * a));
    }

    #[test]
    fn every_family_is_documented_with_its_unit_and_labels() {
        let page = include_str!("../../../../docs/metrics.md");
        for family in ALL {
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{}`", label.name)).collect();
            let row = format!(
                "| `{}` | {} | {} | {} | {} |",
                family.name,
                family.kind.as_str(),
                family.unit.as_str(),
                labels.join(", "),
                family.help
            );
            assert!(page.contains(&row), "docs/metrics.md lacks:\n{row}");
        }
    }
}
