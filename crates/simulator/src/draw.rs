//! Chance that can be repeated: every draw is a hash of the seed and of what it is drawn for.

use std::sync::atomic::{AtomicU16, Ordering};

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Hashes parts into one number, each part's length included.
pub(crate) fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    parts.iter().fold(seed, |state, part| {
        xxh3_64_with_seed(part, state.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(part.len() as u64))
    })
}

/// Stands for texts where many must be remembered: among millions, no two meet in 128 bits.
pub(crate) fn fingerprint(texts: &[&str]) -> u128 {
    texts
        .iter()
        .fold(0, |state: u128, text| xxh3_128_with_seed(text.as_bytes(), state as u64).wrapping_add(state))
}

/// Hashes a number into another that shares nothing visible with it.
pub(crate) fn mix(seed: u64, salt: u64) -> u64 {
    hash(seed, &[&salt.to_le_bytes()])
}

/// A number from 0 up to, but never, 1.
pub(crate) fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// Counts how often each identity came by, in fixed memory.
///
/// Two identities that share a slot share a count: their next draws differ from what they would have been alone, and
/// nothing else does.
#[derive(Debug)]
pub(crate) struct Occurrences(Box<[AtomicU16]>);

impl Occurrences {
    const SLOTS: usize = 1 << 20;

    pub(crate) fn new() -> Self {
        Occurrences((0..Self::SLOTS).map(|_| AtomicU16::new(0)).collect())
    }

    /// How often this identity came by before.
    pub(crate) fn next(&self, identity: u64) -> u16 {
        self.0[identity as usize % Self::SLOTS].fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted_into_one_another() {
        assert_ne!(hash(1, &[b"ab", b"c"]), hash(1, &[b"a", b"bc"]));
        assert_eq!(hash(1, &[b"ab", b"c"]), hash(1, &[b"ab", b"c"]));
    }

    #[test]
    fn units_spread_over_the_whole_interval() {
        let mean = (0..10_000).map(|n| unit(mix(7, n))).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
