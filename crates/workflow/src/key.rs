//! Idempotency keys: readable, the same on every attempt, replay and engine.

use xxhash_rust::xxh3::xxh3_128;

use crate::{RunId, WorkflowId};

/// The longest key, in bytes; Stripe's limit.
pub const KEY_BYTES_MAX: usize = 255;

/// The part of the keys that all steps of a run share: `{workflow_id}:{run}`.
pub fn key_base(workflow_id: &WorkflowId, run: RunId) -> String {
    format!("{workflow_id}:{run}")
}

/// The key of a step: `{base}:{step}`, with `#n` for the n-th use of the step's name from the second on.
///
/// Beyond [`KEY_BYTES_MAX`] bytes the tail is replaced by its hash.
///
/// ```
/// use midwatch_workflow::step_key;
/// assert_eq!(step_key("order-42:0192", "charge_card", 1), "order-42:0192:charge_card");
/// assert_eq!(step_key("order-42:0192", "charge_card", 2), "order-42:0192:charge_card#2");
/// ```
pub fn step_key(base: &str, step: &str, nth: u32) -> String {
    let mut key = String::with_capacity(base.len() + step.len() + 4);
    key.push_str(base);
    key.push(':');
    key.push_str(step);
    if nth > 1 {
        key.push('#');
        key.push_str(&nth.to_string());
    }
    if key.len() <= KEY_BYTES_MAX { key } else { hashed_tail(&key) }
}

/// The key of one attempt, for receivers that must see every attempt as new.
pub fn attempt_key(step_key: &str, attempt: u32) -> String {
    let key = format!("{step_key}@{attempt}");
    if key.len() <= KEY_BYTES_MAX { key } else { hashed_tail(&key) }
}

fn hashed_tail(key: &str) -> String {
    let hash = format!("~{:032x}", xxh3_128(key.as_bytes()));
    let kept = key.floor_char_boundary(KEY_BYTES_MAX - hash.len());
    format!("{}{hash}", &key[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_cut_to_the_limit_and_stays_distinct() {
        let base = "é".repeat(140);
        let (one, two) = (step_key(&base, "a", 1), step_key(&base, "b", 1));
        assert!(one.len() <= KEY_BYTES_MAX && two.len() <= KEY_BYTES_MAX);
        assert_ne!(one, two);
        assert!(attempt_key(&one, 3).len() <= KEY_BYTES_MAX);
    }
}
