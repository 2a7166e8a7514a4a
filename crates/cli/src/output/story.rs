//! A timeline as lines: what happened, how long it took, and a bar that shows when.

use anstyle::Style;
use midwatch_observe::timeline::{
    Attempt, Child, Entry, Happening, Mark, Person, Signal, Sleep, Step, Timeline, What,
};
use midwatch_workflow::{Ended, Timestamp};

use super::bar::{Scale, Stretch};
use super::look::{ACTIVE, BAD, FAINT, GOOD, PLAIN, STRONG, WARN};
use super::text::{clean, fit, width, wrap};
use super::{amount, event, time};

/// What the lines are drawn for.
pub(crate) struct Page {
    /// The time that open things last until.
    pub(crate) now: Timestamp,
    /// The columns there are.
    pub(crate) width: usize,
}

/// A line to be laid out.
struct Row {
    event: Option<u64>,
    /// Whether it is a part of the row above.
    is_part: bool,
    text: String,
    style: Style,
    took: String,
    bar: Vec<Stretch>,
}

/// Columns for event numbers, durations, gaps, and the fewest for bars.
const EVENT: usize = 5;
const TOOK: usize = 7;
const GAPS: usize = 6;
const BAR_MIN: usize = 12;
const BAR_MAX: usize = 60;

impl Page {
    /// Lays out a timeline.
    pub(crate) fn lines(&self, timeline: &Timeline) -> Vec<String> {
        let end = timeline.end.as_ref().map_or(self.now.max(timeline.last.at), |end| end.mark.at);
        let room = self.width.saturating_sub(EVENT + TOOK + GAPS);
        let columns = (room / 3).min(BAR_MAX);
        let columns = if columns < BAR_MIN { 0 } else { columns };
        let scale = Scale { from: timeline.started.at, to: end, columns };
        let text = room - columns;
        let mut rows: Vec<Row> = timeline.entries.iter().flat_map(|entry| self.entry(entry)).collect();
        rows.extend(timeline.end.as_ref().map(|end| {
            let (what, style) = event::run_ended(&end.result);
            Row::at(end.mark, what, style)
        }));
        let took = time::span(end.since(timeline.started.at));
        let mut lines = vec![head(text, columns, &took)];
        lines.extend(rows.iter().flat_map(|row| row.lay_out(text, scale)));
        lines
    }

    fn entry(&self, entry: &Entry) -> Vec<Row> {
        let mut rows = match entry {
            Entry::Step(step) => self.step(step),
            Entry::Sleep(sleep) => vec![self.sleep(sleep)],
            Entry::Signal(signal) => vec![self.signal(signal)],
            Entry::Unclaimed(received) => {
                let what = format!(
                    "signal {} came, nothing waits for it: {}",
                    received.name,
                    event::short(&received.payload)
                );
                vec![Row::at(received.mark, what, PLAIN)]
            }
            Entry::Child(child) => vec![self.child(child)],
            Entry::Person(person) => vec![self.person(person)],
            Entry::Happening(happening) => vec![happened(happening)],
        };
        if let Some(void) = entry.void() {
            for row in &mut rows {
                row.style = FAINT;
            }
            if let Some(first) = rows.first_mut() {
                first.text.push_str(&format!(" (void since event {void})"));
            }
        }
        rows
    }

