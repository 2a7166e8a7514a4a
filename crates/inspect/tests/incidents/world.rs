//! The world of an incident: the embedded engine, the runs before, and who is asked.

use std::time::Duration;

use midwatch::testing::{TestEngine, TestRun};
use midwatch::{Class, Message, QueueOptions, RunId};
use midwatch_inspect::Inspector;
use midwatch_observe::why::{Answer, Cause, Owner, Verdict};

use crate::plan::{self, Act, Plan, agent, refused};

pub(crate) struct World {
    pub(crate) engine: TestEngine,
}

/// What happens, what is the matter, and how it is told in some variants.
pub(crate) struct Case {
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) play: fn(u64) -> Answer,
}

/// Something that goes wrong, in three variants.
pub(crate) fn case(verdict: Verdict, cause: Cause, play: fn(u64) -> Answer) -> Case {
    Case { verdict, cause, play }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    /// An engine with one queue, `narrow`, which takes one attempt at a time.
    pub(crate) fn new() -> Self {
        let setup = TestEngine::with()
            .workflow(plan::agent)
            .workflow(plan::helper)
            .workflow(plan::hasty)
            .workflow(plan::frugal)
            .workflow(plan::strict)
            .step(plan::call_llm)
            .step(plan::use_tool)
            .step(plan::undo)
            .queue("narrow", QueueOptions::concurrency(1));
        Self { engine: setup.open() }
    }

    /// A world in which runs with such plans are usual; now and then one of them meets a short trouble.
    pub(crate) fn where_usual(plan: impl Fn(u64) -> Plan) -> Self {
        Self::where_usual_times(12, plan)
    }

    pub(crate) fn where_usual_times(runs: u64, plan: impl Fn(u64) -> Plan) -> Self {
        let world = Self::new();
        for n in 0..runs {
            let mut acts = plan(n);
            if n % 5 == 4 {
                let trouble = refused(Class::Server, 500);
                acts.insert(0, Act::Do(plan::work(0).after(1, trouble)));
            }
            let run = world.start(acts);
            while !run.status().is_ended() {
                world.engine.pass(seconds(60));
                if !run.status().is_ended() && run.status() == midwatch::testing::Status::Waiting {
                    let approval = run.send(signal());
                    drop(approval);
                }
            }
            run.result().unwrap();
        }
        world
    }

    /// The world of most incidents: about ten seconds, two calls of a model.
    pub(crate) fn usual() -> Self {
        Self::where_usual(usual_plan)
    }

    pub(crate) fn start(&self, plan: Plan) -> TestRun<'_, ()> {
        self.engine.start(agent, plan)
    }

    /// Carries a plan out to its end, however it ends, and asks.
    pub(crate) fn after(&self, plan: Plan) -> Answer {
        let run = self.start(plan);
        drop(run.result());
        self.why(run.id())
    }

    /// Carries a plan out for so long, and asks.
    pub(crate) fn during(&self, plan: Plan, time: Duration) -> Answer {
        let run = self.start(plan);
        self.engine.pass(time);
        self.why(run.id())
    }

    /// Asks, while the process lives.
    pub(crate) fn why(&self, run: RunId) -> Answer {
        self.why_of(run, Owner::Process { name: "worker-1".to_owned(), since: None })
    }

    pub(crate) fn why_of(&self, run: RunId, owner: Owner) -> Answer {
        let journal = self.engine.journal();
        Inspector::new(&*journal, self.engine.now(), owner).why(run).unwrap()
    }
}

pub(crate) fn signal() -> Message {
    Message::Signal { name: "approve".to_owned(), payload: midwatch::Payload::of(&true).unwrap(), id: None }
}

pub(crate) fn usual_plan(n: u64) -> Plan {
    vec![Act::Do(plan::work(1)), Act::Do(plan::ask(3 + n % 3)), Act::Do(plan::ask(4)), Act::Do(plan::work(1))]
}

/// The usual plan with something else in the place of its first call.
pub(crate) fn with_first_call(job: plan::Job) -> Plan {
    let mut plan = usual_plan(0);
    plan[1] = Act::Do(job);
    plan
}
