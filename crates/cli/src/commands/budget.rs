//! `midwatch budget`.

use clap::Args;
use midwatch_journal::{Journal, RunSummary, Status};
use midwatch_workflow::{Event, EventKind, Message, Money, ParkReason};

use crate::config::Global;
use crate::control::{Judgement, Order, Sending, Sent, Targets, deliver, ended, state};
use crate::error::Exit;
use crate::output::{Out, amount};

/// Raise the budget of runs; those that are parked for it go on
#[derive(Args)]
#[command(after_help = concat!("\
Examples:
  midwatch budget paper-9 --add 2.50
  midwatch budget paper-9 --tokens 100000
  midwatch budget --workflow research --add 1 --yes        all that are parked

", super::outcome_help!()))]
pub(crate) struct Budget {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    more: More,
    #[command(flatten)]
    sending: Sending,
}

/// By how much.
#[derive(Args)]
#[group(required = true, multiple = true)]
struct More {
    /// By how many dollars
    #[arg(long, value_name = "USD")]
    add: Option<Money>,
    /// By how many tokens
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
}

impl Budget {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let runs = self.targets.find(&global.journal()?, global, "budget", &[Status::Parked])?;
        deliver(&self, &runs, &self.sending, global, out)
    }
}

impl Order for Budget {
    fn done(&self) -> String {
        let usd = self.more.add.map(amount::money);
        let tokens = self.more.tokens.map(|tokens| format!("{} tokens", amount::count(tokens)));
        let more: Vec<String> = usd.into_iter().chain(tokens).collect();
        format!("budget raised by {}", more.join(" and "))
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement> {
        if run.status.is_ended() {
            return Ok(ended(run));
        }
        let (events, fold) = state(run, journal)?;
        let budget = events.iter().find_map(|event| match &event.kind {
            EventKind::RunStarted(start) => start.budget,
            _ => None,
        });
        let refused = |why: &str| {
            let instead = Some(format!("see where it stands: midwatch show {}", run.run.short()));
            Ok(Judgement::Refused { why: why.to_owned(), instead })
        };
        if fold.summary.parked != Some(ParkReason::Budget) {
            match budget {
                None => return refused("has no budget of its own, and is not parked for one"),
                Some(budget) if budget.usd.is_none() && self.more.tokens.is_none() => {
                    return refused("has a budget of tokens, not of dollars");
                }
                Some(budget) if budget.tokens.is_none() && self.more.add.is_none() => {
                    return refused("has a budget of dollars, not of tokens");
                }
                Some(_) => {}
            }
        }
        Ok(Judgement::Send(Message::RaiseBudget {
            usd: self.more.add.unwrap_or_default(),
            tokens: self.more.tokens.unwrap_or_default(),
            by: self.sending.by(),
        }))
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::BudgetRaised { .. })
    }
}
