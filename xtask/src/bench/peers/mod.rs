//! The same work on others' engines, in one run on one machine: workflows of ten steps, each kept before the next begins.
//!
//! Each of them stands on what it comes with: DBOS and LangGraph in Python on SQLite, and, if asked for, Temporal and Restate on
//! their own servers, driven by their own SDKs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Output, engine, engines};
use crate::setup;

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    output: Output,
    /// Where the files go; a real disk, not a file system in memory.
    #[arg(long, default_value = "target")]
    dir: std::path::PathBuf,
    /// Also Temporal and Restate, whose SDKs are built first.
    #[arg(long)]
    servers: bool,
    /// A part of the work, for a quick look.
    #[arg(long)]
    quick: bool,
}

/// So many runs are under way at once.
const AT_ONCE: usize = 100;

/// How one engine did the work.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Figures {
    /// With a hundred runs at once.
    steps_per_s: f64,
    /// CPU time of the process that carries the runs out, in microseconds; not told for servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_step: Option<f64>,
    /// Half of the runs that were alone took no longer, in milliseconds.
    lone_run_ms: f64,
}

/// A program that does the work on another engine, and prints its figures.
struct Program {
    name: &'static str,
    text: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program { name: "dbos", text: include_str!("on_dbos.py") },
    Program { name: "langgraph", text: include_str!("on_langgraph.py") },
];

/// What both measure by; Python finds it beside them.
const MEASURE: &str = include_str!("measure.py");

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    if !setup::ensure_peers(root)? {
        bail!("DBOS and LangGraph come from PyPI: install python3 first");
    }
    std::fs::create_dir_all(&options.dir)?;
    let folder = tempfile::tempdir_in(&options.dir)?;
    // Ours is too fast to be measured with as few runs as theirs.
    let (runs, lone) = if options.quick { (200, 20) } else { (1_000, 100) };
    let ours = engine::at_once_and_alone(folder.path(), AT_ONCE, runs * 20, lone)?;
    let ours = Figures {
        steps_per_s: ours.steps_per_s,
        cpu_us_per_step: Some(ours.cpu_us_per_step),
        lone_run_ms: ours.lone_run_ms,
    };
    std::fs::write(folder.path().join("measure.py"), MEASURE)?;
    let mut figures = BTreeMap::from([("midwatch".to_owned(), ours)]);
    for program in &PROGRAMS {
        figures.insert(program.name.to_owned(), measure(root, program, folder.path(), runs, lone)?);
    }
    if options.servers {
        figures.extend(by_hand(root, options.quick)?);
    }
    print(options.output, &figures, ours)
}

fn measure(
    root: &Path,
    program: &Program,
    folder: &Path,
    runs: usize,
    lone: usize,
) -> anyhow::Result<Figures> {
    let script = folder.join(format!("on_{}.py", program.name));
    std::fs::write(&script, program.text)?;
    let output = Command::new(root.join("target/tools/peers/bin/python"))
        .arg(&script)
        .arg(folder)
        .args([runs, AT_ONCE, lone].map(|number| number.to_string()))
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", program.name))?;
    if !output.status.success() {
        bail!("{} did not do the work", program.name);
    }
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("{} printed {line:?}", program.name))
}

/// The servers as their own SDKs drive them.
fn by_hand(root: &Path, is_quick: bool) -> anyhow::Result<Vec<(String, Figures)>> {
    let number = |of: &serde_json::Value, name: &str| of[name].as_f64().context("a figure is missing");
    let measured = engines::measure(root, is_quick)?
        .into_iter()
        .filter(|(_, of)| of.get("direct_steps_per_s").is_some());
    measured
        .map(|(name, of)| {
            let figures = Figures {
                steps_per_s: number(&of, "direct_steps_per_s")?,
                cpu_us_per_step: None,
                lone_run_ms: number(&of, "direct_lone_run_ms")?,
            };
            Ok((name, figures))
        })
        .collect()
}

#[allow(clippy::print_stdout)]
fn print(output: Output, figures: &BTreeMap<String, Figures>, ours: Figures) -> anyhow::Result<()> {
    if output.json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    println!("{:<12}{:>10}{:>10}{:>14}{:>14}", "", "steps/s", "", "CPU µs/step", "lone run ms");
    for (name, of) in figures {
        let cpu = of.cpu_us_per_step.map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.0}"));
        let times = match name.as_str() {
            "midwatch" => String::new(),
            _ => format!("÷ {:.0}", ours.steps_per_s / of.steps_per_s),
        };
        println!("{name:<12}{:>10.0}{times:>10}{cpu:>14}{:>14.1}", of.steps_per_s, of.lone_run_ms);
    }
    Ok(())
}
