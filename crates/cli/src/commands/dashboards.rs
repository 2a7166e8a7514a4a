//! `midwatch dashboards`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use midwatch_watch::dashboards::files;
use serde_json::json;

use crate::error::Exit;
use crate::output::Out;

/// Write Grafana dashboards and alerts, Prometheus rules with their tests, and a Collector's configuration
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch dashboards --out ops
  promtool test rules ops/prometheus/midwatch-rules.test.yml

Files that are there are replaced. README.md in the folder says what each is for.
JSON, one line a file: {\"file\", \"bytes\", \"outcome\": \"written\"|\"same\"}.")]
pub(crate) struct Dashboards {
    /// The folder to write to
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Dashboards {
    pub(crate) fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        for page in files() {
            let path = self.out.join(&page.path);
            let is_same = std::fs::read(&path).is_ok_and(|old| old == page.text.as_bytes());
            if !is_same {
                let folder = path.parent().unwrap_or(&self.out);
                std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
                std::fs::write(&path, &page.text).with_context(|| format!("write {}", path.display()))?;
            }
            let outcome = if is_same { "same" } else { "written" };
            if out.is_json {
                out.json(&json!({ "file": path, "bytes": page.text.len(), "outcome": outcome }))?;
            } else {
                out.line(format_args!("{outcome:<7}  {}", path.display()))?;
            }
        }
        Ok(Exit::Done)
    }
}
