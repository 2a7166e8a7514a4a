//! The state that an execution shares with the futures of its workflow.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::op::{Op, OpKind, Outcome};
use crate::pattern::saga::Undo;
use crate::{Amount, Budget, Class, Failure, Name, OpId, Payload, RunStarted, Spent, Timestamp};

/// How many operations a run may have under way at once.
pub const OPS_PENDING_MAX: usize = 10_000;

/// What the journal already holds of a run that is taken up again.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The highest operation that the journal records; 0 for a new run.
    pub ops: u32,
    /// The patches that the run has taken.
    pub patches: BTreeSet<String>,
}

/// Decides whether a run takes the new side of a deliberate change, by the change's id.
pub(crate) type Patches = Box<dyn Fn(&str) -> bool + Send>;

/// One execution's constants and state.
pub(crate) struct Shared {
    pub(crate) start: RunStarted,
    pub(crate) key_base: String,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(start: RunStarted, at: Timestamp, recorded: Recorded) -> Self {
        let key_base = start.key_base.clone();
        let key_base = key_base.unwrap_or_else(|| crate::key_base(&start.workflow_id, start.run));
        let state = State {
            now: start.forked_from.map_or(at, |fork| fork.origin_at),
            started: at,
            last_op: 0,
            recorded,
            budget: start.budget,
            slots: BTreeMap::new(),
            asked: Vec::new(),
            mailbox: HashMap::new(),
            awaiting: HashMap::new(),
            cancelled: None,
            uses: HashMap::new(),
            patches: HashMap::new(),
            decides: None,
            spent: Spent::default(),
            raised: Amount::default(),
            cleared: None,
            undos: Vec::new(),
            draws: 0,
        };
        Self { start, key_base, state: Mutex::new(state) }
    }

    /// No user code runs under this lock, so a poisoned one still holds a whole state.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct State {
    /// The time of the last input; the only clock a workflow has.
    pub(crate) now: Timestamp,
    pub(crate) started: Timestamp,
    last_op: u32,
    recorded: Recorded,
    pub(crate) budget: Option<Budget>,
    slots: BTreeMap<OpId, Slot>,
    asked: Vec<Op>,
    mailbox: HashMap<String, VecDeque<Payload>>,
    awaiting: HashMap<String, VecDeque<OpId>>,
    pub(crate) cancelled: Option<Failure>,
    uses: HashMap<Name, u32>,
    patches: HashMap<String, bool>,
    /// Who decides about patches beyond what is recorded; without it, new code takes the new side.
    pub(crate) decides: Option<Patches>,
    pub(crate) spent: Spent,
    /// What persons added to the run's budget.
    pub(crate) raised: Amount,
    /// What the run may spend in all whatever the budgets say that it shares with others.
    pub(crate) cleared: Option<Amount>,
    pub(crate) undos: Vec<Undo>,
    draws: u64,
}

/// An operation that was asked for and whose answer was not taken yet.
struct Slot {
    shield: Shield,
    is_child: bool,
    /// The name of the signal that it waits for.
    signal: Option<String>,
    progress: SlotProgress,
}

enum SlotProgress {
    Pending(Option<Waker>),
    Ready(Answer),
}

/// Whether a cancellation reaches an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shield {
    Open,
    Shielded,
}

/// What an operation's future gets.
pub(crate) enum Answer {
    Outcome(Outcome),
    Signal(Payload),
    Cancelled(Failure),
}

impl State {
    /// Records an operation as asked for and gives its number.
    ///
    /// # Errors
    /// The cancellation, if the run is told to stop and the operation is not shielded; `invalid_request` beyond
    /// [`OPS_PENDING_MAX`].
    pub(crate) fn ask(&mut self, kind: OpKind, shield: Shield) -> Result<OpId, Failure> {
        if let Some(failure) = self.cancelled.as_ref().filter(|_| shield == Shield::Open) {
            return Err(failure.clone());
        }
        if self.slots.len() >= OPS_PENDING_MAX {
            let message = format!("more than {OPS_PENDING_MAX} operations at once in one run");
            return Err(Failure::new(Class::InvalidRequest, message));
        }
        let id = self.next_op();
        let progress = match &kind {
            OpKind::Signal { name } => self.take_signal(name, id),
            _ => SlotProgress::Pending(None),
        };
        let is_child = matches!(kind, OpKind::Child(_));
        let signal = match &kind {
            OpKind::Signal { name } => Some(name.clone()),
            _ => None,
        };
        self.slots.insert(id, Slot { shield, is_child, signal, progress });
        self.asked.push(Op { id, kind });
        Ok(id)
    }

    /// Records something that needs no answer.
    pub(crate) fn note(&mut self, note: crate::event::Note) {
        let id = self.next_op();
        self.asked.push(Op { id, kind: OpKind::Note(note) });
    }

    fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    pub(crate) fn last_op(&self) -> OpId {
        OpId(self.last_op)
    }

    fn take_signal(&mut self, name: &str, id: OpId) -> SlotProgress {
        if let Some(payload) = self.mailbox.get_mut(name).and_then(VecDeque::pop_front) {
            return SlotProgress::Ready(Answer::Signal(payload));
        }
        self.awaiting.entry(name.to_owned()).or_default().push_back(id);
        SlotProgress::Pending(None)
    }

