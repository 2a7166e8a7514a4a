//! `midwatch why`.

use clap::Args;
use midwatch_inspect::{Inspector, candidates};
use midwatch_journal::{RunQuery, RunSummary, Status};
use midwatch_observe::why::{Answer, Safe, Verdict};
use midwatch_workflow::RunId;

use crate::carrier::Carrier;
use crate::config::Global;
use crate::error::Exit;
use crate::find::find;
use crate::output::look::{ACTIVE, BAD, FAINT, GOOD, STRONG, WARN};
use crate::output::text::{clean, wrap};
use crate::output::{Out, amount, time};
use crate::source::Source;

/// Say why a run is slow, stuck, expensive or failed, and what to do
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch why order-42
  midwatch why --worst                     the run that most needs somebody
  midwatch why --all-failing --json | jq -r '[.run, .verdict, .cause] | @tsv'
  midwatch why trip-7 --temporal 127.0.0.1:7233     and what its server knows: who asks for work, what waits

Evidence is told with the numbers of the events that show it: midwatch show RUN --events.
JSON, one object a run: {\"verdict\", \"cause\", \"headline\", \"under\", \"evidence\", \"excluded\", \"affected\",
\"safe_to_retry\", \"next\", \"time\", \"tries\", \"baseline\", …}. docs/why.md lists the words.")]
pub(crate) struct Why {
    /// The run
    #[arg(value_name = "RUN", required_unless_present_any = ["worst", "all_failing"])]
    run: Option<String>,
    /// Instead of RUN: of the open runs, the one that most needs somebody
    #[arg(long, conflicts_with_all = ["run", "all_failing"])]
    worst: bool,
    /// Instead of RUN: all open runs that are stuck or parked, and runs that failed lately, a line each
    #[arg(long, conflicts_with = "run")]
    all_failing: bool,
    /// With --all-failing: at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    #[command(flatten)]
    carrier: Carrier,
}

impl Why {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let inspector = source.inspector();
        if self.all_failing {
            return all_failing(&source, &inspector, self.limit as usize, global, out);
        }
        let run = match &self.run {
            Some(run) => find(&source, run)?.run,
            None => match worst(&source, &inspector)? {
                Some(run) => run,
                None => {
                    out.line("no open run needs anybody")?;
                    return Ok(Exit::Done);
                }
            },
        };
        let mut answer = for_shell(inspector.why(run)?, global);
        if let Some(summary) = source.journal().run(run)?
            && let Some(served) = self.carrier.says(&summary, source.now())?
        {
            answer = answer.with_served(served);
        }
        if out.is_json {
            out.json(&answer)?;
            return Ok(Exit::Done);
        }
        for line in lines(&answer, out.width_of_picture()) {
            out.line(line)?;
        }
        Ok(Exit::Done)
    }
}

/// So many runs are asked to find the worst.
const CANDIDATES_MAX: usize = 20;

fn worst(source: &Source, inspector: &Inspector<'_>) -> anyhow::Result<Option<RunId>> {
    let mut worst: Option<(u8, RunId)> = None;
    for candidate in candidates(source.journal(), inspector, source.now(), CANDIDATES_MAX)? {
        let rank = candidate.urgency();
        if rank > 0 && worst.is_none_or(|(other, _)| rank > other) {
            worst = Some((rank, candidate.run.run));
        }
    }
    Ok(worst.map(|(_, run)| run))
}

fn all_failing(
    source: &Source,
    inspector: &Inspector<'_>,
    limit: usize,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let failed = vec![Status::Failed, Status::Compensated];
    let failed = source.journal().runs(&RunQuery { statuses: failed, limit, ..RunQuery::default() })?;
    let open = candidates(source.journal(), inspector, source.now(), limit)?;
    let open = open.into_iter().map(|candidate| Ok(candidate.answer));
    let mut told = 0;
    for answer in open.chain(failed.iter().map(|run: &RunSummary| inspector.why(run.run))) {
        let answer = for_shell(answer?, global);
        let is_failing = matches!(answer.verdict, Verdict::Stuck | Verdict::Parked | Verdict::Failed);
        if !is_failing || told == limit {
            continue;
        }
        told += 1;
        if out.is_json {
            out.json(&answer)?;
        } else {
            out.line(first(&answer))?;
            for line in wrap(&clean(&answer.headline), out.width_of_picture().saturating_sub(2)) {
                out.line(format_args!("  {line}"))?;
            }
        }
    }
    if told == 0 && !out.is_json {
        out.line("no run is stuck or parked, and none failed")?;
    }
    Ok(Exit::Done)
}