    fn step(&self, step: &Step) -> Vec<Row> {
        let mut title = step.title();
        if let Some(undoes) = &step.undoes {
            title.push_str(&format!(
                " undoes {}",
                undoes.step.as_deref().unwrap_or("an effect of the workflow's own")
            ));
        }
        if step.undone_at.is_some() {
            title.push_str(" (undone)");
        }
        let last = step.attempts.last().map_or(step.asked.at, |attempt| self.attempt_end(attempt));
        let bar: Vec<Stretch> = step.attempts.iter().flat_map(|attempt| self.stretches(attempt)).collect();
        let took = time::span(last.since(step.asked.at));
        // One attempt that went well needs no line of its own.
        if let [attempt] = step.attempts.as_slice()
            && attempt.failure().is_none()
            && attempt.void.is_none()
        {
            let (what, style) = self.attempt(attempt);
            let text = format!("{title}  {what}");
            return vec![Row { event: Some(step.asked.event), is_part: false, text, style, took, bar }];
        }
        let style = step.last().map_or(FAINT, |attempt| self.attempt(attempt).1);
        let mut rows =
            vec![Row { event: Some(step.asked.event), is_part: false, text: title, style, took, bar }];
        for attempt in &step.attempts {
            rows.extend(self.attempt_rows(attempt));
        }
        if let [first, second, ..] = rows.as_mut_slice()
            && first.event == second.event
        {
            second.event = None;
        }
        if let Some(gave_up) = &step.gave_up {
            let attempts = amount::counted(u64::from(gave_up.attempts), "attempt");
            let what = format!("gave up after {attempts}: {}", event::gave_up(gave_up.because));
            rows.push(Row::part(gave_up.mark.event, what, BAD));
        }
        rows
    }

    fn attempt_rows(&self, attempt: &Attempt) -> Vec<Row> {
        let (what, style) = self.attempt(attempt);
        let (void, style) = match attempt.void {
            Some(void) => (format!(" (void since event {void})"), FAINT),
            None => (String::new(), style),
        };
        let text = format!("{} {what}{void}", attempt.number);
        let took = self.attempt_span(attempt);
        let bar = Vec::new();
        let mut rows = vec![Row { event: Some(attempt.asked.event), is_part: true, text, style, took, bar }];
        if let Some(wait) = &attempt.retry {
            let length = time::span(wait.until.since(wait.asked.at));
            let why = event::because_of(wait.because);
            let next = format!("{} of {}", wait.attempt, wait.of);
            let is_over = wait.fired.is_some() || wait.abandoned.is_some() || attempt.void.is_some();
            let (text, style) = if is_over {
                (format!("  waited {length} for attempt {next}: {why}"), FAINT)
            } else {
                let due = time::relative(wait.until, self.now);
                (format!("  waits {length} for attempt {next}, due {due}: {why}"), WARN)
            };
            rows.push(Row::part(wait.asked.event, text, style));
        }
        rows
    }

    /// How an attempt went, with the last progress if it has not ended.
    fn attempt(&self, attempt: &Attempt) -> (String, Style) {
        let spent = event::spent(&attempt.charges);
        let (what, style) = match (&attempt.end, attempt.started) {
            (Some(end), _) => match &end.result {
                Ended::Ok(_) => ("ok".to_owned(), GOOD),
                Ended::Failed(failure) => (event::failed(failure), BAD),
            },
            (None, _) if attempt.abandoned.is_some() => ("no longer wanted".to_owned(), FAINT),
            (None, None) => (attempt.waits.map_or("waits", event::held).to_owned(), WARN),
            (None, Some(_)) => {
                let limit = time::span(attempt.timeout);
                (format!("running, at most {limit}{}", self.progress(attempt)), ACTIVE)
            }
        };
        (format!("{what}{spent}"), style)
    }

    fn progress(&self, attempt: &Attempt) -> String {
        attempt.beat.as_ref().map_or_else(String::new, |beat| {
            let ago = time::relative(beat.mark.at, self.now);
            format!(", beat {} {ago}: {}", beat.count, event::short(&beat.progress))
        })
    }

    fn attempt_end(&self, attempt: &Attempt) -> Timestamp {
        let end = attempt.end.as_ref().map(|end| end.mark).or(attempt.abandoned);
        end.map_or(self.now.max(attempt.asked.at), |mark| mark.at)
    }

    fn attempt_span(&self, attempt: &Attempt) -> String {
        match attempt.started {
            Some(started) => time::span(self.attempt_end(attempt).since(started.at)),
            None => String::new(),
        }
    }

