//! What Prometheus and Grafana alert on: numbers where midwatch's own alerts see runs, and what midwatch cannot see, that it
//! is gone itself.

/// An alert, and a case in which it fires.
pub(super) struct Alert {
    pub(super) name: &'static str,
    /// Its value is more than 0 when it holds, and the series is absent when it does not.
    pub(super) expr: &'static str,
    pub(super) after: &'static str,
    pub(super) severity: &'static str,
    /// In the template language that Prometheus and Grafana share.
    pub(super) summary: &'static str,
    /// The command that tells more.
    pub(super) next: &'static str,
    /// Series in which it fires: names with labels, and values in promtool's form, one every 30 s.
    pub(super) fires: &'static [(&'static str, &'static str)],
    /// The labels that it then has, beside its severity, and its summary.
    pub(super) labels: &'static [(&'static str, &'static str)],
    pub(super) says: &'static str,
    /// The same series, so that it does not.
    pub(super) quiet: &'static [&'static str],
}

const AT: &[(&str, &str)] = &[("instance", "w:9464"), ("job", "midwatch")];
const OF_RESEARCH: &[(&str, &str)] = &[("instance", "w:9464"), ("job", "midwatch"), ("workflow", "research")];
const AT_OPENAI: &[(&str, &str)] =
    &[("instance", "w:9464"), ("job", "midwatch"), ("target", "openai:gpt-4o")];