/// Names the journal in commands, if the next shell would not find it.
fn for_shell(mut answer: Answer, global: &Global) -> Answer {
    let db = db_option(global);
    for next in &mut answer.next {
        next.command.push_str(&db);
    }
    answer
}

/// ` --db FILE` or ` --server URL`, or nothing if the next shell would find the journal by itself.
pub(super) fn db_option(global: &Global) -> String {
    if let Some(server) = &global.server {
        let known = std::env::var("MIDWATCH_SERVER").ok().and_then(|known| known.parse().ok());
        let is_known = known.as_ref() == Some(server);
        let server = if is_known { String::new() } else { format!(" --server {server}") };
        let word = |file: &std::path::PathBuf| crate::output::advice::word(&file.display().to_string());
        let token = global.token_file.as_ref().map(|file| format!(" --token-file {}", word(file)));
        return format!("{server}{}", token.unwrap_or_default());
    }
    let by_itself =
        std::env::var_os("MIDWATCH_DB").map_or_else(|| "midwatch.db".into(), std::path::PathBuf::from);
    if by_itself == global.db {
        return String::new();
    }
    format!(" --db {}", crate::output::advice::word(&global.db.display().to_string()))
}

/// `SLOW  r_1a2b3c4d research order-42 · 14m02s (p50 2m10s, p95 4m55s, n=312)`.
fn first(answer: &Answer) -> String {
    let style = match answer.verdict {
        Verdict::Slow | Verdict::Parked | Verdict::Expensive => WARN,
        Verdict::Stuck | Verdict::Failed => BAD,
        Verdict::Waiting => ACTIVE,
        Verdict::Healthy => GOOD,
        Verdict::Unknown => FAINT,
    };
    let run = answer.run.map(|run| run.short()).unwrap_or_default();
    let has_own_id = answer.run.is_none_or(|run| answer.workflow_id != run.to_string());
    let id = if has_own_id { format!(" {}", answer.workflow_id) } else { String::new() };
    let figure = match answer.verdict {
        Verdict::Expensive => cost_figure(answer),
        _ => time_figure(answer),
    };
    let (word, title) = (answer.verdict.as_str().to_uppercase(), format!("{}{id}", answer.workflow));
    format!("{style}{word}{style:#}  {STRONG}{run}{STRONG:#} {} · {figure}", clean(&title))
}

fn time_figure(answer: &Answer) -> String {
    let compared = match answer.baseline.elapsed {
        Some(usual) if answer.baseline.is_enough => {
            format!(" (p50 {}, p95 {}, n={})", time::span(usual.median), time::span(usual.p95), usual.n)
        }
        _ => format!(" (n={}: too few to compare)", answer.baseline.runs),
    };
    format!("{}{compared}", time::span(answer.elapsed))
}

fn cost_figure(answer: &Answer) -> String {
    let cost = answer.spent.cost;
    match answer.baseline.cost {
        Some(usual) => format!(
            "{} = {:.1}× median {} (p95 {}, n={})",
            amount::money(cost),
            cost.as_usd() / usual.median.as_usd(),
            amount::money(usual.median),
            amount::money(usual.p95),
            usual.n
        ),
        None => amount::money(cost),
    }
}

