//! The dashboard, checked against the types that Grafana publishes.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use midwatch_watch::dashboards::files;
use serde_json::Value;

/// Grafana's enums as the words in JSON that they stand for.
const PRELUDE: &str = "\
import type * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import type * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import type * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import type * as stat from '@grafana/grafana-foundation-sdk/stat';
import type * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Query = Plain<Omit<prometheus.Dataquery, '_implementsDataqueryVariant'>>;
type Board = Plain<Omit<dashboard.Dashboard, 'panels'>> & { panels: Plain<Omit<dashboard.Panel, 'targets'> | dashboard.RowPanel>[] };
";

fn dashboard() -> Value {
    let page = files().into_iter().find(|page| page.path.ends_with("dashboards/midwatch.json")).unwrap();
    serde_json::from_str(&page.text).unwrap()
}

/// The dashboard as TypeScript that compiles only if every part of it has its type.
fn typed(mut board: Value) -> String {
    let mut text = PRELUDE.to_owned();
    for (n, panel) in board["panels"].as_array_mut().unwrap().iter_mut().enumerate() {
        let module = match panel["type"].as_str().unwrap() {
            "timeseries" => "timeseries",
            "heatmap" => "heatmap",
            "stat" => "stat",
            "state-timeline" => "statetimeline",
            "row" => continue,
            other => panic!("{other} has no type here"),
        };
        let options = panel["options"].take();
        let _ = writeln!(text, "export const options{n} = ({options}) satisfies Plain<{module}.Options>;");
        let custom = panel["fieldConfig"]["defaults"]["custom"].take();
        if module != "stat" {
            let _ =
                writeln!(text, "export const custom{n} = ({custom}) satisfies Plain<{module}.FieldConfig>;");
        }
        for query in panel["targets"].as_array().unwrap() {
            let _ = writeln!(text, "({query}) satisfies Query;");
        }
        panel.as_object_mut().unwrap().remove("targets");
    }
    let _ = writeln!(text, "export const board = ({board}) satisfies Board;");
    text
}

/// Where the types and the compiler are; `None` if they are not installed.
fn tools() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let tools = root.join("target/tools/grafana");
    if tools.join("node_modules/.bin/tsc").exists() && tools.join("node_modules/@grafana").exists() {
        return Some(tools);
    }
    assert!(
        std::env::var_os("MIDWATCH_REQUIRE_GRAFANA_TYPES").is_none(),
        "MIDWATCH_REQUIRE_GRAFANA_TYPES is set and target/tools/grafana has no types"
    );
    skipped();
    None
}

#[allow(clippy::print_stderr)] // a test that is skipped must not look like one that passed
fn skipped() {
    eprintln!("SKIPPED: no types of Grafana in target/tools; `cargo xtask test` installs them");
}

/// What the compiler says; empty if it finds nothing wrong.
fn compiled(tools: &Path, text: &str) -> String {
    let folder = tempfile::Builder::new().prefix("check-").tempdir_in(tools).unwrap();
    std::fs::write(folder.path().join("dashboard.ts"), text).unwrap();
    let output = Command::new(tools.join("node_modules/.bin/tsc"))
        .args([
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--module",
            "nodenext",
            "--moduleResolution",
            "nodenext",
        ])
        .args(["--target", "es2022", "dashboard.ts"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_dashboard_has_the_types_that_grafana_publishes() {
    let Some(tools) = tools() else { return };
    assert_eq!(compiled(&tools, &typed(dashboard())), "");
}

#[test]
fn words_that_grafana_does_not_know_do_not_pass() {
    let Some(tools) = tools() else { return };
    let mut board = dashboard();
    for (pointer, wrong) in WRONG {
        *board.pointer_mut(pointer).unwrap() = wrong.into();
    }
    let said = compiled(&tools, &typed(board));
    for (pointer, wrong) in WRONG {
        assert!(said.contains(wrong), "{pointer}: {said}");
    }
}

const WRONG: [(&str, &str); 4] = [
    ("/panels/1/options/colorMode", "colour"),
    ("/panels/1/targets/0/format", "lines"),
    ("/panels/1/fieldConfig/defaults/thresholds/mode", "relative"),
    ("/templating/list/0/type", "source"),
];