    fn stretches(&self, attempt: &Attempt) -> Vec<Stretch> {
        let end = self.attempt_end(attempt);
        let started = attempt.started.map_or(end, |mark| mark.at);
        let style = if attempt.void.is_some() { FAINT } else { self.attempt(attempt).1 };
        let glyph = if attempt.failure().is_some() { '▒' } else { '█' };
        let mut stretches = Vec::new();
        if attempt.asked.at < started {
            stretches.push(Stretch { from: attempt.asked.at, to: started, glyph: '·', style: FAINT });
        }
        if attempt.started.is_some() {
            stretches.push(Stretch { from: started, to: end, glyph, style });
        }
        if let Some(wait) = &attempt.retry {
            let over = wait.fired.or(wait.abandoned).map_or(self.now, |mark| mark.at);
            stretches.insert(0, Stretch { from: wait.asked.at, to: over, glyph: '·', style: FAINT });
        }
        stretches
    }

    fn sleep(&self, sleep: &Sleep) -> Row {
        let length = time::span(sleep.until.since(sleep.asked.at));
        let over = sleep.fired.or(sleep.abandoned);
        let (what, style) = match (sleep.fired, sleep.abandoned) {
            (Some(_), _) => (format!("slept {length}"), PLAIN),
            (None, Some(_)) => (format!("sleep of {length} no longer wanted"), FAINT),
            (None, None) => {
                let (until, due) = (time::near(sleep.until, self.now), time::relative(sleep.until, self.now));
                (format!("sleeps {length}, until {until} ({due})"), ACTIVE)
            }
        };
        self.waiting(sleep.asked, over, what, style)
    }

    fn signal(&self, signal: &Signal) -> Row {
        let limit = signal.limit.map(|limit| {
            let length = time::span(limit.until.since(signal.asked.at));
            if limit.fired.is_some() {
                format!(", which did not come within {length}")
            } else {
                format!(", at most {length}")
            }
        });
        let limit = limit.unwrap_or_default();
        let name = &signal.name;
        let limit_over = signal.limit.and_then(|limit| limit.fired);
        match &signal.received {
            Some(received) => {
                let brought = event::short(&received.payload);
                let early =
                    if received.mark.event < signal.asked.event { ", which had come before" } else { "" };
                let text = format!("signal {name}{early}: {brought}");
                self.waiting(signal.asked, Some(received.mark), text, GOOD)
            }
            None if limit_over.is_some() => {
                self.waiting(signal.asked, limit_over, format!("waited for signal {name}{limit}"), BAD)
            }
            None if signal.abandoned.is_some() => {
                self.waiting(signal.asked, signal.abandoned, format!("signal {name} no longer wanted"), FAINT)
            }
            None => self.waiting(signal.asked, None, format!("waits for signal {name}{limit}"), ACTIVE),
        }
    }

    fn child(&self, child: &Child) -> Row {
        let what = format!("child {} {} {}", child.workflow, child.workflow_id, child.run.short());
        match &child.end {
            Some(end) => {
                let (how, style) = match &end.result {
                    Ended::Ok(_) => ("ok".to_owned(), GOOD),
                    Ended::Failed(failure) => (event::failed(failure), BAD),
                };
                self.waiting(child.asked, Some(end.mark), format!("{what}  {how}"), style)
            }
            None if child.abandoned.is_some() => {
                self.waiting(child.asked, child.abandoned, format!("{what}  no longer wanted"), FAINT)
            }
            None => self.waiting(child.asked, None, format!("{what}  under way"), ACTIVE),
        }
    }

    fn person(&self, person: &Person) -> Row {
        let why = event::parked(person.reason);
        let question = format!("parked, {why}: {}", person.message);
        match &person.answer {
            Some(answer) => {
                let said = answer.resolution.as_ref().map_or("taken up again".to_owned(), event::resolved);
                let text = format!("{question}; {} answered: {said}", answer.by);
                self.waiting(person.asked, Some(answer.mark), text, PLAIN)
            }
            None => self.waiting(person.asked, person.abandoned, question, WARN),
        }
    }