pub(super) const ALERTS: &[Alert] = &[
    Alert {
        name: "MidwatchWatcherDown",
        expr: "absent(midwatch_journal_up) or (1 - midwatch_journal_up) > 0",
        after: "2m",
        severity: "critical",
        summary: "nobody watches the journal: `midwatch watch` is down, or cannot read it",
        next: "midwatch doctor",
        fires: &[(r#"midwatch_journal_up{instance="w:9464",job="midwatch"}"#, "0x40")],
        labels: AT,
        says: "nobody watches the journal: `midwatch watch` is down, or cannot read it",
        quiet: &["1x40"],
    },
    Alert {
        name: "MidwatchNoOwner",
        expr: r#"sum by (job, instance) (midwatch_runs{status=~"running|waiting|compensating"}) > 0 unless on (job, instance) midwatch_owner_up == 1"#,
        after: "1m",
        severity: "critical",
        summary: r#"no process owns the journal; open runs that cannot go on: {{ printf "%.0f" $value }}"#,
        next: "midwatch doctor",
        fires: &[
            (
                r#"midwatch_runs{instance="w:9464",job="midwatch",workflow="research",status="running"}"#,
                "7x40",
            ),
            (r#"midwatch_owner_up{instance="w:9464",job="midwatch"}"#, "0x40"),
        ],
        labels: AT,
        says: "no process owns the journal; open runs that cannot go on: 7",
        quiet: &["7x40", "1x40"],
    },
    Alert {
        name: "MidwatchNoProgress",
        expr: "sum by (job, instance, workflow) (midwatch_stalled_runs) > 0",
        after: "0m",
        severity: "critical",
        summary: r#"runs of {{ $labels.workflow }} without progress for 5 minutes: {{ printf "%.0f" $value }}"#,
        next: "midwatch stalls",
        fires: &[(
            r#"midwatch_stalled_runs{instance="w:9464",job="midwatch",workflow="research",kind="silent"}"#,
            "2x40",
        )],
        labels: OF_RESEARCH,
        says: "runs of research without progress for 5 minutes: 2",
        quiet: &["_x40"],
    },
    Alert {
        name: "MidwatchScheduleToStart",
        expr: "max by (job, instance, workflow) (midwatch_waiting_to_start_seconds) > 600",
        after: "0m",
        severity: "warning",
        summary: "an attempt of {{ $labels.workflow }} has waited {{ $value | humanizeDuration }} to start",
        next: "midwatch alerts",
        fires: &[(
            r#"midwatch_waiting_to_start_seconds{instance="w:9464",job="midwatch",workflow="research",held_by="queue"}"#,
            "660x40",
        )],
        labels: OF_RESEARCH,
        says: "an attempt of research has waited 11m 0s to start",
        quiet: &["540x40"],
    },
    Alert {
        name: "MidwatchRunCost",
        expr: "midwatch_cost_outlier_runs > 0",
        after: "0m",
        severity: "warning",
        summary: r#"runs of {{ $labels.workflow }} that cost more than three times the median: {{ printf "%.0f" $value }}"#,
        next: "midwatch cost",
        fires: &[(
            r#"midwatch_cost_outlier_runs{instance="w:9464",job="midwatch",workflow="research"}"#,
            "1x40",
        )],
        labels: OF_RESEARCH,
        says: "runs of research that cost more than three times the median: 1",
        quiet: &["0x40"],
    },
    Alert {
        name: "MidwatchWasteShare",
        expr: "(sum by (job, instance, workflow) (increase(midwatch_wasted_usd_total[1h])) > 1) / sum by (job, instance, workflow) (increase(midwatch_cost_usd_total[1h])) > 0.3",
        after: "5m",
        severity: "warning",
        summary: "failed attempts are {{ $value | humanizePercentage }} of what {{ $labels.workflow }} spent in an hour",
        next: "midwatch cost --by step",
        fires: &[
            (
                r#"midwatch_wasted_usd_total{instance="w:9464",job="midwatch",workflow="research",class="overloaded"}"#,
                "0+0.5x40",
            ),
            (
                r#"midwatch_cost_usd_total{instance="w:9464",job="midwatch",workflow="research",provider="openai",model="gpt-4o"}"#,
                "0+1x40",
            ),
        ],
        labels: OF_RESEARCH,
        says: "failed attempts are 50% of what research spent in an hour",
        quiet: &["0+0.1x40", "0+1x40"],
    },
    Alert {
        name: "MidwatchBudget",
        expr: "midwatch_budget_used_ratio >= 0.8",
        after: "0m",
        severity: "warning",
        summary: "a run of {{ $labels.workflow }} has spent {{ $value | humanizePercentage }} of its budget",
        next: "midwatch alerts",
        fires: &[(
            r#"midwatch_budget_used_ratio{instance="w:9464",job="midwatch",workflow="research"}"#,
            "0.84x40",
        )],
        labels: OF_RESEARCH,
        says: "a run of research has spent 84% of its budget",
        quiet: &["0.5x40"],
    },
    Alert {
        name: "MidwatchParked",
        expr: r#"sum by (job, instance, workflow) (midwatch_parked_runs{reason!="compensation_failed"}) > 0"#,
        after: "0m",
        severity: "warning",
        summary: r#"runs of {{ $labels.workflow }} that need a person: {{ printf "%.0f" $value }}"#,
        next: "midwatch ls --status parked",
        fires: &[(
            r#"midwatch_parked_runs{instance="w:9464",job="midwatch",workflow="research",reason="budget"}"#,
            "3x40",
        )],
        labels: OF_RESEARCH,
        says: "runs of research that need a person: 3",
        quiet: &["_x40"],
    },
    Alert {
        name: "MidwatchCompensationFailed",
        expr: r#"sum by (job, instance, workflow) (midwatch_parked_runs{reason="compensation_failed"}) > 0"#,
        after: "0m",
        severity: "critical",
        summary: r#"runs of {{ $labels.workflow }} in which a compensation failed for good: {{ printf "%.0f" $value }}"#,
        next: "midwatch ls --status parked",
        fires: &[(
            r#"midwatch_parked_runs{instance="w:9464",job="midwatch",workflow="research",reason="compensation_failed"}"#,
            "1x40",
        )],
        labels: OF_RESEARCH,
        says: "runs of research in which a compensation failed for good: 1",
        quiet: &["0x40"],
    },
    Alert {
        name: "MidwatchTargetDown",
        expr: r#"max by (job, instance, target) (midwatch_gate_closed{because="circuit"}) > 0"#,
        after: "1m",
        severity: "critical",
        summary: "{{ $labels.target }} counts as down",
        next: "midwatch why --worst",
        fires: &[(
            r#"midwatch_gate_closed{instance="w:9464",job="midwatch",target="openai:gpt-4o",because="circuit"}"#,
            "1x40",
        )],
        labels: AT_OPENAI,
        says: "openai:gpt-4o counts as down",
        quiet: &["0x40"],
    },
    Alert {
        name: "MidwatchInboxNotRead",
        expr: "midwatch_inbox_oldest_seconds > 60 and on (job, instance) midwatch_owner_up == 1",
        after: "1m",
        severity: "warning",
        summary: "a message has waited {{ $value | humanizeDuration }} for the process that owns the journal",
        next: "midwatch doctor",
        fires: &[
            (r#"midwatch_inbox_oldest_seconds{instance="w:9464",job="midwatch"}"#, "120x40"),
            (r#"midwatch_owner_up{instance="w:9464",job="midwatch"}"#, "1x40"),
        ],
        labels: AT,
        says: "a message has waited 2m 0s for the process that owns the journal",
        quiet: &["5x40", "1x40"],
    },
    Alert {
        name: "MidwatchCommitSlow",
        expr: "histogram_quantile(0.99, sum by (job, instance, le) (rate(midwatch_journal_commit_seconds_bucket[5m]))) > 0.25",
        after: "5m",
        severity: "warning",
        summary: "one commit of the journal in a hundred takes {{ $value | humanizeDuration }} or longer",
        next: "midwatch doctor",
        fires: &[
            (r#"midwatch_journal_commit_seconds_bucket{instance="w:9464",job="midwatch",le="0.25"}"#, "0x40"),
            (r#"midwatch_journal_commit_seconds_bucket{instance="w:9464",job="midwatch",le="1"}"#, "0+10x40"),
            (
                r#"midwatch_journal_commit_seconds_bucket{instance="w:9464",job="midwatch",le="+Inf"}"#,
                "0+10x40",
            ),
        ],
        labels: AT,
        says: "one commit of the journal in a hundred takes 992.5ms or longer",
        quiet: &["0+10x40", "0+10x40", "0+10x40"],
    },
    Alert {
        name: "MidwatchNotificationsFail",
        expr: r#"sum by (job, instance, receiver) (increase(midwatch_notifications_total{result="failed"}[15m])) > 3"#,
        after: "0m",
        severity: "warning",
        summary: "{{ $labels.receiver }} does not take what midwatch tells it",
        next: "midwatch alerts --test",
        fires: &[(
            r#"midwatch_notifications_total{instance="w:9464",job="midwatch",receiver="oncall",result="failed"}"#,
            "0+1x40",
        )],
        labels: &[("instance", "w:9464"), ("job", "midwatch"), ("receiver", "oncall")],
        says: "oncall does not take what midwatch tells it",
        quiet: &["0x40"],
    },
];
