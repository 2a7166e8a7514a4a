//! What really happened: every request, every effect, every billed token.
//!
//! The ledger is the provider's side of the books. It lives in the simulator's process, so a client may be killed at
//! any moment and the ledger still knows what that client's requests did and cost.

mod effect;
mod entry;
mod state;
mod summary;
mod ticket;

pub use effect::Effect;
pub use entry::{Entry, Tokens};
pub use summary::{ModelBill, Summary};

pub(crate) use effect::{NewEffect, Refusal, Undo};
pub(crate) use ticket::Ticket;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::sync::locked;
use state::State;

/// A handle on the books of one simulator; clones share them.
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    seed: u64,
    state: Mutex<State>,
    closed: Notify,
}

impl Ledger {
    pub(crate) fn new(seed: u64, entries_max: usize) -> Self {
        let shared = Shared {
            start: Instant::now(),
            seed,
            state: Mutex::new(State::new(entries_max)),
            closed: Notify::new(),
        };
        Ledger { shared: Arc::new(shared) }
    }

    /// The time since the simulator started.
    pub fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }

    /// The counts so far; exact, however many entries were dropped.
    pub fn summary(&self) -> Summary {
        locked(&self.shared.state).summary.clone()
    }

    /// The requests that were answered or given up, in order of arrival, as far as they are kept.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_from(0, usize::MAX)
    }

    /// Up to `limit` entries with numbers from `first` on.
    pub fn entries_from(&self, first: u64, limit: usize) -> Vec<Entry> {
        let state = locked(&self.shared.state);
        // They lie in order of closing; sorting references leaves the clones to those that are wanted.
        let mut found: Vec<&Entry> = state.entries.iter().filter(|entry| entry.number >= first).collect();
        found.sort_unstable_by_key(|entry| entry.number);
        found.into_iter().take(limit).cloned().collect()
    }

    /// Every effect that was done, in order.
    pub fn effects(&self) -> Vec<Effect> {
        locked(&self.shared.state).effects.all(|_| true)
    }

    /// The effects that were neither undone nor undo another: what is left standing in the world.
    pub fn standing(&self) -> Vec<Effect> {
        locked(&self.shared.state).effects.all(|effect| effect.undone_by.is_none() && !effect.undoing)
    }

    /// Waits until no request is under way, so that the books are complete; `false` if that took longer than `limit`.
    ///
    /// A client that went away is noticed within moments, not at once: ask this before comparing books.
    pub async fn settled(&self, limit: Duration) -> bool {
        let settled = async {
            loop {
                let closed = self.shared.closed.notified();
                if locked(&self.shared.state).summary.open == 0 {
                    return;
                }
                closed.await;
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok()
    }

    /// Opens an entry for a request that has arrived.
    pub(crate) fn open(&self, entry: Entry) -> Ticket {
        Ticket::open(self.clone(), entry)
    }

    /// Does an effect.
    pub(crate) fn effect(&self, new: NewEffect) -> Result<Effect, Refusal> {
        let (now, seed) = (self.now(), self.shared.seed);
        let mut state = locked(&self.shared.state);
        let (effect, repeated) = state.effects.add(new, now, seed)?;
        state.summary.count_effect(&effect, repeated);
        Ok(effect)
    }

    /// The effect with this id.
    pub(crate) fn effect_by_id(&self, id: &str) -> Option<Effect> {
        locked(&self.shared.state).effects.by_id(id)
    }

    /// The newest effects of one kind, newest first.
    pub(crate) fn effects_of_kind(&self, kind: &str, limit: usize) -> Vec<Effect> {
        locked(&self.shared.state).effects.newest(kind, limit)
    }
}