    /// Takes the answer if there is one; else keeps the waker for it.
    pub(crate) fn poll(&mut self, id: OpId, waker: &Waker) -> Option<Answer> {
        let slot = self.slots.get_mut(&id)?;
        match &mut slot.progress {
            SlotProgress::Pending(Some(kept)) if kept.will_wake(waker) => None,
            SlotProgress::Pending(kept) => {
                *kept = Some(waker.clone());
                None
            }
            SlotProgress::Ready(_) => match self.slots.remove(&id)?.progress {
                SlotProgress::Ready(answer) => Some(answer),
                SlotProgress::Pending(_) => None,
            },
        }
    }

    /// The future of an operation is gone before it took the answer.
    pub(crate) fn abandon(&mut self, id: OpId) {
        let Some(slot) = self.slots.remove(&id) else { return };
        match (slot.progress, slot.signal) {
            (SlotProgress::Pending(_), _) => {
                self.awaiting.values_mut().for_each(|waiting| waiting.retain(|other| *other != id));
                self.asked.push(Op { id, kind: OpKind::Abandon });
            }
            // Nobody took it, so the next who waits for it shall have it.
            (SlotProgress::Ready(Answer::Signal(payload)), Some(name)) => {
                self.mailbox.entry(name).or_default().push_front(payload);
            }
            (SlotProgress::Ready(_), _) => {}
        }
    }

    /// Gives an operation its answer; the waker is for the caller to wake after it released the state.
    pub(crate) fn settle(&mut self, id: OpId, outcome: Outcome) -> Option<Waker> {
        self.answer(id, Answer::Outcome(outcome))
    }

    fn answer(&mut self, id: OpId, answer: Answer) -> Option<Waker> {
        // An outcome for an abandoned operation comes too late and changes nothing.
        let slot = self.slots.get_mut(&id)?;
        match std::mem::replace(&mut slot.progress, SlotProgress::Ready(answer)) {
            SlotProgress::Pending(waker) => waker,
            ready @ SlotProgress::Ready(_) => {
                slot.progress = ready;
                None
            }
        }
    }

    pub(crate) fn signal(&mut self, name: String, payload: Payload) -> Option<Waker> {
        match self.awaiting.get_mut(&name).and_then(VecDeque::pop_front) {
            Some(id) => self.answer(id, Answer::Signal(payload)),
            None => {
                self.mailbox.entry(name).or_default().push_back(payload);
                None
            }
        }
    }

    /// Ends every open operation with `failure`; children are told to stop and still awaited.
    pub(crate) fn cancel(&mut self, failure: Failure) -> Vec<Waker> {
        if self.cancelled.is_some() {
            return Vec::new();
        }
        self.cancelled = Some(failure.clone());
        let open: Vec<(OpId, bool)> = self
            .slots
            .iter()
            .filter(|(_, slot)| {
                slot.shield == Shield::Open && matches!(slot.progress, SlotProgress::Pending(_))
            })
            .map(|(id, slot)| (*id, slot.is_child))
            .collect();
        let mut wakers = Vec::new();
        for (id, is_child) in open {
            if is_child {
                self.asked.push(Op { id, kind: OpKind::CancelChild });
                continue;
            }
            self.awaiting.values_mut().for_each(|waiting| waiting.retain(|other| *other != id));
            self.asked.push(Op { id, kind: OpKind::Abandon });
            wakers.extend(self.answer(id, Answer::Cancelled(failure.clone())));
        }
        wakers
    }

    pub(crate) fn take_asked(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.asked)
    }

    /// Whether some operation may still be answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.slots.values().any(|slot| matches!(slot.progress, SlotProgress::Pending(_)))
    }

    /// A person lets the run spend more. Of budgets that it shares with other runs, this one run gets more.
    pub(crate) fn raise_budget(&mut self, more: Amount) {
        if let Some(budget) = &mut self.budget {
            budget.raise(more.usd, more.tokens);
        }
        self.raised = self.raised.plus(more);
        self.cleared = Some(more.clears(self.cleared, Amount::from(&self.spent)));
    }

    /// Counts the uses of a step's name.
    pub(crate) fn nth_use(&mut self, step: &Name) -> u32 {
        let count = self.uses.entry(step.clone()).or_default();
        *count += 1;
        *count
    }

    /// Counts the draws of random numbers.
    pub(crate) fn next_draw(&mut self) -> u64 {
        self.draws += 1;
        self.draws
    }

    /// Whether the run takes the new side of a change: recorded when new code runs, remembered ever after.
    pub(crate) fn patched(&mut self, id: &str) -> bool {
        if let Some(taken) = self.patches.get(id) {
            return *taken;
        }
        let is_replaying = self.last_op < self.recorded.ops;
        let taken = match &self.decides {
            _ if is_replaying => self.recorded.patches.contains(id),
            Some(decides) => decides(id),
            None => true,
        };
        self.patches.insert(id.to_owned(), taken);
        if taken {
            self.note(crate::event::Note::Patched(id.to_owned()));
        }
        taken
    }
}
