//! Where a run's time went, and what it did how often: what runs of a workflow are compared by.

use std::collections::BTreeMap;
use std::time::Duration;

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Class, DelayReason, Event, EventKind, RunId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cost::{Booking, bookings};
use crate::timeline::{Attempt, Entry, Mark, Step, Timeline, What};

/// What a run spends its time with. At each moment the first of these that applies counts, so the parts add up to the
/// whole even where branches run side by side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// An attempt runs that ended well, or that has not ended.
    Executing,
    /// Attempts run, and all of them failed.
    FailedAttempts,
    /// The process was gone.
    ProcessLost,
    /// It undoes its steps.
    Compensating,
    /// An operator holds it.
    Paused,
    /// Attempts wait at a closed gate.
    Gate,
    /// Attempts wait for a place in their queue.
    Queued,
    /// It waits to try again.
    RetryWait,
    /// It waits for a person.
    Person,
    /// It waits for a child run.
    Child,
    /// It waits for a signal.
    Signal,
    /// It sleeps.
    Sleep,
    /// Nothing of the above.
    Idle,
}

impl Part {
    /// The part in words.
    pub const fn words(self) -> &'static str {
        match self {
            Part::Executing => "executing",
            Part::FailedAttempts => "failed attempts",
            Part::ProcessLost => "process lost",
            Part::Compensating => "compensating",
            Part::Paused => "paused",
            Part::Gate => "at a closed gate",
            Part::Queued => "queued",
            Part::RetryWait => "retry wait",
            Part::Person => "waiting for a person",
            Part::Child => "waiting for a child",
            Part::Signal => "waiting for a signal",
            Part::Sleep => "sleeping",
            Part::Idle => "idle",
        }
    }
}

/// The time that failures of one class took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClassTime {
    /// In attempts that failed with it.
    pub attempts: Duration,
    /// In waits after it.
    pub waits: Duration,
    /// Those of the waits that the target asked for.
    pub asked: Duration,
}

/// One run, measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// The run.
    pub run: RunId,
    /// From its start to its end, or to now; without the time between a failure and the retry of the whole run.
    pub elapsed: Duration,
    /// Where that went.
    pub time: BTreeMap<Part, Duration>,
    /// What failures took of it.
    pub classes: BTreeMap<Class, ClassTime>,
    /// Its steps by name.
    pub steps: BTreeMap<String, StepProfile>,
    /// How long it waited for signals that came, by name.
    pub signals: BTreeMap<String, Vec<Duration>>,
    /// How long it slept each time.
    pub sleeps: Vec<Duration>,
    /// How many child runs it started.
    pub children: u64,
    /// The most attempts that ran side by side.
    pub at_once: u64,
    /// What it spent.
    pub bookings: Vec<Booking>,
}

/// All uses of one step in a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StepProfile {
    /// How often it was used.
    pub uses: u64,
    /// How many attempts that took.
    pub attempts: u64,
    /// How long the attempts took that ended well.
    pub took: Vec<Duration>,
}

impl Profile {
    /// Measures a run.
    pub fn of(timeline: &Timeline, events: &[Event], now: Timestamp) -> Self {
        Self::measure(timeline, events, now, now)
    }

    /// Measures a run that no process carries out: nothing has run since its last event.
    pub fn of_left(timeline: &Timeline, events: &[Event], now: Timestamp) -> Self {
        Self::measure(timeline, events, now, timeline.last.at)
    }

    fn measure(timeline: &Timeline, events: &[Event], now: Timestamp, alive: Timestamp) -> Self {
        let end = timeline.end.as_ref().map_or(now.max(timeline.last.at), |end| end.mark.at);
        let mut spans = Spans { end, alive, list: Vec::new() };
        timeline.entries.iter().for_each(|entry| spans.add(entry));
        let dormant = dormant(events);
        let whole = end.since(timeline.started.at);
        let (time, classes) = spans.sweep(timeline, whole.saturating_sub(dormant));
        let mut profile = Self {
            run: timeline.start.run,
            elapsed: whole.saturating_sub(dormant),
            time,
            classes,
            steps: BTreeMap::new(),
            signals: BTreeMap::new(),
            sleeps: Vec::new(),
            children: 0,
            at_once: spans.at_once(),
            bookings: bookings(timeline),
        };
        timeline.entries.iter().filter(|entry| entry.void().is_none()).for_each(|entry| profile.count(entry));
        profile
    }

    /// The time of one part.
    pub fn part(&self, part: Part) -> Duration {
        self.time.get(&part).copied().unwrap_or_default()
    }

