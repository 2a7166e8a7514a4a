//! The panels of the dashboard, row by row.

/// A row of panels.
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: &'static [Panel],
}

/// A panel.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) says: &'static str,
    pub(super) form: Form,
    /// Grafana's word for the unit.
    pub(super) unit: &'static str,
    /// In columns of 24.
    pub(super) width: u32,
    /// Questions and the names of what they give. In them `{S` stands for the chosen journals, `{W` for those and workflows.
    pub(super) queries: &'static [(&'static str, &'static str)],
    /// From here on it is drawn in red.
    pub(super) limit: Option<f64>,
}

/// How it is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One number.
    Stat,
    /// Lines.
    Lines,
    /// Areas on top of each other.
    Stacked,
    /// Lines, the last of which is a dashed red one.
    Lined,
    /// Counts by size over time.
    Heatmap,
    /// Bands of colour over time.
    States,
}

const fn stat(
    title: &'static str,
    says: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
    limit: Option<f64>,
) -> Panel {
    Panel { title, says, form: Form::Stat, unit, width: 3, queries, limit }
}

const fn panel(
    title: &'static str,
    says: &'static str,
    form: Form,
    unit: &'static str,
    width: u32,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, says, form, unit, width, queries, limit: None }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        title: "Now",
        panels: &[
            stat(
                "Owner",
                "Whether a process carries runs out",
                "none",
                &[("min(midwatch_owner_up{S})", "")],
                None,
            ),
            stat(
                "Open runs",
                "Runs that have not ended",
                "none",
                &[("sum(midwatch_runs{W}) or vector(0)", "")],
                None,
            ),
            stat(
                "Stalled",
                "Runs without progress for 5 minutes: midwatch stalls",
                "none",
                &[("sum(midwatch_stalled_runs{W}) or vector(0)", "")],
                Some(1.0),
            ),
            stat(
                "Parked",
                "Runs that need a person: midwatch ls --status parked",
                "none",
                &[("sum(midwatch_parked_runs{W}) or vector(0)", "")],
                Some(1.0),
            ),
            stat(
                "Cost outliers",
                "Runs beyond three medians of their workflow: midwatch cost",
                "none",
                &[("sum(midwatch_cost_outlier_runs{W}) or vector(0)", "")],
                Some(1.0),
            ),
            stat(
                "Spent an hour",
                "What all attempts cost, extrapolated to an hour",
                "currencyUSD",
                &[("sum(rate(midwatch_cost_usd_total{W}[10m])) * 3600 or vector(0)", "")],
                None,
            ),
            stat(
                "Waste",
                "The share of the cost that failed attempts had, over an hour",
                "percentunit",
                &[(
                    "(sum(increase(midwatch_wasted_usd_total{W}[1h])) or vector(0)) / (sum(increase(midwatch_cost_usd_total{W}[1h])) > 0)",
                    "",
                )],
                Some(0.3),
            ),
            stat(
                "Alerts",
                "What midwatch's own rules find: midwatch alerts",
                "none",
                &[("sum(midwatch_alerts_firing{S}) or vector(0)", "")],
                Some(1.0),
            ),
        ],
    },
    Row {
        title: "Runs",
        panels: &[
            panel(
                "Open runs by status",
                "Where open runs stand",
                Form::Stacked,
                "none",
                8,
                &[("sum by (status) (midwatch_runs{W})", "{{status}}")],
            ),
            panel(
                "Starts and ends",
                "Runs a second, ends by how they ended",
                Form::Lines,
                "ops",
                8,
                &[
                    ("sum(rate(midwatch_runs_started_total{W}[$__rate_interval]))", "started"),
                    ("sum by (status) (rate(midwatch_runs_ended_total{W}[$__rate_interval]))", "{{status}}"),
                ],
            ),
            panel(
                "How long runs take",
                "Of runs that ended; half take less than p50",
                Form::Lines,
                "s",
                8,
                &[
                    (
                        "histogram_quantile(0.5, sum by (workflow, le) (rate(midwatch_run_duration_seconds_bucket{W}[$__rate_interval])))",
                        "{{workflow}} p50",
                    ),
                    (
                        "histogram_quantile(0.95, sum by (workflow, le) (rate(midwatch_run_duration_seconds_bucket{W}[$__rate_interval])))",
                        "{{workflow}} p95",
                    ),
                ],
            ),
        ],
    },
    Row {
        title: "Cost",
        panels: &[
            panel(
                "What a run costs, how often",
                "Runs that ended, by what they cost in all",
                Form::Heatmap,
                "currencyUSD",
                12,
                &[("sum by (le) (increase(midwatch_run_cost_usd_bucket{W}[$__rate_interval]))", "{{le}}")],
            ),
            panel(
                "What a run costs, and three medians",
                "Runs above the dashed line cost more than three times the median of the dearest workflow shown; choose one workflow to see its own line",
                Form::Lined,
                "currencyUSD",
                12,
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(midwatch_run_cost_usd_bucket{W}[$__rate_interval])))",
                        "p50",
                    ),
                    (
                        "histogram_quantile(0.95, sum by (le) (rate(midwatch_run_cost_usd_bucket{W}[$__rate_interval])))",
                        "p95",
                    ),
                    (
                        "histogram_quantile(1, sum by (le) (rate(midwatch_run_cost_usd_bucket{W}[$__rate_interval])))",
                        "dearest",
                    ),
                    ("3 * max(midwatch_run_cost_median_usd{W})", "3 × median"),
                ],
            ),
            panel(
                "Dollars an hour by model",
                "What all attempts cost, failed ones too",
                Form::Stacked,
                "currencyUSD",
                6,
                &[(
                    "sum by (provider, model) (rate(midwatch_cost_usd_total{W}[$__rate_interval])) * 3600",
                    "{{provider}} {{model}}",
                )],
            ),
            panel(
                "Tokens a second",
                "By kind; the kinds are disjoint",
                Form::Stacked,
                "none",
                6,
                &[("sum by (kind) (rate(midwatch_tokens_total{S}[$__rate_interval]))", "{{kind}}")],
            ),
            panel(
                "Waste by class",
                "Dollars an hour that failed attempts cost",
                Form::Stacked,
                "currencyUSD",
                6,
                &[(
                    "sum by (class) (rate(midwatch_wasted_usd_total{W}[$__rate_interval])) * 3600",
                    "{{class}}",
                )],
            ),
            Panel {
                limit: Some(0.8),
                ..panel(
                    "Budgets",
                    "The largest share of its own budget that an open run has spent; charges without a price count as nothing in it",
                    Form::Lines,
                    "percentunit",
                    6,
                    &[
                        ("max by (workflow) (midwatch_budget_used_ratio{W})", "{{workflow}}"),
                        (
                            "sum(increase(midwatch_unpriced_charges_total{S}[$__rate_interval]))",
                            "unpriced charges",
                        ),
                    ],
                )
            },
        ],
    },
    Row {
        title: "Attempts",
        panels: &[
            panel(
                "Retries by class",
                "Attempts after one that failed, by the class of that failure",
                Form::Stacked,
                "ops",
                8,
                &[("sum by (class) (rate(midwatch_retries_total{W}[$__rate_interval]))", "{{class}}")],
            ),
            panel(
                "Failures by target and class",
                "Attempts that failed",
                Form::Lines,
                "ops",
                8,
                &[(
                    r#"sum by (target, class) (rate(midwatch_attempts_total{W,class!="ok"}[$__rate_interval]))"#,
                    "{{target}} {{class}}",
                )],
            ),
            panel(
                "How long attempts take",
                "95 % take less, by target",
                Form::Lines,
                "s",
                8,
                &[(
                    "histogram_quantile(0.95, sum by (target, le) (rate(midwatch_attempt_duration_seconds_bucket{S}[$__rate_interval])))",
                    "{{target}}",
                )],
            ),
        ],
    },
    Row {
        title: "Stalls and backlog",
        panels: &[
            Panel {
                limit: Some(300.0),
                ..panel(
                    "Longest silence",
                    "Of runs with attempts under way; beyond 5 minutes a run has stalled",
                    Form::Lines,
                    "s",
                    8,
                    &[("max by (workflow) (midwatch_heartbeat_age_seconds{W})", "{{workflow}}")],
                )
            },
            panel(
                "Stalled and parked",
                "Runs that will not go on by themselves",
                Form::Stacked,
                "none",
                8,
                &[
                    ("sum by (kind) (midwatch_stalled_runs{W})", "{{kind}}"),
                    ("sum by (reason) (midwatch_parked_runs{W})", "parked: {{reason}}"),
                    (
                        "sum by (reason) (increase(midwatch_parks_total{W}[$__rate_interval]))",
                        "newly parked: {{reason}}",
                    ),
                ],
            ),
            panel(
                "Waiting to start",
                "Longest wait now, and what 95 % of attempts wait at most",
                Form::Lines,
                "s",
                8,
                &[
                    ("max by (held_by) (midwatch_waiting_to_start_seconds{W})", "longest at {{held_by}}"),
                    (
                        "histogram_quantile(0.95, sum by (le) (rate(midwatch_schedule_to_start_seconds_bucket{W}[$__rate_interval])))",
                        "p95",
                    ),
                ],
            ),
        ],
    },
    Row {
        title: "Gates",
        panels: &[
            panel(
                "Closed",
                "Targets that nothing is sent to: for a cool-down that they asked for, or because they count as down",
                Form::States,
                "none",
                12,
                &[(
                    r#"max by (target) (midwatch_gate_closed{S,because="circuit"}) * 2 or max by (target) (midwatch_gate_closed{S})"#,
                    "{{target}}",
                )],
            ),
            panel(
                "At the gates",
                "Attempts that wait, and that are under way",
                Form::Lines,
                "none",
                6,
                &[
                    ("sum by (target) (midwatch_gate_waiting_attempts{S})", "{{target}} waiting"),
                    ("sum by (target) (midwatch_gate_under_way_attempts{S})", "{{target}} under way"),
                ],
            ),
            panel(
                "Pace",
                "Starts a second that gates allow",
                Form::Lines,
                "ops",
                6,
                &[("max by (target) (midwatch_gate_starts_per_second{S})", "{{target}}")],
            ),
        ],
    },
    Row {
        title: "Journal",
        panels: &[
            panel(
                "Commits",
                "How long a commit takes, as the owner counts",
                Form::Lines,
                "s",
                8,
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(midwatch_journal_commit_seconds_bucket{S}[$__rate_interval])))",
                        "p50",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(midwatch_journal_commit_seconds_bucket{S}[$__rate_interval])))",
                        "p99",
                    ),
                ],
            ),
            panel(
                "Inbox",
                "Messages that the owner has not taken in, and the age of the oldest",
                Form::Lines,
                "none",
                8,
                &[
                    ("sum(midwatch_inbox_letters{S})", "letters"),
                    ("max(midwatch_inbox_oldest_seconds{S})", "oldest, s"),
                ],
            ),
            panel(
                "Watching",
                "Rows a second that the watcher counts, the age of its last reading, and what receivers took",
                Form::Lines,
                "none",
                8,
                &[
                    ("sum(deriv(midwatch_watch_position{S}[$__rate_interval]))", "rows a second"),
                    (
                        "time() - max(midwatch_watch_refreshed_timestamp_seconds{S})",
                        "age of the last reading, s",
                    ),
                    (
                        "sum by (result) (increase(midwatch_notifications_total{S}[$__rate_interval]))",
                        "notifications {{result}}",
                    ),
                    ("min(midwatch_journal_up{S})", "journal readable"),
                ],
            ),
        ],
    },
];

/// A question with the chosen journals and workflows in place.
pub(super) fn expr(text: &str) -> String {
    text.replace("{S", r#"{instance=~"$instance""#)
        .replace("{W", r#"{instance=~"$instance",workflow=~"$workflow""#)
}

/// All questions.
#[cfg(test)]
pub(super) fn exprs() -> impl Iterator<Item = String> {
    let panels = ROWS.iter().flat_map(|row| row.panels);
    panels.flat_map(|panel| panel.queries).map(|(text, _)| expr(text))
}
