//! The page of a run with 10,000 events, until a reader can use it.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

use anyhow::Context as _;
use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal};
use midwatch_observe::corpus::{Tale, World};
use midwatch_workflow::{Class, EventKind, Failure, RunId};
use serde_json::Value;

use super::pages::{Served, ask, round};
use crate::setup;

/// How many events the run has, about.
pub(super) const EVENTS: usize = 10_000;
/// So often the page is opened; the median counts.
const ROUNDS: usize = 7;

/// Gives the milliseconds until the page is interactive in Chromium (`null` where there is none), and until the server
/// has sent all of it the first time.
pub(super) fn run_page(folder: &Path) -> anyhow::Result<(Option<f64>, f64)> {
    let path = folder.join("long.db");
    let (run, now) = write(&path)?;
    let served = Served::start(&path, Some(now))?;
    let server = round(ask(served.address, &format!("/runs/{run}"))?.1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    if !setup::ensure_browser(root)? {
        return Ok((None, server));
    }
    let output = Command::new("node")
        .arg(root.join("xtask/src/bench/console/open.mjs"))
        .arg(format!("http://{}/runs/{run}", served.address))
        .arg(ROUNDS.to_string())
        .env("MODULES", root.join("target/tools/browser/node_modules"))
        .output()
        .context("start node")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut times: Vec<f64> = serde_json::from_slice::<Vec<f64>>(&output.stdout)
        .with_context(|| format!("{:?}", Value::from(String::from_utf8_lossy(&output.stdout))))?;
    times.sort_by(f64::total_cmp);
    Ok((times.get(times.len() / 2).copied(), server))
}

/// Writes the run; one attempt in ten failed.
fn write(path: &Path) -> anyhow::Result<(RunId, midwatch_workflow::Timestamp)> {
    let mut tale = Tale::begin(World::of(1), 5);
    let mut n = 0u64;
    while tale.events.len() < EVENTS {
        n += 1;
        let step = ["fetch", "think", "search", "score", "store"][usize::try_from(n % 5)?];
        let op = tale.ask(step);
        let failed =
            Failure::new(if n.is_multiple_of(20) { Class::Timeout } else { Class::RateLimited }, "trouble");
        let op = if n.is_multiple_of(10) { tale.fail_and_wait(step, op, 1, failed, 80, 400) } else { op };
        tale.after(40 + n % 70).ok(op, Vec::new());
    }
    let Some(EventKind::RunStarted(start)) = tale.events.first().map(|event| &event.kind) else {
        anyhow::bail!("a run begins with its start")
    };
    let run = start.run;
    let summary = Fold::of(&tale.events).map(|fold| Box::new(fold.summary));
    let journal = SqliteJournal::open(path, Options::default())?;
    let (done, written) = channel();
    journal.append(
        Append::new(run, 1, &tale.events, summary)?,
        Box::new(move |outcome| drop(done.send(outcome))),
    );
    written.recv()??;
    journal.close()?;
    Ok((run, tale.at))
}