    fn count(&mut self, entry: &Entry) {
        match entry {
            Entry::Step(step) => {
                let profile = self.steps.entry(step.name.clone()).or_default();
                profile.uses += 1;
                profile.attempts += step.attempts.len() as u64;
                profile.took.extend(step.attempts.iter().filter_map(took_well));
            }
            Entry::Signal(signal) => {
                if let Some(received) = &signal.received {
                    let took = received.mark.at.since(signal.asked.at);
                    self.signals.entry(signal.name.clone()).or_default().push(took);
                }
            }
            Entry::Sleep(sleep) => self.sleeps.push(sleep.until.since(sleep.asked.at)),
            Entry::Child(_) => self.children += 1,
            Entry::Unclaimed(_) | Entry::Person(_) | Entry::Happening(_) => {}
        }
    }
}

/// How long an attempt took that ended well.
fn took_well(attempt: &Attempt) -> Option<Duration> {
    let (started, end) = (attempt.started?, attempt.end.as_ref()?);
    attempt.failure().is_none().then(|| end.mark.at.since(started.at))
}

/// The time between an end and the rewind that undid it.
fn dormant(events: &[Event]) -> Duration {
    let mut ended = None;
    let mut dormant = Duration::ZERO;
    for event in events {
        match event.kind {
            EventKind::RunEnded { .. } => ended = Some(event.at),
            EventKind::Rewound { .. } => {
                dormant += ended.take().map_or(Duration::ZERO, |at: Timestamp| event.at.since(at));
            }
            _ => {}
        }
    }
    dormant
}

/// What a stretch of time is spent with, in the order of precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    part: Part,
    class: Option<Class>,
    is_asked: bool,
}

struct Spans {
    end: Timestamp,
    /// When a process was last seen at work.
    alive: Timestamp,
    list: Vec<(Timestamp, Timestamp, Label)>,
}

impl Spans {
    fn push(&mut self, from: Timestamp, to: Timestamp, part: Part) {
        self.label(from, to, Label { part, class: None, is_asked: false });
    }

    fn label(&mut self, from: Timestamp, to: Timestamp, label: Label) {
        let to = to.min(self.end);
        if from < to {
            self.list.push((from, to, label));
        }
    }

    fn over(&self, marks: [Option<Mark>; 2]) -> Timestamp {
        marks.into_iter().flatten().map(|mark| mark.at).min().unwrap_or(self.end)
    }

    fn add(&mut self, entry: &Entry) {
        // Of what a rewind voided, only attempts say when they ended.
        if entry.void().is_some() && !matches!(entry, Entry::Step(_)) {
            return;
        }
        match entry {
            Entry::Step(step) => step.attempts.iter().for_each(|attempt| self.add_attempt(attempt)),
            Entry::Sleep(sleep) => {
                self.push(sleep.asked.at, self.over([sleep.fired, sleep.abandoned]), Part::Sleep);
            }
            Entry::Signal(signal) => {
                let received = signal.received.as_ref().map(|received| received.mark);
                let limit = signal.limit.and_then(|limit| limit.fired);
                let to = self.over([received.or(limit), signal.abandoned]);
                self.push(signal.asked.at, to, Part::Signal);
            }
            Entry::Child(child) => {
                let to = self.over([child.end.as_ref().map(|end| end.mark), child.abandoned]);
                self.push(child.asked.at, to, Part::Child);
            }
            Entry::Person(person) => {
                let to = self.over([person.answer.as_ref().map(|answer| answer.mark), person.abandoned]);
                self.push(person.asked.at, to, Part::Person);
            }
            Entry::Happening(_) | Entry::Unclaimed(_) => {}
        }
    }

    fn add_attempt(&mut self, attempt: &Attempt) {
        let ended = attempt.end.as_ref().map(|end| end.mark);
        if attempt.void.is_some() && ended.is_none() {
            return;
        }
        let to = self.over([ended.or(attempt.abandoned), None]);
        if let Some(waits) = attempt.waits {
            let held = match waits {
                WaitReason::Gate => Part::Gate,
                WaitReason::Queue => Part::Queued,
                WaitReason::Paused => Part::Paused,
                WaitReason::Code => Part::Person,
                WaitReason::Stopping => Part::ProcessLost,
            };
            self.push(attempt.asked.at, attempt.started.map_or(to, |mark| mark.at), held);
        }
        if let Some(started) = attempt.started {
            self.add_execution(attempt, started, to);
        }
        if let Some(wait) = &attempt.retry {
            let class = attempt.failure().map(|failure| failure.class);
            let is_asked = wait.because == DelayReason::RetryAfter;
            let over = self.over([wait.fired, wait.abandoned]);
            self.label(wait.asked.at, over.min(wait.until), Label { part: Part::RetryWait, class, is_asked });
            // Beyond its time a timer only stands because nobody was there to fire it.
            self.push(wait.until, over, Part::ProcessLost);
        }
    }

