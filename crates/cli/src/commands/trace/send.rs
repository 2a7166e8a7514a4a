//! Handing spans on: those of one run, or those of all as they become final.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use midwatch_observe::trace::State;
use midwatch_otlp::{Begin, Cursor, Follower, Otlp, Report, Sender, Start, export};
use serde_json::json;

use super::family::Family;
use crate::config::Global;
use crate::error::Exit;
use crate::output::look::{BAD, FAINT, GOOD, WARN};
use crate::output::text::clean;
use crate::output::{Out, amount, time};
use crate::stop::Stop;

/// How long the rest may take when it is told to stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Sends the spans of a run that are final; those of an open one will come with what follows.
pub(super) fn hand_over(otlp: Otlp, family: Family, out: &mut Out) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut spans = family.spans;
    let all = spans.len();
    spans.retain(|span| span.state != State::Open);
    let open = all - spans.len();
    let exported = runtime.block_on(async {
        let sender = Sender::new(&otlp)?;
        export(&sender, spans).await.map_err(|error| anyhow::anyhow!("{}: {error}", otlp.shown()))
    })?;
    if out.is_json {
        let (endpoint, why) = (otlp.shown(), Some(&exported.why).filter(|why| !why.is_empty()));
        out.json(&json!({
            "endpoint": endpoint, "spans": exported.taken, "refused": exported.refused, "open": open, "why": why,
        }))?;
    } else {
        let taken = amount::counted(exported.taken, "span");
        out.line(format_args!("{GOOD}{taken} sent{GOOD:#} to {}", clean(&otlp.shown())))?;
        if open > 0 {
            let open = amount::counted(open as u64, "span");
            out.line(format_args!("{FAINT}{open} not over yet: they follow when they are{FAINT:#}"))?;
        }
        if exported.refused > 0 {
            let refused = amount::counted(exported.refused, "span");
            out.line(format_args!("{BAD}{refused} refused:{BAD:#} {}", clean(&exported.why)))?;
        }
    }
    Ok(if exported.refused > 0 { Exit::Failed } else { Exit::Done })
}

/// Follows the journal until it is told to stop.
pub(super) fn follow(
    otlp: Otlp,
    cursor: Option<PathBuf>,
    from_start: bool,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before it says that it follows: whoever reads that may stop it at once.
    let mut stop = runtime.block_on(async { Stop::listen() })?;
    let (tell, told) = channel();
    let endpoint = otlp.shown();
    let follower = Follower::start(Start {
        journal: Arc::new(global.journal()?),
        cursor: cursor.unwrap_or_else(|| Cursor::beside(&global.db)),
        otlp,
        begin: if from_start { Begin::First } else { Begin::Now },
        // The end of this is only gone when nobody is left to read it.
        report: Box::new(move |report| drop(tell.send(report))),
    })?;
    if out.is_json {
        out.json(&json!({ "following": { "endpoint": endpoint } }))?;
    } else {
        out.line(format_args!("{FAINT}following {}, to {endpoint}{FAINT:#}", global.db.display()))?;
    }
    let mut sent = 0;
    runtime.block_on(async {
        loop {
            while let Ok(report) = told.try_recv() {
                say(&report, &mut sent, out)?;
            }
            tokio::select! {
                () = stop.told() => return anyhow::Ok(()),
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    })?;
    follower.stop(FAREWELL);
    while let Ok(report) = told.try_recv() {
        say(&report, &mut sent, out)?;
    }
    if out.is_json {
        out.json(&json!({ "stopped": { "spans": sent } }))?;
    } else {
        out.line(format_args!("{} sent", amount::counted(sent, "span")))?;
    }
    Ok(Exit::Done)
}

fn say(report: &Report, sent: &mut u64, out: &mut Out) -> std::io::Result<()> {
    if let Report::Sent { spans } = report {
        *sent += spans;
    }
    if out.is_json {
        return out.json(&data(report));
    }
    match report {
        Report::Sent { .. } => Ok(()),
        Report::Away { endpoint, why, since, rows } => out.line(format_args!(
            "{WARN}{} takes no spans since {}:{WARN:#} {}; {} of the journal held back",
            clean(endpoint),
            time::span(*since),
            clean(why),
            amount::counted(*rows, "row")
        )),
        Report::Back { after } => {
            out.line(format_args!("{GOOD}taken again{GOOD:#} after {}", time::span(*after)))
        }
        Report::Refused { spans, why } => {
            let spans = amount::counted(*spans, "span");
            out.line(format_args!("{BAD}{spans} refused for good:{BAD:#} {}", clean(why)))
        }
        Report::Unreadable { why } => out.line(format_args!("{BAD}left out:{BAD:#} {}", clean(why))),
        Report::Stuck { why } => out.line(format_args!("{WARN}cannot go on now:{WARN:#} {}", clean(why))),
    }
}

fn data(report: &Report) -> serde_json::Value {
    match report {
        Report::Sent { spans } => json!({ "sent": { "spans": spans } }),
        Report::Away { endpoint, why, since, rows } => {
            json!({ "away": { "endpoint": endpoint, "why": why, "since_s": since.as_secs(), "rows": rows } })
        }
        Report::Back { after } => json!({ "back": { "after_s": after.as_secs() } }),
        Report::Refused { spans, why } => json!({ "refused": { "spans": spans, "why": why } }),
        Report::Unreadable { why } => json!({ "unreadable": { "why": why } }),
        Report::Stuck { why } => json!({ "stuck": { "why": why } }),
    }
}
