//! The console in a real browser: pages, actions, live changes, large runs, hostile text, and who is let in.
//!
//! Each scenario is a script for Playwright beside this file, run by node against a console that is served here. Without
//! Chromium or Playwright they are skipped; `MIDWATCH_REQUIRE_BROWSER` makes that a failure.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

#[path = "../place/mod.rs"]
mod place;
mod script;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use midwatch_console::{Access, Settings};
use midwatch_journal::Lease;
use serde_json::json;

use crate::place::{Served, journal};
use crate::script::{has_browser, play};

#[test]
fn every_page_is_readable_by_everybody_and_says_what_the_journal_says() {
    let Some(browser) = has_browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let facts = journal::incidents(&folder.path().join("incidents.db"));
    // As if a process were at work on it.
    let _lease = Lease::acquire(folder.path().join("incidents.db")).unwrap();
    let settings =
        Settings { trace_url: Some("http://127.0.0.1:9/trace/{trace_id}".to_owned()), ..Settings::default() };
    let served = Served::start(&folder.path().join("incidents.db"), settings);
    play(&browser, "pages.mjs", &json!({ "url": served.url, "facts": facts }));
}

#[test]
fn a_run_with_100_000_events_can_be_zoomed_paged_and_searched() {
    let Some(browser) = has_browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.db");
    let runs: BTreeMap<&str, String> = [("ten", 10_000), ("hundred", 100_000)]
        .map(|(name, events)| (name, journal::big(&path, events)))
        .into();
    let served = Served::start(&path, Settings::default());
    play(&browser, "big.mjs", &json!({ "url": served.url, "runs": runs }));
}

#[test]
fn nothing_that_others_wrote_is_ever_more_than_text() {
    let Some(browser) = has_browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.db");
    let runs = journal::hostile(&path);
    let served = Served::start(&path, Settings::default());
    play(&browser, "hostile.mjs", &json!({ "url": served.url, "runs": runs }));
}

#[test]
fn every_action_takes_effect_is_journaled_with_who_did_it_and_shows_without_a_reload() {
    let Some(browser) = has_browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.db");
    let work = work::Work::start(&path);
    let settings = Settings { by: "ann".to_owned(), ..Settings::default() };
    let served = Served::start(&path, settings);
    play(&browser, "actions.mjs", &json!({ "url": served.url, "runs": work.runs }));
}

#[test]
fn nobody_gets_in_without_the_token_and_no_foreign_page_can_act() {
    let Some(browser) = has_browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guarded.db");
    let work = work::Work::start(&path);
    let token = "correct-horse-battery-staple";
    let access = Access { token: Some(token.to_owned()), ..Access::default() };
    let guarded = Served::start(&path, Settings { access, ..Settings::default() });
    let read_only = Access { is_read_only: true, ..Access::default() };
    let read_only = Served::start(&path, Settings { access: read_only, ..Settings::default() });
    let facts = json!({ "url": guarded.url, "readOnly": read_only.url, "token": token, "runs": work.runs });
    play(&browser, "access.mjs", &facts);
}

/// A script that takes longer than this hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
