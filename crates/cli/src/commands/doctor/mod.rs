//! `midwatch doctor`.

mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, Lease, RunQuery, Status};
use midwatch_workflow::Timestamp;
use serde_json::json;

use crate::config::Global;
use crate::error::Exit;
use crate::output::look::{BAD, GOOD, STRONG, WARN};
use crate::output::text::clean;
use crate::output::{Out, amount, time};

/// Check the journal: whether it opens and is sound, who owns it, what waits, and whether there is room
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch doctor
  midwatch doctor --db /var/lib/agents/midwatch.db --quick
  midwatch doctor --server https://watch.example
  midwatch doctor --json | jq 'select(.level != \"ok\")'

With --server it checks what it can from here: the server, its version, whether it takes orders, the two clocks, and what \
the journal says; the file itself is checked on the server's machine.
Ends with code 4 if a check fails; a warning is no failure.
JSON: one {\"check\", \"level\": \"ok\"|\"warn\"|\"fail\", \"message\", \"next\"} a line.")]
pub(crate) struct Doctor {
    /// Leaves out what reads the whole file
    #[arg(long)]
    quick: bool,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// What a check found.
struct Finding {
    check: &'static str,
    level: Level,
    message: String,
    next: Option<String>,
}

/// A letter older than this should have been taken in, if a process owns the journal.
const LETTER_AGE_MAX: Duration = Duration::from_secs(60);
/// Less room than this is worth a word; a tenth of it is trouble.
const SPACE_MIN: u64 = 1_000_000_000;
/// A write-ahead log larger than this is worth a word.
const WAL_MAX: u64 = 256_000_000;
/// So many runs are counted.
const COUNT_MAX: usize = 10_000;

impl Doctor {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        if let Some(address) = &global.server {
            return server::check(address, global, out);
        }
        let mut worst = Level::Ok;
        let mut tell = |finding: Finding| {
            if worst != Level::Fail && finding.level != Level::Ok {
                worst = finding.level;
            }
            tell(&finding, out)
        };
        let journal = match global.journal() {
            Ok(journal) => {
                tell(ok("journal", format!("{} opens", global.db.display())))?;
                journal
            }
            Err(error) => {
                tell(fail("journal", error.to_string(), None))?;
                return Ok(Exit::Journal);
            }
        };
        if !self.quick {
            tell(integrity(&journal))?;
        }
        tell(files(&global.db))?;
        tell(space(&global.db))?;
        let owner = Lease::owner(&global.db);
        let now = global.now();
        for finding in [
            open_runs(&journal, owner.as_deref()),
            parked_runs(&journal),
            inbox(journal.waiting_letters(), owner.as_deref(), now),
            owned(owner.as_deref()),
        ] {
            tell(finding)?;
        }
        Ok(if worst == Level::Fail { Exit::Journal } else { Exit::Done })
    }
}

fn tell(finding: &Finding, out: &mut Out) -> std::io::Result<()> {
    let (word, style) = match finding.level {
        Level::Ok => ("ok", GOOD),
        Level::Warn => ("warn", WARN),
        Level::Fail => ("fail", BAD),
    };
    if out.is_json {
        let Finding { check, message, next, .. } = finding;
        return out.json(&json!({ "check": check, "level": word, "message": message, "next": next }));
    }
    let (check, message) = (finding.check, clean(&finding.message));
    out.line(format_args!("{style}{word:<4}{style:#}  {check:<9}  {message}"))?;
    match &finding.next {
        Some(next) => out.line(format_args!("{:17}{STRONG}{}{STRONG:#}", "", clean(next))),
        None => Ok(()),
    }
}

fn ok(check: &'static str, message: String) -> Finding {
    Finding { check, level: Level::Ok, message, next: None }
}

fn warn(check: &'static str, message: String, next: &str) -> Finding {
    Finding { check, level: Level::Warn, message, next: Some(next.to_owned()) }
}

fn fail(check: &'static str, message: String, next: Option<&str>) -> Finding {
    Finding { check, level: Level::Fail, message, next: next.map(str::to_owned) }
}

