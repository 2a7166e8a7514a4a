//! The score of `why`: incidents told by `midwatch_observe::corpus`, and more from JSON files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use midwatch_observe::corpus::{Incident, Mark, incidents};
use serde_json::json;

/// What to ask.
#[derive(Args)]
pub(crate) struct Options {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Also ask about the incidents in this folder, one a JSON file: `{"name", "verdict", "cause", "facts"}`.
    #[arg(long, value_name = "FOLDER")]
    also: Vec<PathBuf>,
    /// Write the told incidents into a folder, one a JSON file.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// Marks by cause.
#[derive(Default)]
struct Marks {
    total: u64,
    right: u64,
    unknown: u64,
    wrong: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut all = incidents();
    if let Some(folder) = &options.write {
        write(&all, folder)?;
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/observe/corpus");
    for folder in options.also.iter().map(PathBuf::as_path).chain(own.is_dir().then_some(own.as_path())) {
        all.extend(read(folder)?);
    }
    let (mut sum, mut causes, mut missed) = (Marks::default(), BTreeMap::<String, Marks>::new(), Vec::new());
    for incident in &all {
        let (mark, answer) = incident.mark();
        let key = format!("{}/{}", incident.verdict, incident.cause);
        for marks in [&mut sum, causes.entry(key.clone()).or_default()] {
            marks.total += 1;
            match mark {
                Mark::Right => marks.right += 1,
                Mark::Unknown => marks.unknown += 1,
                Mark::Wrong => marks.wrong += 1,
            }
        }
        if mark != Mark::Right {
            missed.push(format!(
                "{}: is {key}, answered {}/{}: {}",
                incident.name, answer.verdict, answer.cause, answer.headline
            ));
        }
    }
    if options.json {
        let score = json!({ "total": sum.total, "right": sum.right, "unknown": sum.unknown, "wrong": sum.wrong, "missed": missed });
        say(&score.to_string());
    } else {
        for (cause, marks) in &causes {
            say(&format!("{cause:<44} {:>3} of {:>3}", marks.right, marks.total));
        }
        missed.iter().for_each(|miss| say(miss));
        say(&format!(
            "{} incidents: {} right, {} unknown, {} wrong",
            sum.total, sum.right, sum.unknown, sum.wrong
        ));
    }
    if sum.wrong > 0 || sum.right * 20 < sum.total * 19 {
        bail!("below the line: none wrong, 95 of 100 right");
    }
    Ok(())
}

fn read(folder: &Path) -> anyhow::Result<Vec<Incident>> {
    let mut incidents = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            incidents.push(serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?);
        }
    }
    Ok(incidents)
}

fn write(incidents: &[Incident], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for incident in incidents {
        let file = folder.join(format!("{}.json", incident.name.replace('/', "-")));
        std::fs::write(&file, serde_json::to_vec(incident)?)
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
