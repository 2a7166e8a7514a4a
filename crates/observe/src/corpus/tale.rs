//! Telling a run event by event, and what is usual for its workflow.

use std::time::Duration;

use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose, WaitReason};
use midwatch_workflow::{
    Charge, Class, DelayReason, Ended, Event, EventKind, Failure, GiveUp, Money, Name, OpId, ParkReason,
    Payload, RunId, RunResult, RunStarted, Spent, Timestamp, Usage, WorkflowId,
};

use crate::baseline::Baselines;
use crate::profile::Profile;
use crate::run::{Run, Status};
use crate::timeline::Timeline;
use crate::why::{Facts, Owner};

/// When the tales begin.
const START: u64 = 1_795_500_000_000_000;

/// A kind of workflow: what its steps are called and talk to. Variants of an incident play in different ones.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The workflow.
    pub workflow: &'static str,
    /// A step that prepares.
    pub prepare: &'static str,
    /// The step that matters, and is paid by token.
    pub call: &'static str,
    /// Whom that talks to.
    pub model: &'static str,
    /// How long it usually takes, in milliseconds.
    pub call_ms: u64,
    /// How often a run usually calls it.
    pub turns: u64,
    /// A step with an effect, and the one that undoes it.
    pub effect: (&'static str, &'static str),
    /// Whom that talks to.
    pub receiver: &'static str,
    /// The queue of the calls.
    pub queue: &'static str,
}

const WORLDS: [World; 4] = [
    World {
        workflow: "research",
        prepare: "fetch_sources",
        call: "call_llm",
        model: "openai:gpt-4o",
        call_ms: 12_000,
        turns: 4,
        effect: ("publish", "unpublish"),
        receiver: "cms",
        queue: "llm",
    },
    World {
        workflow: "checkout",
        prepare: "load_cart",
        call: "score_fraud",
        model: "anthropic:claude-sonnet-4-5",
        call_ms: 3_000,
        turns: 2,
        effect: ("charge_card", "refund"),
        receiver: "stripe",
        queue: "fraud",
    },
    World {
        workflow: "triage",
        prepare: "read_ticket",
        call: "classify",
        model: "gemini:gemini-2.5-flash",
        call_ms: 1_500,
        turns: 6,
        effect: ("send_mail", "recall_mail"),
        receiver: "postmark",
        queue: "models",
    },
    World {
        workflow: "nightly-report",
        prepare: "query_warehouse",
        call: "summarize",
        model: "openai:gpt-4.1-mini",
        call_ms: 25_000,
        turns: 3,
        effect: ("upload", "delete_upload"),
        receiver: "s3",
        queue: "batch",
    },
];

impl World {
    /// The world that a variant plays in.
    pub fn of(variant: u64) -> Self {
        WORLDS[usize::try_from(variant).unwrap_or(0) % WORLDS.len()]
    }

    /// What a usual call is charged.
    pub fn charge(&self, draw: u64) -> Charge {
        self.charge_of(self.model, 6_000 + draw % 2_000, 400 + draw % 300, 3_000)
    }

    /// A charge for tokens at this world's prices: a tenth for cached ones.
    pub fn charge_of(&self, target: &str, input: u64, output: u64, cached: u64) -> Charge {
        const PICOS_PER_TOKEN: u64 = 2_500_000;
        let weight = (input - cached) * 10 + cached + output * 40;
        Charge {
            target: target.to_owned(),
            usage: Usage { calls: 1, input, output, cached, ..Usage::default() },
            cost: Some(Money::from_picos(PICOS_PER_TOKEN / 10).times(weight)),
            price: Some("test".to_owned()),
            ..Charge::default()
        }
    }

    /// What is usual: forty runs, a few of which met small trouble.
    pub fn usual(&self) -> Baselines {
        self.usual_with(40, |_, _| {})
    }

