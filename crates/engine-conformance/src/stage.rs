//! Where an exercise is performed: an engine that may die at any moment, and hands that try again until they are heard.

use std::time::Duration;

use midwatch_journal::story::story_without_crashes;
use midwatch_workflow::{
    EngineError, Event, EventKind, Message, NewRun, Payload, Resolution, RunId, RunResult, Started,
    WorkflowId,
};

use crate::{Code, Harness, Trouble, World};

/// The unit in which exercises measure time: short enough for engines with a real clock, long beside their latency.
pub const TICK: Duration = Duration::from_millis(400);

/// How often, and how many times, the stage looks whether something has happened: 60 s in all.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 3_000;

/// The most crashes that a single act survives.
const CRASHES_MAX: u32 = 20;

/// An exercise's view of the engine. All it does is done again after a crash, as a user's client would.
pub struct Stage {
    harness: Box<dyn Harness>,
    code: Code,
    /// The world in which the steps run.
    pub world: World,
    run: Option<RunId>,
    /// All runs that were started or forked, in order.
    started: Vec<RunId>,
    /// How many forks were asked for.
    forks: u32,
    crashes: u32,
}

impl Stage {
    pub(crate) async fn open(
        mut harness: Box<dyn Harness>,
        code: Code,
        world: World,
    ) -> Result<Self, Trouble> {
        world.know(harness.journal());
        harness.open(code.clone()).await?;
        Ok(Self { harness, code, world, run: None, started: Vec::new(), forks: 0, crashes: 0 })
    }

    /// Starts the exercise's run, `main`, with no input.
    pub async fn start(&mut self) -> Result<RunId, Trouble> {
        self.start_main(NewRun::new("main", Payload::null())).await
    }

    /// Starts a run, which is the exercise's run from then on.
    pub async fn start_main(&mut self, new: NewRun) -> Result<RunId, Trouble> {
        let started = self.start_as(new).await?;
        let started = started.map_err(|error| Trouble::new(format!("start: {error}")))?;
        Ok(*self.run.insert(started.run))
    }

    /// Starts a run; the workflow id is `exercise` unless another is given. The outer error is the stage's own.
    pub async fn start_as(&mut self, mut new: NewRun) -> Result<Result<Started, EngineError>, Trouble> {
        if new.workflow_id.is_none() {
            new.workflow_id = WorkflowId::new("exercise").ok();
        }
        loop {
            let started = self.harness.engine().start(new.clone()).await;
            if !self.survived(&started).await? {
                self.note(started.iter().map(|started| started.run));
                return Ok(started);
            }
        }
    }

    fn note(&mut self, runs: impl Iterator<Item = RunId>) {
        for run in runs {
            if !self.started.contains(&run) {
                self.started.push(run);
            }
        }
    }

    /// The exercise's run.
    pub fn run(&self) -> Result<RunId, Trouble> {
        self.run.ok_or_else(|| Trouble::new("no run was started"))
    }

    /// Sends a message to the exercise's run.
    pub async fn send(&mut self, message: Message) -> Result<(), Trouble> {
        let sent = self.try_send(message).await?;
        sent.map_err(|error| Trouble::new(format!("send: {error}")))
    }

    /// Sends a message that the run cannot take.
    pub async fn send_refused(&mut self, message: Message) -> Result<(), Trouble> {
        match self.try_send(message.clone()).await? {
            Err(EngineError::Refused { .. }) => Ok(()),
            other => Err(Trouble::new(format!("{message:?} should have been refused, was {other:?}"))),
        }
    }

    /// Sends a message; after a crash it is sent again only if the journal does not show that it arrived.
    async fn try_send(&mut self, message: Message) -> Result<Result<(), EngineError>, Trouble> {
        let run = self.run()?;
        let before = self.arrivals(&message)?;
        loop {
            let sent = self.harness.engine().send(run, message.clone()).await;
            if !self.survived(&sent).await? {
                return Ok(sent);
            }
            if self.arrivals(&message)? > before {
                return Ok(Ok(()));
            }
        }
    }

    fn arrivals(&self, message: &Message) -> Result<usize, Trouble> {
        if let Message::Fork { run, .. } = message {
            return Ok(self.events_of(*run)?.len());
        }
        let is_trace = |kind: &EventKind| match message {
            Message::Signal { name, .. } => {
                matches!(kind, EventKind::SignalReceived { name: of, .. } if of == name)
            }
            Message::Cancel { .. } => matches!(kind, EventKind::CancelRequested { .. }),
            Message::Pause { .. } => matches!(kind, EventKind::Paused { .. }),
            Message::Resume { .. } => matches!(kind, EventKind::Resumed { .. }),
            Message::Resolve { .. } => matches!(kind, EventKind::Resolved { .. }),
            Message::RaiseBudget { .. } => matches!(kind, EventKind::BudgetRaised { .. }),
            Message::Retry { .. } => matches!(
                kind,
                EventKind::TimerFired { .. }
                    | EventKind::Resolved { .. }
                    | EventKind::Unparked { .. }
                    | EventKind::Rewound { .. }
            ),
            Message::Fork { .. } => false,
        };
        Ok(self.events()?.iter().filter(|event| is_trace(&event.kind)).count())
    }

    /// Signals the run.
    pub async fn signal(&mut self, name: &str, payload: impl serde::Serialize) -> Result<(), Trouble> {
        let payload = Payload::of(&payload).map_err(|failure| Trouble::new(failure.to_string()))?;
        self.send(Message::Signal { name: name.to_owned(), payload, id: None }).await
    }