fn integrity(journal: &SqliteJournal) -> Finding {
    let next = Some("copy the file aside, then see docs/errors/MW0003.md");
    match journal.damage() {
        Ok(damage) if damage.is_empty() => ok("integrity", "every page is sound".to_owned()),
        Ok(damage) => fail("integrity", damage.join("; "), next),
        Err(error) => fail("integrity", error.to_string(), next),
    }
}

fn files(db: &Path) -> Finding {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    let mut wal = PathBuf::from(db).into_os_string();
    wal.push("-wal");
    let (file, wal) = (size(db), size(Path::new(&wal)));
    let message = format!("{}, and {} not yet copied into it", amount::bytes(file), amount::bytes(wal));
    if wal > WAL_MAX {
        return warn(
            "size",
            message,
            "a reader holds the log open, or the owner is behind: end long-running readers",
        );
    }
    ok("size", message)
}

#[cfg(unix)]
fn space(db: &Path) -> Finding {
    let folder = db.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            return warn("disk", format!("cannot be asked: {error}"), "check the folder's permissions");
        }
    };
    let message = format!("{} free", amount::bytes(free));
    match free {
        free if free < SPACE_MIN / 10 => {
            fail("disk", message, Some("free some space: runs stop when the disk is full"))
        }
        free if free < SPACE_MIN => warn("disk", message, "free some space: runs stop when the disk is full"),
        _ => ok("disk", message),
    }
}

#[cfg(not(unix))]
fn space(_: &Path) -> Finding {
    ok("disk", "free space is not checked on this system".to_owned())
}

/// How many runs there are in these states, and the first of them.
fn count(
    journal: &dyn Journal,
    statuses: &[Status],
) -> Result<(u64, Option<String>), midwatch_journal::Error> {
    let query = RunQuery { statuses: statuses.to_vec(), limit: COUNT_MAX, ..RunQuery::default() };
    let runs = journal.runs(&query)?;
    Ok((runs.len() as u64, runs.first().map(|run| run.run.short())))
}

/// `10,000 or more` at the limit of counting.
fn counted(number: u64, thing: &str) -> String {
    let more = if number >= COUNT_MAX as u64 { " or more" } else { "" };
    format!("{}{more}", amount::counted(number, thing))
}

fn open_runs(journal: &dyn Journal, owner: Option<&str>) -> Finding {
    match count(journal, &midwatch_steer::OPEN) {
        Ok((0, _)) => ok("runs", "none is open".to_owned()),
        Ok((open, _)) if owner.is_none() => {
            let message = format!("{} open, and no process carries them out", counted(open, "run"));
            warn("runs", message, "start the process that has their code")
        }
        Ok((open, _)) => ok("runs", format!("{} open", counted(open, "run"))),
        Err(error) => fail("runs", error.to_string(), None),
    }
}

fn parked_runs(journal: &dyn Journal) -> Finding {
    match count(journal, &[Status::Parked]) {
        Ok((0, _)) => ok("parked", "none needs a person".to_owned()),
        Ok((parked, first)) => {
            let verb = if parked == 1 { "needs" } else { "need" };
            let next = format!("midwatch show {}", first.unwrap_or_default());
            warn("parked", format!("{} {verb} a person", counted(parked, "run")), &next)
        }
        Err(error) => fail("parked", error.to_string(), None),
    }
}

fn owned(owner: Option<&str>) -> Finding {
    match owner {
        Some(owner) => ok("owner", format!("{owner} owns it")),
        None => ok("owner", "no process owns it now".to_owned()),
    }
}

/// Judges how many letters wait, and since when the oldest does.
fn inbox(
    letters: Result<(u64, Option<Timestamp>), midwatch_journal::Error>,
    owner: Option<&str>,
    now: Timestamp,
) -> Finding {
    let (letters, oldest) = match letters {
        Ok(letters) => letters,
        Err(error) => return fail("inbox", error.to_string(), None),
    };
    let Some(oldest) = oldest else { return ok("inbox", "empty".to_owned()) };
    let age = now.since(oldest);
    let waiting =
        format!("{} waiting, the oldest since {}", amount::counted(letters, "letter"), time::span(age));
    match owner {
        None => warn("inbox", waiting, "start the process that has the runs' code: it takes them in"),
        Some(_) if age > LETTER_AGE_MAX => {
            warn("inbox", waiting, "the owner does not take them in: see whether it hangs")
        }
        Some(_) => ok("inbox", waiting),
    }
}