    /// The same, with something more in each run before its end.
    pub fn usual_with(&self, count: u64, more: impl Fn(&mut Tale, u64)) -> Baselines {
        let (mut runs, mut profiles) = (Vec::new(), Vec::new());
        for n in 0..count {
            let mut tale = Tale::begin(*self, 1_000 + n);
            tale.usual_work(n);
            more(&mut tale, n);
            tale.complete();
            let Some(timeline) = Timeline::of(&tale.events) else { continue };
            profiles.push(Profile::of(&timeline, &tale.events, tale.at));
            runs.push(tale.row(Status::Completed));
        }
        Baselines::of(&runs.iter().collect::<Vec<_>>(), &profiles.iter().collect::<Vec<_>>())
    }
}

/// Numbers that look random and are the same every time.
pub(super) fn draw(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % 1_000_000
}

/// A run that is being told.
#[derive(Clone, Debug)]
pub struct Tale {
    /// Where it plays.
    pub world: World,
    /// What was told.
    pub events: Vec<Event>,
    /// The time that the tale has reached.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    seed: u64,
    op: u32,
    uses: std::collections::BTreeMap<String, u32>,
}

impl Tale {
    /// Begins a run.
    pub fn begin(world: World, seed: u64) -> Self {
        Self::begin_with(world, seed, |_| {})
    }

    /// Begins a run whose start is changed.
    pub fn begin_with(world: World, seed: u64, change: impl FnOnce(&mut RunStarted)) -> Self {
        let at = Timestamp::from_micros(START + seed * 1_000_000);
        let run = RunId::new(at, [u8::try_from(draw(seed) % 251).unwrap_or(0); 10]);
        let mut start = RunStarted { worker: "w1".to_owned(), ..RunStarted::bare(run, world.workflow) };
        change(&mut start);
        let mut tale =
            Self { world, events: Vec::new(), at, run, seed, op: 0, uses: std::collections::BTreeMap::new() };
        tale.push(EventKind::RunStarted(Box::new(start)));
        tale
    }

    /// Adds an event.
    pub fn push(&mut self, kind: EventKind) {
        self.events.push(Event { at: self.at, kind });
    }

    /// Lets time pass, in milliseconds.
    pub fn after(&mut self, millis: u64) -> &mut Self {
        self.at = self.at + Duration::from_millis(millis);
        self
    }

    /// The next operation.
    pub fn op(&mut self) -> OpId {
        self.op += 1;
        OpId(self.op)
    }

    fn jitter(&mut self, millis: u64) -> u64 {
        self.seed = self.seed.wrapping_add(1);
        millis * (85 + draw(self.seed) % 30) / 100
    }

    /// Asks for the first attempt at a new use of a step.
    pub fn ask(&mut self, step: &str) -> OpId {
        *self.uses.entry(step.to_owned()).or_default() += 1;
        self.again(step, 1, |_| {})
    }

    /// Asks for another attempt at the latest use of a step; or for one that is changed.
    pub fn again(&mut self, step: &str, attempt: u32, change: impl FnOnce(&mut AttemptScheduled)) -> OpId {
        let (op, nth) = (self.op(), *self.uses.entry(step.to_owned()).or_insert(1));
        let world = self.world;
        let target = match step {
            _ if step == world.call => Some(Name::from(world.model)),
            _ if step == world.effect.0 || step == world.effect.1 => Some(Name::from(world.receiver)),
            _ => None,
        };
        let mut asked = AttemptScheduled {
            op,
            step: Name::from(step.to_owned()),
            nth,
            attempt,
            input: None,
            timeout: Duration::from_secs(600),
            heartbeat: None,
            queue: (step == world.call).then(|| Name::from(world.queue)),
            target,
            undo: (step == world.effect.0).then(|| Name::from(world.effect.1)),
            undoes: None,
            waits: None,
        };
        change(&mut asked);
        self.push(EventKind::AttemptScheduled(Box::new(asked)));
        op
    }

    /// Asks for a new use of a step, changed.
    pub fn ask_with(&mut self, step: &str, change: impl FnOnce(&mut AttemptScheduled)) -> OpId {
        *self.uses.entry(step.to_owned()).or_default() += 1;
        self.again(step, 1, change)
    }