    /// Tells the run to stop.
    pub async fn cancel(&mut self) -> Result<(), Trouble> {
        self.send(Message::Cancel { reason: "not wanted any more".to_owned(), by: "ann".to_owned() }).await
    }

    /// Answers the parked operation of the run.
    pub async fn resolve(&mut self, resolution: Resolution) -> Result<(), Trouble> {
        self.send(Message::Resolve { step: None, resolution, by: "ann".to_owned() }).await
    }

    /// Has the run tried again.
    pub async fn retry(&mut self) -> Result<(), Trouble> {
        self.send(Message::Retry { by: "ann".to_owned() }).await
    }

    /// Has the run tried again, unless a crash has done so already: a new process replays a run that was parked.
    pub async fn retry_unless_recovered(&mut self) -> Result<(), Trouble> {
        match self.try_send(Message::Retry { by: "ann".to_owned() }).await? {
            Err(EngineError::Refused { .. }) if self.crashes > 0 => Ok(()),
            sent => sent.map_err(|error| Trouble::new(format!("retry: {error}"))),
        }
    }

    /// Makes a fork of the run that keeps its events up to `event`.
    pub async fn fork(&mut self, event: u64, keys: midwatch_workflow::ForkKeys) -> Result<RunId, Trouble> {
        self.forks += 1;
        let salt = format!("fork {}", self.forks);
        let fork = self.run()?.derive(midwatch_workflow::Timestamp::from_micros(1), salt.as_bytes());
        self.send(Message::Fork { run: fork, event, keys, by: "ann".to_owned() }).await?;
        self.note([fork].into_iter());
        Ok(fork)
    }

    /// Waits for the end of the exercise's run.
    pub async fn result(&mut self) -> Result<RunResult, Trouble> {
        let run = self.run()?;
        self.result_of(run).await
    }

    /// Waits for the end of a run.
    pub async fn result_of(&mut self, run: RunId) -> Result<RunResult, Trouble> {
        loop {
            let engine = self.harness.engine();
            let Ok(ended) = tokio::time::timeout(LOOK * LOOKS_MAX, engine.result(run)).await else {
                return Err(Trouble::new(format!("the run does not end; it says\n{}", self.so_far(run)?)));
            };
            if !self.survived(&ended).await? {
                let so_far = self.so_far(run)?;
                return ended
                    .map_err(|error| Trouble::new(format!("result: {error}; the run says\n{so_far}")));
            }
        }
    }

    /// Waits until the run's story without crashes holds this line.
    pub async fn until(&mut self, line: &str) -> Result<(), Trouble> {
        self.until_events(line, |events| story_without_crashes(events).iter().any(|told| told == line)).await
    }

    /// Waits until the run's events are so.
    pub async fn until_events(
        &mut self,
        what: &str,
        are_so: impl Fn(&[Event]) -> bool,
    ) -> Result<(), Trouble> {
        let run = self.run()?;
        for _ in 0..LOOKS_MAX {
            if are_so(&self.events_of(run)?) {
                return Ok(());
            }
            self.survive().await?;
            tokio::time::sleep(LOOK).await;
        }
        Err(Trouble::new(format!("waited in vain for `{what}`; the run says\n{}", self.so_far(run)?)))
    }

    /// Lets time pass; after a crash, all of it again.
    pub async fn wait(&mut self, ticks: u32) -> Result<(), Trouble> {
        let mut left = TICK * ticks;
        while !left.is_zero() {
            tokio::time::sleep(LOOK).await;
            left = if self.survive().await? { TICK * ticks } else { left.saturating_sub(LOOK) };
        }
        Ok(())
    }

    /// Kills the engine and opens it with this code.
    pub async fn reopen(&mut self, code: Code) -> Result<(), Trouble> {
        self.code = code;
        self.harness.crash().await;
        self.harness.open(self.code.clone()).await
    }

    /// The events of the exercise's run.
    pub fn events(&self) -> Result<Vec<Event>, Trouble> {
        self.events_of(self.run()?)
    }

    pub(crate) fn events_of(&self, run: RunId) -> Result<Vec<Event>, Trouble> {
        self.harness.journal().events(run, 0).map_err(|error| Trouble::new(format!("journal: {error}")))
    }

    pub(crate) fn harness(&self) -> &dyn Harness {
        &*self.harness
    }

    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    pub(crate) fn started(&self) -> &[RunId] {
        &self.started
    }

    fn so_far(&self, run: RunId) -> Result<String, Trouble> {
        Ok(midwatch_journal::story::story(&self.events_of(run)?).join("\n"))
    }

    /// Whether the engine died under an act, so that the act must be done again; opens it anew.
    async fn survived<T>(&mut self, answer: &Result<T, EngineError>) -> Result<bool, Trouble> {
        let is_dead = matches!(
            answer,
            Err(EngineError::Stopped | EngineError::NotReached { .. } | EngineError::Unavailable(_))
        );
        Ok(is_dead && self.survive().await?)
    }

    async fn survive(&mut self) -> Result<bool, Trouble> {
        if !self.harness.has_crashed() {
            return Ok(false);
        }
        self.crashes += 1;
        if self.crashes > CRASHES_MAX {
            return Err(Trouble::new("the engine crashes for ever"));
        }
        self.harness.crash().await;
        self.harness.open(self.code.clone()).await?;
        Ok(true)
    }

    /// Ends the engine for good.
    pub(crate) async fn close(mut self) {
        self.harness.crash().await;
    }

    /// Survives a crash that came after the script, and gives the engine time to do what it still has to.
    pub(crate) async fn settle(&mut self) -> Result<(), Trouble> {
        while self.survive().await? {
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }
}