    fn add_execution(&mut self, attempt: &Attempt, started: Mark, to: Timestamp) {
        let class = attempt.failure().map(|failure| failure.class);
        match class {
            Some(Class::Lost) => {
                let alive = attempt.beat.as_ref().map_or(started, |beat| beat.mark).at;
                let label = Label { part: Part::FailedAttempts, class, is_asked: false };
                self.label(started.at, alive, label);
                self.push(alive, to, Part::ProcessLost);
            }
            Some(class) if class != Class::Cancelled => {
                let label = Label { part: Part::FailedAttempts, class: Some(class), is_asked: false };
                self.label(started.at, to, label);
            }
            None if attempt.is_open() => {
                self.push(started.at, to.min(self.alive), Part::Executing);
                self.push(self.alive.max(started.at), to, Part::ProcessLost);
            }
            _ => self.push(started.at, to, Part::Executing),
        }
    }

    /// Goes through time from change to change; the first label that is there counts.
    fn sweep(
        &self,
        timeline: &Timeline,
        whole: Duration,
    ) -> (BTreeMap<Part, Duration>, BTreeMap<Class, ClassTime>) {
        let mut changes: Vec<(Timestamp, i64, Label)> = Vec::with_capacity(2 * self.list.len());
        let pauses = self.pauses(timeline);
        for (from, to, label) in self.list.iter().chain(&pauses) {
            changes.push((*from, 1, *label));
            changes.push((*to, -1, *label));
        }
        changes.sort_by_key(|(at, ..)| *at);
        let compensating = compensating_since(timeline);
        let (mut time, mut classes) = (BTreeMap::new(), BTreeMap::new());
        let mut present: BTreeMap<Label, i64> = BTreeMap::new();
        let mut last = timeline.started.at;
        for (at, change, label) in changes {
            add_segment(&mut time, &mut classes, &present, last, at, compensating);
            last = last.max(at);
            let count = present.entry(label).or_default();
            *count += change;
            if *count == 0 {
                present.remove(&label);
            }
        }
        add_segment(&mut time, &mut classes, &present, last, self.end, compensating);
        let told: Duration = time.values().sum();
        let idle = whole.saturating_sub(told);
        if !idle.is_zero() {
            time.insert(Part::Idle, idle);
        }
        (time, classes)
    }

    fn pauses(&self, timeline: &Timeline) -> Vec<(Timestamp, Timestamp, Label)> {
        let label = Label { part: Part::Paused, class: None, is_asked: false };
        let (mut pauses, mut since) = (Vec::new(), None);
        for entry in &timeline.entries {
            let Entry::Happening(happening) = entry else { continue };
            match happening.what {
                What::Paused { .. } => since = Some(happening.mark.at),
                What::Resumed { .. } => {
                    pauses.extend(since.take().map(|from| (from, happening.mark.at, label)));
                }
                _ => {}
            }
        }
        pauses.extend(since.map(|from| (from, self.end, label)));
        pauses
    }

    fn at_once(&self) -> u64 {
        let runs = |label: &Label| matches!(label.part, Part::Executing | Part::FailedAttempts);
        let mut changes: Vec<(Timestamp, i64)> = Vec::new();
        for (from, to, _) in self.list.iter().filter(|(_, _, label)| runs(label)) {
            changes.extend([(*from, 1), (*to, -1)]);
        }
        changes.sort_unstable();
        let (mut now, mut most) = (0i64, 0);
        for (_, change) in changes {
            now += change;
            most = most.max(now);
        }
        most.unsigned_abs()
    }
}

fn add_segment(
    time: &mut BTreeMap<Part, Duration>,
    classes: &mut BTreeMap<Class, ClassTime>,
    present: &BTreeMap<Label, i64>,
    from: Timestamp,
    to: Timestamp,
    compensating: Option<Timestamp>,
) {
    let length = to.since(from);
    let Some(label) = present.keys().next().filter(|_| !length.is_zero()) else { return };
    if compensating.is_some_and(|since| from >= since) {
        *time.entry(Part::Compensating).or_default() += length;
        return;
    }
    *time.entry(label.part).or_default() += length;
    let Some(class) = label.class else { return };
    let times: &mut ClassTime = classes.entry(class).or_default();
    match label.part {
        Part::RetryWait => {
            times.waits += length;
            times.asked += if label.is_asked { length } else { Duration::ZERO };
        }
        _ => times.attempts += length,
    }
}

fn compensating_since(timeline: &Timeline) -> Option<Timestamp> {
    timeline.entries.iter().find_map(|entry| match entry {
        Entry::Happening(happening)
            if happening.void.is_none() && matches!(happening.what, What::Compensating { .. }) =>
        {
            Some(happening.mark.at)
        }
        _ => None,
    })
}

/// The attempts of a step that are under way or held back.
pub(crate) fn open_attempts(step: &Step) -> impl Iterator<Item = &Attempt> {
    step.attempts.iter().filter(|attempt| attempt.is_open())
}
