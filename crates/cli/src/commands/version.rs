//! `midwatch version`.

use clap::Args;
use serde_json::json;

use crate::error::Exit;
use crate::output::Out;

/// Print the version
#[derive(Args)]
#[command(after_help = "JSON: {\"version\", \"target\"}")]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let (version, os, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
        if out.is_json {
            out.json(&json!({ "version": version, "target": format!("{arch}-{os}") }))?;
        } else {
            out.line(format_args!("midwatch {version} ({arch}-{os})"))?;
        }
        Ok(Exit::Done)
    }
}
