//! The words that an answer is made of. They are stable: programs and pages depend on them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes an enum whose variants have a stable word and a meaning.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal: $meaning:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = $meaning] #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word in JSON and in `docs/why.md`.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $($name::$variant => $meaning,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How a run is doing.
    Verdict {
        Slow = "slow": "it takes or took longer than is usual, but it moves or has ended",
        Stuck = "stuck": "it does not move, and will not by itself or not for long",
        Expensive = "expensive": "it cost more than three times the median",
        Failed = "failed": "it ended with a failure, a cancellation or a timeout",
        Parked = "parked": "it needs a person's answer, or mended code",
        Waiting = "waiting": "it waits for something that is expected, and within the usual time",
        Healthy = "healthy": "it does what its like usually do",
        Unknown = "unknown": "the journal does not say",
    }
}

words! {
    /// Why it is doing so.
    Cause {
        RetryAfter = "retry_after": "waits that the target asked for by Retry-After",
        RetryRateLimited = "retry_rate_limited": "waits to try again after rate limits (429)",
        RetryOverloaded = "retry_overloaded": "waits to try again while the target had no capacity (503, 529)",
        RetryServer = "retry_server": "waits to try again after failures of the target (500, 502)",
        RetryConnection = "retry_connection": "waits to try again after broken connections",
        RetryTimeout = "retry_timeout": "waits to try again after timeouts",
        RetryUnknown = "retry_unknown": "waits to try again after failures of no known class",
        RetryMixed = "retry_mixed": "waits to try again after failures of several classes, none of which prevails",
        TimeoutsBurned = "timeouts_burned": "attempts that used up their whole time limit and gave nothing",
        GateClosed = "gate_closed": "attempts held at the closed gate of their target",
        QueueBacklog = "queue_backlog": "attempts waiting for a place in a queue that others use",
        SlowAttempt = "slow_attempt": "one attempt that takes or took much longer than is usual for its step",
        SlowSteps = "slow_steps": "many attempts, each slower than is usual for its step",
        MoreSteps = "more_steps": "many more steps than runs of this workflow usually take",
        SlowChild = "slow_child": "a child run that takes or took long",
        Compensation = "compensation": "undoing steps",
        HeldByPause = "held_by_pause": "a pause by an operator, over by now",
        ProcessDown = "process_down": "a time without process, over by now",
        LateSignal = "late_signal": "a signal that came later than is usual",
        LateAnswer = "late_answer": "a person's answer to a parked operation that took long",
        LongSleep = "long_sleep": "sleeps that were longer than is usual",
        StepSilent = "step_silent": "an attempt says nothing although its process lives",
        ProcessLost = "process_lost": "no process carries the run out",
        LockHeld = "lock_held": "another process holds the journal and does not carry this run out",
        NoCode = "no_code": "no process has code for the workflow or the step",
        SignalNeverCame = "signal_never_came": "a signal that did not come, long past the usual time",
        ChildStuck = "child_stuck": "a child run that is itself stuck, parked or paused",
        GateClosedLong = "gate_closed_long": "the target's gate has been closed for long",
        QueueStarved = "queue_starved": "the queue lets nothing through",
        TimerFarAway = "timer_far_away": "a timer that is due much later than is usual",
        Paused = "paused": "an operator holds the run",
        ParkedBudget = "parked_budget": "a budget is reached",
        ParkedCompensationFailed = "parked_compensation_failed": "a compensation failed for good",
        ParkedReplayedFailure = "parked_replayed_failure": "the receiver replays an old failure for the step's key",
        CodeJournalMismatch = "code_journal_mismatch": "the code asks for other operations than the journal records",
        ParkedPanicked = "parked_panicked": "the workflow's code panicked",
        ParkedStray = "parked_stray": "the workflow awaits something that is no operation",
        FailedAttempts = "failed_attempts": "money spent on attempts that failed",
        HopelessRetries = "hopeless_retries": "the same call again and again although it cannot succeed",
        LostAttempts = "lost_attempts": "money spent on attempts that were lost with their process",
        ContextGrowth = "context_growth": "a loop whose calls grow with every turn",
        NoCacheHits = "no_cache_hits": "input that usually comes from the provider's cache and did not",
        ModelChange = "model_change": "another model than runs of this workflow usually use",
        PriceChange = "price_change": "the same tokens of the same model at a higher price",
        MoreCalls = "more_calls": "many more paid calls than usual",
        FanOut = "fan_out": "many more branches side by side than usual",
        OneHugeCall = "one_huge_call": "one call that cost most of it",
        LargerCalls = "larger_calls": "calls that are all larger than usual",
        RateLimited = "rate_limited": "the target refused for its rate limit until the attempts were used up",
        Overloaded = "overloaded": "the target had no capacity until the attempts were used up",
        Timeout = "timeout": "attempts did not end within their time limit",
        Stalled = "stalled": "attempts gave no sign of progress within their limit",
        Connection = "connection": "the connection to the target failed",
        Server = "server": "the target failed",
        Lost = "lost": "the process died during the step too often",
        UnknownFailure = "unknown_failure": "a failure of no known class",
        ContextOverflow = "context_overflow": "the prompt is longer than the model takes",
        InvalidRequest = "invalid_request": "the target refuses the request as it is",
        Authentication = "authentication": "the credentials are not valid",
        Permission = "permission": "the credentials do not allow this",
        NotFound = "not_found": "what the request is about does not exist",
        QuotaExhausted = "quota_exhausted": "paid-for quota is used up",
        ContentFiltered = "content_filtered": "the target's content filter refused",
        ReplayedFailure = "replayed_failure": "the receiver replays an old failure for the step's key",
        BudgetReached = "budget_reached": "a budget was reached and its rule is to fail",
        Bug = "bug": "the code is wrong: it panicked, or its types are not those of the journal",
        Cancelled = "cancelled": "somebody cancelled the run",
        DeadlinePassed = "deadline_passed": "the run's own time limit passed",
        EndedByServer = "ended_by_server": "the Temporal or Restate server ended it by itself, and nothing was undone",
        SignalTimedOut = "signal_timed_out": "a signal did not come within its limit",
        ChildFailed = "child_failed": "a child run failed",
        WorkflowError = "workflow_error": "the workflow's own code gave an error although its steps went well",
        Timer = "timer": "waits for a timer",
        Signal = "signal": "waits for a signal",
        Child = "child": "waits for a child run that goes on",
        Retry = "retry": "waits to try a step again",
        Gate = "gate": "waits at its target's gate",
        Queue = "queue": "waits for a place in its queue",
        Progressing = "progressing": "goes on",
        Completed = "completed": "has completed",
        Unknown = "unknown": "the journal does not say",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_documented_with_its_meaning() {
        let page = include_str!("../../../../docs/why.md");
        let words = Verdict::ALL.iter().map(|verdict| (verdict.as_str(), verdict.meaning()));
        for (word, meaning) in words.chain(Cause::ALL.iter().map(|cause| (cause.as_str(), cause.meaning()))) {
            assert!(
                page.contains(&format!("| `{word}` | {meaning} |")),
                "docs/why.md lacks `{word}`: {meaning}"
            );
        }
    }

    #[test]
    fn every_cause_occurs_in_an_incident() {
        let told: Vec<Cause> = crate::corpus::incidents().iter().map(|incident| incident.cause).collect();
        let missing: Vec<&Cause> = Cause::ALL.iter().filter(|cause| !told.contains(cause)).collect();
        assert_eq!(missing, Vec::<&Cause>::new());
    }
}