    fn waiting(&self, from: Mark, over: Option<Mark>, text: String, style: Style) -> Row {
        let to = over.map_or(self.now, |mark| mark.at).max(from.at);
        let bar = vec![Stretch { from: from.at, to, glyph: '·', style }];
        Row { event: Some(from.event), is_part: false, text, style, took: time::span(to.since(from.at)), bar }
    }
}

fn happened(happening: &Happening) -> Row {
    let (text, style) = match &happening.what {
        What::CancelRequested { reason, by, .. } => {
            (format!("cancelled by {by}{}", event::colon(reason)), WARN)
        }
        What::Compensating { cause, steps } => {
            (format!("undoes {}, because of {}", steps.join(", "), event::failed(cause)), WARN)
        }
        What::Paused { reason, by } => (format!("paused by {by}{}", event::colon(reason)), WARN),
        What::Resumed { by } => (format!("resumed by {by}"), PLAIN),
        What::Recovered { worker } => (format!("taken over by {worker}"), WARN),
        What::BudgetRaised { usd, tokens, by } => {
            let tokens =
                if *tokens > 0 { format!(" and {} tokens", amount::count(*tokens)) } else { String::new() };
            (format!("budget raised by {}{tokens}, {by}", amount::money(*usd)), PLAIN)
        }
        What::Rewound { to, by } => (format!("taken back to event {to} by {by}"), WARN),
        What::Patched { id } => (format!("takes the new side of patch {id}"), FAINT),
        What::Said { text } => (format!("says: {text}"), FAINT),
    };
    Row::at(happening.mark, text, style)
}

impl Row {
    fn at(mark: Mark, text: String, style: Style) -> Self {
        Self { event: Some(mark.event), is_part: false, text, style, took: String::new(), bar: Vec::new() }
    }

    fn part(event: u64, text: String, style: Style) -> Self {
        Self { event: Some(event), is_part: true, text, style, took: String::new(), bar: Vec::new() }
    }

    fn lay_out(&self, room: usize, scale: Scale) -> Vec<String> {
        let indent = if self.is_part { 3 } else { 0 };
        let number = self.event.map(|event| event.to_string()).unwrap_or_default();
        let text = clean(&self.text);
        // Without a bar the text may have its room as well.
        let has_bar = !self.bar.is_empty() || !self.took.is_empty();
        let columns = if has_bar { room } else { room + TOOK + GAPS / 2 + scale.columns };
        let mut lines = wrap(&text, columns.saturating_sub(indent)).into_iter();
        let first = lines.next().unwrap_or_default();
        let style = self.style;
        let space = " ".repeat(columns.saturating_sub(indent + width(&first)));
        let bar = scale.draw(&self.bar);
        let mut line = format!("{FAINT}{number:>EVENT$}{FAINT:#}  {:indent$}{style}{first}{style:#}", "");
        if has_bar {
            line.push_str(&format!("{space}  {:>TOOK$}  {bar}", fit(&self.took, TOOK)));
        }
        line.truncate(line.trim_end().len());
        let rest = lines.take(2).map(|more| format!("{:EVENT$}  {:indent$}{style}{more}{style:#}", "", ""));
        std::iter::once(line).chain(rest).collect()
    }
}

fn head(text: usize, columns: usize, took: &str) -> String {
    let space = columns.saturating_sub(1 + took.len());
    let scale = if columns == 0 { String::new() } else { format!("0{:space$}{took}", "") };
    format!("{FAINT}{:>EVENT$}  {:text$}  {:>TOOK$}  {scale}{FAINT:#}", "event", "what", "took")
}

/// A title in bold.
pub(crate) fn strong(text: &str) -> String {
    format!("{STRONG}{}{STRONG:#}", clean(text))
}