    /// Asks for a new use of a step that is held back.
    pub fn ask_held(&mut self, step: &str, waits: WaitReason) -> OpId {
        self.ask_with(step, |asked| asked.waits = Some(waits))
    }

    /// An attempt that was held back starts.
    pub fn start(&mut self, op: OpId) {
        self.push(EventKind::AttemptStarted { op });
    }

    /// An attempt ends well.
    pub fn ok(&mut self, op: OpId, charges: Vec<Charge>) {
        self.push(EventKind::AttemptEnded { op, result: Ended::Ok(Payload::null()), charges });
    }

    /// An attempt fails.
    pub fn fail(&mut self, op: OpId, failure: Failure, charges: Vec<Charge>) {
        self.push(EventKind::AttemptEnded { op, result: Ended::Failed(failure), charges });
    }

    /// Asks to wait before the next attempt; the wait is not over yet.
    pub fn wait_to_retry(
        &mut self,
        step: &str,
        attempt: u32,
        of: u32,
        millis: u64,
        because: DelayReason,
    ) -> OpId {
        let (op, until) = (self.op(), self.at + Duration::from_millis(millis));
        let nth = self.uses.get(step).copied().unwrap_or(1);
        let purpose = TimerPurpose::Retry { step: step.to_owned(), nth, attempt, of, because };
        self.push(EventKind::TimerStarted { op, until, purpose });
        op
    }

    /// An attempt fails after a while, and the wait for the next one passes.
    pub fn fail_and_wait(
        &mut self,
        step: &str,
        op: OpId,
        attempt: u32,
        failure: Failure,
        took: u64,
        wait: u64,
    ) -> OpId {
        let because =
            if failure.retry_after.is_some() { DelayReason::RetryAfter } else { DelayReason::Backoff };
        self.after(took).fail(op, failure, Vec::new());
        let timer = self.wait_to_retry(step, attempt + 1, 8, wait, because);
        self.after(wait).push(EventKind::TimerFired { op: timer });
        self.again(step, attempt + 1, |_| {})
    }

    /// A step goes well at its first attempt.
    pub fn step(&mut self, step: &str, millis: u64) {
        let op = self.ask(step);
        let (millis, charge) = (self.jitter(millis), self.world.charge(draw(self.seed)));
        let charges = if step == self.world.call { vec![charge] } else { Vec::new() };
        self.after(millis).ok(op, charges);
    }

    /// The call that matters goes well so often.
    pub fn calls(&mut self, count: u64) {
        for _ in 0..count {
            self.step(self.world.call, self.world.call_ms);
        }
    }

    /// What runs of the workflow do; one in seven meets a 429 and waits a moment.
    pub fn usual_work(&mut self, n: u64) {
        let world = self.world;
        self.step(world.prepare, 800);
        if n % 7 == 3 {
            let op = self.ask(world.call);
            let busy = Failure::new(Class::RateLimited, "slow down").status(429);
            let op = self.fail_and_wait(world.call, op, 1, busy, 200, 1_100);
            let charge = world.charge(n);
            self.after(world.call_ms).ok(op, vec![charge]);
            self.calls(world.turns - 1);
        } else {
            self.calls(world.turns);
        }
        self.step(world.effect.0, 900);
    }

    /// A step gives up.
    pub fn give_up(&mut self, step: &str, attempts: u32, because: GiveUp) {
        let (op, nth) = (self.op(), self.uses.get(step).copied().unwrap_or(1));
        let note = Note::GaveUp { step: step.to_owned(), nth, attempts, because };
        self.push(EventKind::Noted { op, note });
    }

    /// Waits for a signal.
    pub fn await_signal(&mut self, name: &str) -> OpId {
        let op = self.op();
        self.push(EventKind::SignalAwaited { op, name: name.to_owned() });
        op
    }

