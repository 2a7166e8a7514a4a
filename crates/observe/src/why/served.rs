//! What the server knows that carries a run out, beyond the journal: who asks for its work, what waits, what failed last.

use super::{Also, Answer, Cause, Evidence, Next, Verdict};

/// What a Temporal or Restate server says of an open run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Served {
    /// In words, the most telling first.
    pub says: Vec<String>,
    /// Why nothing moves, if the server knows that nothing does.
    pub obstacle: Option<Obstacle>,
}

/// Why nothing of a run moves at its server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Obstacle {
    /// The cause.
    pub cause: Cause,
    /// The same in a sentence.
    pub headline: String,
    /// What to do.
    pub next: Vec<Next>,
}

impl Answer {
    /// Adds what the server says of the run, which is open. A person's park stays the cause; anything else that the journal
    /// lets one suppose gives way to what the server knows.
    #[must_use]
    pub fn with_served(mut self, served: Served) -> Self {
        let says = served.says.into_iter().map(|says| Evidence::of([], says));
        self.evidence.extend(says);
        let Some(obstacle) = served.obstacle else { return self };
        if matches!(self.verdict, Verdict::Parked | Verdict::Failed) {
            return self;
        }
        if self.verdict != Verdict::Stuck || self.cause != obstacle.cause {
            if matches!(self.verdict, Verdict::Stuck | Verdict::Slow | Verdict::Expensive) {
                let (verdict, cause, headline) = (self.verdict, self.cause, self.headline);
                self.also.insert(0, Also { verdict, cause, headline });
            }
            self.verdict = Verdict::Stuck;
            self.cause = obstacle.cause;
            self.under.clear();
        }
        self.excluded.retain(|excluded| excluded.what != obstacle.cause.to_string().replace('_', " "));
        self.headline = obstacle.headline;
        self.next = obstacle.next;
        self
    }
}
