//! The totals, counted as things happen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Effect, Entry, Tokens};

/// The totals of a ledger. Exact, even when entries were dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Requests that arrived.
    pub requests: u64,
    /// Those of them that are still under way; their tokens are not yet billed.
    pub open: u64,
    /// Answered requests by status; `none` are those without a response head.
    pub by_status: BTreeMap<String, u64>,
    /// Requests that were struck, by fault; `rate_limit` and `outage` are the provider's own.
    pub by_fault: BTreeMap<String, u64>,
    /// Answers replayed for a key.
    pub replayed: u64,
    /// Requests whose client was gone before the answer was complete.
    pub client_gone: u64,
    /// The invoice, by model.
    pub models: BTreeMap<String, ModelBill>,
    /// The invoice in all.
    pub billed: Tokens,
    /// How much of it clients could not know from what was answered.
    pub unreported: Tokens,
    /// Effects done, by kind; undoing ones are of their own kind.
    pub effects_by_kind: BTreeMap<String, u64>,
    /// Effects done.
    pub effects: u64,
    /// Effects whose key, or whose kind and reference, had taken effect before.
    pub effects_done_twice: u64,
    /// Effects that were undone.
    pub effects_undone: u64,
    /// Entries that were dropped to bound memory.
    pub entries_dropped: u64,
}

/// One model's part of the invoice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelBill {
    /// Requests that were billed.
    pub calls: u64,
    /// Their tokens.
    pub billed: Tokens,
    /// How much of that clients could not know from what was answered.
    pub unreported: Tokens,
}

/// Beyond so many different names, further ones are counted together as `(other)`.
const NAMES_MAX: usize = 10_000;

impl Summary {
    pub(crate) fn count_arrival(&mut self) {
        self.requests += 1;
        self.open += 1;
    }

    pub(crate) fn count_closed(&mut self, entry: &Entry) {
        self.open -= 1;
        let status = entry.status.map_or_else(|| "none".to_owned(), |s| s.to_string());
        *self.by_status.entry(status).or_default() += 1;
        if let Some(fault) = &entry.fault {
            *self.by_fault.entry(fault.clone()).or_default() += 1;
        }
        self.replayed += u64::from(entry.replayed);
        self.client_gone += u64::from(entry.client_gone);
        if entry.billed != Tokens::default() {
            let unreported = entry.billed.beyond(&entry.reported);
            let bill = slot(&mut self.models, &entry.model);
            bill.calls += 1;
            bill.billed.add(&entry.billed);
            bill.unreported.add(&unreported);
            self.billed.add(&entry.billed);
            self.unreported.add(&unreported);
        }
    }

    pub(crate) fn count_effect(&mut self, effect: &Effect, repeated: bool) {
        self.effects += 1;
        *slot(&mut self.effects_by_kind, &effect.kind) += 1;
        self.effects_done_twice += u64::from(repeated);
        self.effects_undone += u64::from(effect.undoes.is_some());
    }
}

fn slot<'a, T: Default>(map: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let name = if map.len() < NAMES_MAX || map.contains_key(name) { name } else { "(other)" };
    map.entry(name.to_owned()).or_default()
}
