//! What an index keeps of an id: its first bits, so that a prefix can be looked up, and some of a hash of all of it.
//!
//! The hash tells ids apart that begin alike: 64-bit ids filled up with zeros, ids that begin with the time.

use crate::id::{TraceId, Wanted};

/// The id's first bits: six hex digits.
pub(super) const FIRST: u32 = 24;
/// Bits of the hash.
pub(super) const HASH: u32 = 26;
const FIRST_DIGITS: usize = FIRST as usize / 4;

/// The key of `trace`: [`FIRST`] bits, then [`HASH`] bits.
pub(super) fn of(trace: TraceId) -> u64 {
    let bytes = u128::from_be_bytes(*trace.bytes());
    let (high, low) = ((bytes >> 64) as u64, bytes as u64);
    // The multipliers are those of the golden ratio and of SplitMix64: any odd ones that mix well would do, but these
    // are what the files hold.
    let mixed = (high.rotate_left(32) ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    high >> (64 - FIRST) << HASH | mixed >> (64 - HASH)
}

/// Keys from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Keys {
    /// That of `trace`.
    pub fn of(trace: TraceId) -> Self {
        let key = of(trace);
        Self { first: key, last: key }
    }

    /// Those of all traces that are `wanted`, and of some others.
    pub fn wanted(wanted: &Wanted) -> Self {
        let digits = match wanted {
            Wanted::Trace(trace) => return Self::of(*trace),
            Wanted::Prefix(digits) => &digits[..digits.len().min(FIRST_DIGITS)],
        };
        let unsaid = FIRST + HASH - 4 * digits.len() as u32;
        // Only hex digits make a prefix.
        let said = u64::from_str_radix(digits, 16).unwrap_or(0);
        Self { first: said << unsaid, last: said << unsaid | ((1 << unsaid) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_the_keys_of_all_ids_that_begin_so() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let key = of(TraceId::read(id).unwrap());
        assert_eq!(key >> HASH, 0x4b_f92f);
        for length in 4..32 {
            let Keys { first, last } = Keys::wanted(&id[..length].parse().unwrap());
            assert!((first..=last).contains(&key), "{length}");
            assert_eq!(last - first, (1 << (FIRST + HASH - 4 * length.min(6) as u32)) - 1, "{length}");
        }
        assert_eq!(Keys::wanted(&id.parse().unwrap()), Keys { first: key, last: key });
    }

    #[test]
    fn ids_that_begin_alike_have_keys_of_their_own() {
        let mut keys: Vec<u64> = (1..=10_000_u64)
            .map(|number| of(TraceId::read(&format!("{number:032x}")).unwrap()))
            .chain((0..10_000_u64).map(|number| {
                of(TraceId::read(&format!("5759e988{:08x}bd862e3fe1be46a9", number << 7)).unwrap())
            }))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert!(keys.len() >= 19_990, "{}", keys.len());
    }
}