    /// A signal comes.
    pub fn signal(&mut self, name: &str) {
        self.push(EventKind::SignalReceived { name: name.to_owned(), payload: Payload::null(), id: None });
    }

    /// Asks to sleep.
    pub fn sleep(&mut self, millis: u64) -> OpId {
        let (op, until) = (self.op(), self.at + Duration::from_millis(millis));
        self.push(EventKind::TimerStarted { op, until, purpose: TimerPurpose::Sleep });
        op
    }

    /// Asks for a child.
    pub fn child(&mut self, workflow: &str) -> (OpId, RunId) {
        let op = self.op();
        let run = self.run.derive(self.at, workflow.as_bytes());
        let workflow = workflow.to_owned();
        let workflow_id = WorkflowId::from(run);
        self.push(EventKind::ChildStarted { op, workflow, workflow_id, run, input: Payload::null() });
        (op, run)
    }

    /// Parks for a step.
    pub fn park(&mut self, step: &str, reason: ParkReason, message: &str) {
        let op = self.op();
        let (step, message) = (Some(step.to_owned()), message.to_owned());
        self.push(EventKind::Parked { op: Some(op), step, reason, message });
    }

    /// The engine parks the run.
    pub fn halt(&mut self, reason: ParkReason, message: &str) {
        self.push(EventKind::Parked { op: None, step: None, reason, message: message.to_owned() });
    }

    /// Ends the run well.
    pub fn complete(&mut self) {
        self.push(EventKind::RunEnded { result: RunResult::Completed(Payload::null()) });
    }

    /// Ends the run with a failure.
    pub fn end_failed(&mut self, failure: Failure, compensated: u32) {
        self.push(EventKind::RunEnded { result: RunResult::Failed { failure, compensated, resolved: 0 } });
    }

    /// The run as lists show it.
    pub fn row(&self, status: Status) -> Run {
        let timeline = Timeline::of(&self.events);
        let (spent, wasted) = timeline.as_ref().map(|told| (told.spent, told.wasted)).unwrap_or_default();
        let mut spent_by: std::collections::BTreeMap<String, Spent> = std::collections::BTreeMap::new();
        for charge in
            timeline.iter().flat_map(Timeline::steps).flat_map(|step| &step.attempts).flat_map(|a| &a.charges)
        {
            spent_by.entry(charge.target.clone()).or_default().add(charge);
        }
        let steps = timeline.as_ref().map_or(0, |told| told.steps().count() as u64);
        let started = self.events.first().map_or(self.at, |event| event.at);
        Run {
            run: self.run,
            workflow: self.world.workflow.to_owned(),
            workflow_id: self.run.to_string(),
            tenant: None,
            status,
            started_at: started,
            updated_at: self.at,
            ended_at: status.is_ended().then_some(self.at),
            wake_at: None,
            events: self.events.len() as u64,
            steps,
            attempts: steps,
            failures: 0,
            spent,
            wasted,
            spent_by,
            children: 0,
            doing: String::new(),
            parked: None,
            class: None,
            message: None,
            parent: None,
            worker: "w1".to_owned(),
            target: None,
            queue: None,
            held: None,
        }
    }

    /// Another open run of the same workflow, changed.
    pub fn neighbour(&self, n: u64, change: impl FnOnce(&mut Run)) -> Run {
        let mut run = Tale::begin(self.world, 5_000 + n).row(Status::Running);
        run.updated_at = self.at;
        change(&mut run);
        run
    }

    /// What is known when somebody asks now: a live process, and what is usual.
    pub fn facts(self) -> Facts {
        let usual = self.world.usual();
        self.facts_with(usual)
    }

    /// The same against other usual runs.
    pub fn facts_with(self, baselines: Baselines) -> Facts {
        let since = Some(Timestamp::from_micros(START - 3_600_000_000));
        let owner = Owner::Process { name: "process 4121 on build-1".to_owned(), since };
        Facts { baselines, owner, ..Facts::new(self.events, self.at) }
    }
}
