//! `midwatch demo`: many runs in a process that is killed again and again, and the proof that nothing came of it.
//!
//! The parent plays the world (the simulator and its ledger) and outlives every kill; the child owns the journal and does
//! the work. In the end what the journal says is compared with what really happened.

mod effects;
mod examples;
mod page;
mod place;
mod plan;
mod progress;
mod show;
mod summary;
mod supervisor;
mod worker;
mod world;

use std::env;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_simulator::Ledger;

use self::place::{Earlier, Keep};
use self::plan::{Model, Plan};
use self::progress::Progress;
use self::supervisor::Supervisor;
use self::world::Level;
use crate::config::Global;
use crate::error::{Error, Exit};
use crate::output::Out;

/// Run three example workflows many times, kill their process while they run, and check the books
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch demo
  midwatch demo --runs 60 --kills 10 --seed 7
  midwatch demo --console                    the same in a browser, live
  midwatch demo --faults none --json | jq '.attempts_by_class'

It needs nothing: the payment API, the agencies and the language model are played by this process, and fail as real
ones do. With OPENAI_API_KEY (or OPENAI_BASE_URL, or Anthropic's) set, up to ten runs of the research agent ask the real
model, which costs a few cents; --model played does without.

It writes the journal that the other commands read, and leaves it there. The journal of an earlier demo makes room for
it; any other one is left alone.

Exit codes: 0 the books and the effects agree and no run is lost · 1 they do not")]
pub(crate) struct Demo {
    /// How many runs: a third each of checkout, booking and research
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=20_000), value_name = "N")]
    runs: u32,
    /// How often the process is killed while it works; 5 if nothing is said
    #[arg(long, value_name = "N")]
    kills: Option<u32>,
    /// What everything random follows from; drawn if it is not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How much goes wrong besides
    #[arg(long, value_enum, default_value_t = Level::Some, value_name = "LEVEL")]
    faults: Level,
    /// Who answers the research agent; by what is in the environment if it is not given
    #[arg(long, value_enum, value_name = "WHO")]
    model: Option<Model>,
    /// Keeps the journal of an earlier demo under another name
    #[arg(long)]
    keep: bool,
    /// Shows it all in a browser while it runs, and stays when it is done until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    console: bool,
    /// Where the console listens; at a free port if that is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070", requires = "console")]
    listen: SocketAddr,
    /// The child's part: carries out the first `--until` runs
    #[arg(long, hide = true, requires = "until")]
    worker: bool,
    #[arg(long, hide = true)]
    until: Option<usize>,
}

const KILLS: u32 = 5;
/// How long requests whose client was killed may take to be over.
const SETTLING: Duration = Duration::from_secs(20);

impl Demo {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let model = self
            .model
            .unwrap_or_else(|| model_of(|name| env::var_os(name).is_some_and(|value| !value.is_empty())));
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        let plan = Plan { seed, runs: self.runs as usize, model };
        let db = supervisor::absolute(&global.db)?;
        if self.worker {
            worker::run(&plan, &db, self.until.unwrap_or(plan.runs), out)?;
            return Ok(Exit::Done);
        }
        let kills = self.kills.unwrap_or_else(|| self.runs.min(KILLS));
        if kills > self.runs {
            let what = "--kills is more than --runs: each life of the process starts at least one run";
            return Err(Error::usage(what).into());
        }
        let keep = if self.keep { Keep::Yes } else { Keep::No };
        let earlier = place::make_room(&db, keep)?;
        let world = world::start(self.faults, seed)?;
        let shown = if self.console { Some(show::show(&db, self.listen)?) } else { None };
        if !out.is_json {
            if let Earlier::Kept(kept) = &earlier {
                out.line(format!("The earlier demo's journal is {} now.", kept.display()))?;
            }
            if let Some(shown) = &shown {
                out.line(format!("console  {}", shown.url))?;
            }
            out.line(format!("seed {seed}, journal {}, models: {}", global.db.display(), model.provider()))?;
        }
        let began = Instant::now();
        let mut progress = Progress::new(plan.runs, out.is_json);
        let supervised = Supervisor::new(&plan, &db, &world).run(kills, &mut progress);
        progress.finish();
        let supervised = supervised?;
        let took = began.elapsed();
        settle(world.ledger())?;
        let journal = SqliteJournal::open_reader(&db)?;
        let summary = summary::reconcile(&plan, &journal, world.ledger(), supervised, took)?;
        world.stop_blocking();
        match out.is_json {
            true => out.json(&summary)?,
            false => page::print(&summary, &global.db, out)?,
        }
        if let Some(shown) = shown {
            out.line(format!("The console stays at {} until Ctrl-C.", shown.url))?;
            shown.stay()?;
        }
        Ok(if summary.agree { Exit::Done } else { Exit::Failed })
    }
}

/// The real model if the environment has a key or an address for one.
fn model_of(is_set: impl Fn(&str) -> bool) -> Model {
    let any = |names: [&str; 2]| names.into_iter().any(&is_set);
    if any(["OPENAI_API_KEY", "OPENAI_BASE_URL"]) {
        Model::Openai
    } else if any(["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"]) {
        Model::Anthropic
    } else {
        Model::Played
    }
}

/// Waits until no request is under way, so that the ledger is complete.
fn settle(ledger: &Ledger) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    if !runtime.block_on(ledger.settled(SETTLING)) {
        anyhow::bail!(
            "requests were still under way {SETTLING:?} after the last run; the ledger is not complete"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_model_is_asked_only_if_the_environment_names_one() {
        let model = |set: &'static str| model_of(move |name| name == set);
        assert_eq!(model("OPENAI_API_KEY"), Model::Openai);
        assert_eq!(model("ANTHROPIC_API_KEY"), Model::Anthropic);
        assert_eq!(model("GROQ_API_KEY"), Model::Played);
    }
}
