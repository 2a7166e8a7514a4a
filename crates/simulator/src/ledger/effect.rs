//! Things done in the world: charges, bookings, and what undoes them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::draw::{fingerprint, hash};

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Its id, such as `ch_…`, `re_…` or `fx_…`.
    pub id: String,
    /// What was done: `charge`, `refund`, `book_flight`, ….
    pub kind: String,
    /// The `Idempotency-Key` of the request that did it.
    pub key: Option<String>,
    /// The one thing in the client's world that it belongs to, such as an order number.
    pub reference: Option<String>,
    /// The run that wanted it.
    pub run: Option<String>,
    /// Whether it was meant to undo another, even if there was nothing to undo.
    pub undoing: bool,
    /// The id of the effect that it undid.
    pub undoes: Option<String>,
    /// The id of the effect that undid it.
    pub undone_by: Option<String>,
    /// The amount, in the currency's smallest unit.
    pub amount: Option<i64>,
    /// How much of the amount was undone; below the amount after partial refunds.
    pub amount_undone: i64,
    /// The currency.
    pub currency: Option<String>,
    /// When it was done, in microseconds since the start.
    pub at_us: u64,
    /// What else the request said.
    pub data: serde_json::Value,
}

/// An effect that is about to be done.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewEffect {
    pub(crate) prefix: &'static str,
    pub(crate) kind: String,
    pub(crate) key: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) run: Option<String>,
    pub(crate) undo: Option<Undo>,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) data: serde_json::Value,
}

/// Which effect is to be undone.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    /// The one with this id.
    Id(String),
    /// The one that was done under this idempotency key, if it ever was; if not, it never will be.
    Key(String),
}

/// Why an effect was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What is to be undone was never done.
    NothingToUndo,
    /// What is to be undone was undone already.
    AlreadyUndone,
    /// More is to be undone than is left.
    TooMuch {
        /// What is left.
        left: i64,
    },
    /// The key was cancelled before it took effect.
    Barred,
    /// The cap on effects is reached. Forgetting effects would make "done twice" a guess, so further ones are refused.
    Full,
}

/// So many effects are held, at about a kilobyte each.
const EFFECTS_MAX: usize = 1_000_000;

/// The effects, in order. Keys and references are held as 128-bit hashes, the requests' data as text: in a long test
/// there are many.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    list: Vec<Done>,
    by_id: HashMap<String, usize>,
    by_key: HashMap<u128, usize>,
    references: HashSet<u128>,
    barred: HashSet<u128>,
}

/// An effect whose data is put away.
#[derive(Debug)]
struct Done {
    effect: Effect,
    data: Box<str>,
}

impl Done {
    fn show(&self) -> Effect {
        let data = serde_json::from_str(&self.data).unwrap_or_default();
        Effect { data, ..self.effect.clone() }
    }
}

impl Effects {
    /// All that `pick` picks, in order; it sees them without their data.
    pub(crate) fn all(&self, pick: impl Fn(&Effect) -> bool) -> Vec<Effect> {
        self.list.iter().filter(|done| pick(&done.effect)).map(Done::show).collect()
    }

