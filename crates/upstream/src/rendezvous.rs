//! Which replica a key belongs to: rendezvous hashing (highest random weight; Thaler, Ravishankar 1998), with bounded loads
//! (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016) where a [`LoadFactor`] is set.
//!
//! Every key has an order of its own over all replicas, and belongs to the first of those there are. Promises: a replica
//! that goes or comes moves only the keys that belong to it, each to where its own order says. With a factor `f`, a
//! replica takes a request only while it then has at most `ceil(f * (requests of all + 1) / replicas)`, otherwise the next
//! in the key's order does; with equal loads, and so when all is idle, every key is where it belongs. Refuses: knowing
//! which replicas a request may go to (see `pick`), and counting: two threads that pick at once see the same loads, so
//! that the bound may be passed by as many requests as other threads pick in that moment.

use std::{fmt, num::ParseIntError, str::FromStr};

use crate::pick::View;

/// How uneven the loads of replicas that are picked by key may be: off, or a ratio from 1 to 100 in steps of 0.01.
///
/// A factor makes one key have several replicas. Where they are caches, each keeps what the key stands for: right only
/// if a write through one of them drops it from all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadFactor {
    /// At least 100, so that there is always a replica within the bound; `None`: no bound.
    percent: Option<u32>,
}

/// A text that is no [`LoadFactor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `off`, or a number from 1 to 100 with at most two decimals: `1.25`")]
pub struct LoadFactorError;

impl LoadFactor {
    /// No bound: each key is at one replica, whatever its load.
    pub const OFF: LoadFactor = LoadFactor { percent: None };

    /// Whether one more request at a replica with `load` is within the bound. `all` is the load of the `count` replicas
    /// that the request may go to, this one included.
    fn admits(self, load: u32, all: u64, count: u64) -> bool {
        // load + 1 <= ceil(percent / 100 * (all + 1) / count), in whole numbers.
        self.percent.is_none_or(|percent| u64::from(load) * count * 100 < u64::from(percent) * (all + 1))
    }
}

impl FromStr for LoadFactor {
    type Err = LoadFactorError;

    fn from_str(text: &str) -> Result<LoadFactor, LoadFactorError> {
        if text == "off" {
            return Ok(LoadFactor::OFF);
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 3) || !digits(decimals, 2) {
            return Err(LoadFactorError);
        }
        let percent = format!("{whole}{decimals:0<2}").parse().map_err(|_: ParseIntError| LoadFactorError)?;
        match percent {
            100..=10_000 => Ok(LoadFactor { percent: Some(percent) }),
            _ => Err(LoadFactorError),
        }
    }
}

impl fmt::Display for LoadFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.percent {
            None => f.write_str("off"),
            Some(percent) => write!(f, "{}", f64::from(percent) / 100.0),
        }
    }
}

/// The one of `candidates` that takes a request with this key; the number is handed back as it came.
///
/// Without a factor it is the key's own, which may be full: the request waits there. With one, a full replica comes after
/// those that have room: another may have the key as well.
pub(crate) fn choose<'a>(
    key: u64,
    factor: LoadFactor,
    candidates: impl Iterator<Item = (usize, &'a View)> + Clone,
) -> Option<usize> {
    let loads = candidates.clone().map(|(_, view)| u64::from(view.load));
    let (all, count) = loads.fold((0, 0), |(all, count), load| (all + load, count + 1));
    let rank = |view: &View| {
        let roomy = factor == LoadFactor::OFF || !view.full;
        (factor.admits(view.load, all, count), roomy, weight(key, view.id))
    };
    candidates.max_by_key(|(_, view)| rank(view)).map(|(index, _)| index)
}

/// The replicas by this are the key's order: when one goes, the others stay as they are.
fn weight(key: u64, id: u64) -> u64 {
    mix(key ^ mix(id))
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