/// Lays an answer out; the first two lines are the answer.
fn lines(answer: &Answer, width: usize) -> Vec<String> {
    let mut lines = vec![first(answer)];
    lines.extend(wrap(&clean(&answer.headline), width));
    let mut field = |name: &str, value: &str| {
        let mut rest = wrap(&clean(value), width.saturating_sub(8)).into_iter();
        if let Some(first) = rest.next() {
            lines.push(format!("{FAINT}{name:<6}{FAINT:#}  {first}"));
            lines.extend(rest.map(|more| format!("{:8}{more}", "")));
        }
    };
    let under: Vec<String> = answer.under.iter().map(|cause| cause.to_string().replace('_', " ")).collect();
    let under = if under.is_empty() { String::new() } else { format!(" ← {}", under.join(" ← ")) };
    field("cause", &format!("{}{under}: {}", answer.cause, answer.cause.meaning()));
    for evidence in &answer.evidence {
        field("seen", &format!("{}{}", evidence.says, events(&evidence.events)));
    }
    let parts: Vec<String> = answer
        .time
        .iter()
        .filter(|share| share.took.as_secs_f64() * 100.0 >= answer.elapsed.as_secs_f64())
        .map(|share| format!("{} {}", share.part.words(), time::span(share.took)))
        .collect();
    field("time", &parts.join(" · "));
    if answer.spent != midwatch_workflow::Spent::default() {
        let wasted = match answer.wasted.as_picos() {
            0 => String::new(),
            _ => format!(", {} of it on failed attempts", amount::money(answer.wasted)),
        };
        field("cost", &format!("{}{wasted}", amount::spent(&answer.spent)));
    }
    let tries: Vec<&str> = answer.tries.iter().map(|one| one.word.as_str()).collect();
    field("tries", &tries.join(" "));
    if answer.affected.runs > 0 {
        let others = amount::counted(answer.affected.runs, "other open run");
        field("also", &format!("{others} on the same {}", answer.affected.share));
    }
    for also in &answer.also {
        field("also", &format!("{}, {}: {}", also.verdict, also.cause, also.headline));
    }
    let not: Vec<&str> = answer.excluded.iter().map(|excluded| excluded.what).collect();
    field("not", &not.join(", "));
    field("safe?", &safe(answer));
    if let Some(who) = answer.carried_out_by {
        field("runs", &format!("outside: {who} carries it out, and midwatch only watches"));
    }
    let wide = answer.next.iter().map(|next| next.command.len()).max().unwrap_or(0);
    for (n, next) in answer.next.iter().enumerate() {
        let name = if n == 0 { "next" } else { "" };
        let (command, does) = (clean(&next.command), clean(&next.does));
        lines.push(format!("{FAINT}{name:<6}{FAINT:#}  {STRONG}{command:<wide$}{STRONG:#}"));
        let room = width.saturating_sub(8 + wide + 2);
        match wrap(&does, room.max(20)).as_slice() {
            [one] if room >= 20 => {
                if let Some(line) = lines.last_mut() {
                    line.push_str(&format!("  {FAINT}{one}{FAINT:#}"));
                }
            }
            _ => lines.extend(
                wrap(&does, width.saturating_sub(10))
                    .iter()
                    .map(|line| format!("{:10}{FAINT}{line}{FAINT:#}", "")),
            ),
        }
    }
    lines
}

fn events(events: &[u64]) -> String {
    const SHOWN: usize = 6;
    if events.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = events.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if events.len() > SHOWN { " …" } else { "" };
    let word = if events.len() == 1 { "event" } else { "events" };
    format!(" ({word} {}{more})", shown.join(" "))
}

fn safe(answer: &Answer) -> String {
    let safe = &answer.safe_to_retry;
    let verdict = match safe.verdict {
        Safe::Yes => "yes",
        Safe::WithKeys => "yes, if the receiver honours keys",
        Safe::No => "no",
        Safe::NotApplicable => return String::new(),
    };
    let key = safe.key.as_ref().map(|key| format!("; key {key}")).unwrap_or_default();
    let step = safe.step.as_ref().map(|step| format!(" (step {step})")).unwrap_or_default();
    format!("{verdict}{step}: {}{}{key}", safe.because, events(&safe.ambiguous))
}