    /// The newest of one kind, newest first.
    pub(crate) fn newest(&self, kind: &str, limit: usize) -> Vec<Effect> {
        let of_kind = self.list.iter().rev().filter(|done| done.effect.kind == kind);
        of_kind.take(limit).map(Done::show).collect()
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<Effect> {
        self.by_id.get(id).map(|&place| self.list[place].show())
    }

    /// Does the effect; also says whether its key, or its kind and reference, had taken effect before.
    pub(crate) fn add(
        &mut self,
        new: NewEffect,
        now: Duration,
        seed: u64,
    ) -> Result<(Effect, bool), Refusal> {
        if self.list.len() >= EFFECTS_MAX || self.barred.len() >= EFFECTS_MAX {
            return Err(Refusal::Full);
        }
        if new.key.as_ref().is_some_and(|key| self.barred.contains(&fingerprint(&[key]))) {
            return Err(Refusal::Barred);
        }
        let (undone, amount) = self.undone(&new)?;
        let place = self.list.len();
        let effect = Effect {
            id: self.fresh_id(&new, seed),
            kind: new.kind,
            key: new.key,
            reference: new.reference,
            run: new.run,
            undoing: new.undo.is_some(),
            undoes: undone.map(|place| self.list[place].effect.id.clone()),
            undone_by: None,
            amount,
            amount_undone: 0,
            currency: new.currency,
            at_us: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            data: serde_json::Value::Null,
        };
        if let Some(undone) = undone.map(|place| &mut self.list[place].effect) {
            undone.amount_undone += amount.unwrap_or_default();
            if undone.amount.is_none_or(|whole| undone.amount_undone >= whole) {
                undone.undone_by = Some(effect.id.clone());
            }
        }
        let repeated = self.note(&effect, place);
        self.by_id.insert(effect.id.clone(), place);
        let shown = Effect { data: new.data, ..effect.clone() };
        self.list.push(Done { effect, data: shown.data.to_string().into() });
        Ok((shown, repeated))
    }

    /// The place of what is to be undone, and the amount of the new effect.
    fn undone(&mut self, new: &NewEffect) -> Result<(Option<usize>, Option<i64>), Refusal> {
        let place = match &new.undo {
            None => return Ok((None, new.amount)),
            Some(Undo::Id(id)) => self.by_id.get(id).copied().ok_or(Refusal::NothingToUndo)?,
            Some(Undo::Key(key)) => match self.by_key.get(&fingerprint(&[key])) {
                Some(place) => *place,
                None => {
                    self.barred.insert(fingerprint(&[key]));
                    return Ok((None, new.amount));
                }
            },
        };
        let undone = &self.list[place].effect;
        if undone.undone_by.is_some() {
            return Err(Refusal::AlreadyUndone);
        }
        let Some(whole) = undone.amount else { return Ok((Some(place), new.amount)) };
        let left = whole - undone.amount_undone;
        match new.amount {
            Some(amount) if amount > left => Err(Refusal::TooMuch { left }),
            amount => Ok((Some(place), Some(amount.unwrap_or(left)))),
        }
    }

    /// Remembers key and reference; says whether either was known.
    fn note(&mut self, effect: &Effect, place: usize) -> bool {
        let mut repeated = false;
        if let Some(key) = &effect.key {
            let key = fingerprint(&[key]);
            repeated |= self.by_key.contains_key(&key);
            self.by_key.entry(key).or_insert(place);
        }
        if let Some(reference) = &effect.reference {
            repeated |= !self.references.insert(fingerprint(&[&effect.kind, reference]));
        }
        repeated
    }

    /// An id that depends on seed and request only, unless the same request takes effect again.
    fn fresh_id(&self, new: &NewEffect, seed: u64) -> String {
        let key = new.key.as_deref().unwrap_or_default();
        let body = new.data.to_string();
        let mut draw = hash(seed, &[new.kind.as_bytes(), key.as_bytes(), body.as_bytes()]);
        loop {
            let id = format!("{}_{draw:016x}", new.prefix);
            if !self.by_id.contains_key(&id) {
                return id;
            }
            draw = draw.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(key: Option<&str>, reference: Option<&str>) -> NewEffect {
        NewEffect {
            prefix: "ch",
            kind: "charge".into(),
            key: key.map(Into::into),
            reference: reference.map(Into::into),
            ..NewEffect::default()
        }
    }

    #[test]
    fn an_effect_is_a_repeat_if_its_key_or_its_kind_and_reference_took_effect_before() {
        let mut effects = Effects::default();
        let mut repeated = |new| effects.add(new, Duration::ZERO, 1).unwrap().1;
        assert!(!repeated(charge(Some("k1"), Some("order-1"))));
        assert!(repeated(charge(Some("k1"), None)));
        assert!(repeated(charge(Some("k2"), Some("order-1"))));
        assert!(!repeated(NewEffect { kind: "refund".into(), ..charge(Some("k3"), Some("order-1")) }));
        assert!(!repeated(charge(None, None)));
        assert!(!repeated(charge(None, None)));
    }

    #[test]
    fn ids_are_the_same_in_another_run_of_the_simulator_and_unique_in_one() {
        let id =
            |effects: &mut Effects| effects.add(charge(Some("k"), None), Duration::ZERO, 1).unwrap().0.id;
        let (mut one, mut other) = (Effects::default(), Effects::default());
        let first = id(&mut one);
        assert_eq!(first, id(&mut other));
        assert_ne!(first, id(&mut one));
    }

    fn undo(of: Undo, amount: Option<i64>) -> NewEffect {
        NewEffect { prefix: "re", kind: "refund".into(), undo: Some(of), amount, ..NewEffect::default() }
    }

    #[test]
    fn a_charge_is_undone_once_all_of_it_is() {
        let mut effects = Effects::default();
        let mut add = |new| effects.add(new, Duration::ZERO, 1).map(|(effect, _)| effect);
        let done = add(NewEffect { amount: Some(100), ..charge(Some("k"), None) }).unwrap();
        let id = || Undo::Id(done.id.clone());
        add(undo(id(), Some(30))).unwrap();
        assert_eq!(add(undo(id(), Some(71))), Err(Refusal::TooMuch { left: 70 }));
        let rest = add(undo(id(), None)).unwrap();
        assert_eq!(rest.amount, Some(70));
        assert_eq!(add(undo(id(), None)), Err(Refusal::AlreadyUndone));
        assert_eq!(effects.by_id(&done.id).unwrap().undone_by, Some(rest.id));
    }

    #[test]
    fn a_key_that_was_cancelled_before_it_took_effect_never_takes_effect() {
        let mut effects = Effects::default();
        let mut add = |new| effects.add(new, Duration::ZERO, 1).map(|(effect, _)| effect);
        assert_eq!(add(undo(Undo::Key("k".into()), None)).unwrap().undoes, None);
        assert_eq!(add(charge(Some("k"), None)), Err(Refusal::Barred));
        assert!(add(charge(Some("k2"), None)).is_ok());
    }
}
