//! One part of a file in an index: which of its blocks hold which ids.
//!
//! A block is some whole lines, about [`BLOCK`] bytes; a segment up to [`MOST_BLOCKS`] blocks and [`MOST_ENTRIES`]
//! pairs of a key ([`super::key`]) and a block. Its form, numbers with the lowest byte first:
//!
//! ```text
//! table      where each block begins, from the segment's beginning on: u64 each
//! directory  each group's first key: u64, where it begins, from the end of the directory on: u32, its CRC-32: u32
//! groups     u8 bits of a key's step, u8 bits of a block's step, u8 number of keys less 1, then bits:
//!            of each key  golomb  its step from the key before it; not of the first one
//!                         gamma   how many blocks
//!                         14 bits the first block, golomb each further one's step less 1
//! ```
//!
//! Of a key's hash only so many bits are kept as tell the keys that begin alike apart. Pure; what was damaged is `None`.

use super::bits::{Reader, Writer};
use super::key::{self, Keys};

/// Bytes of a block, about: less is read in a few dozen microseconds, and more blocks make a larger index.
/// Tests' files are small.
pub(super) const BLOCK: u64 = if cfg!(test) { 1 << 10 } else { 64 << 10 };
/// Blocks of a segment: as many as [`BLOCK_BITS`] count, so that it covers about 1 GiB.
pub(super) const MOST_BLOCKS: usize = 1 << BLOCK_BITS;
/// Pairs of a key and a block in a segment: 32 MiB while it is made.
pub(super) const MOST_ENTRIES: usize = if cfg!(test) { 1 << 6 } else { 4 << 20 };
const BLOCK_BITS: u32 = 64 - key::FIRST - key::HASH;
/// Keys of a group: read and decoded together.
const GROUP: usize = 256;
/// Bits of the hash beyond those that the ids which begin alike need: one of 8 looked-up ids that begin as they do and are not
/// there costs a block read for nothing.
const SPARE: u32 = 3;
const HEAD: usize = 3;
/// Bytes of a directory's entry.
pub(super) const ENTRY: usize = 16;

/// A key and a block in one number, in the order of keys.
pub(super) fn pair(key: u64, block: usize) -> u64 {
    key << BLOCK_BITS | block as u64
}

/// A segment's bytes, and what is said about it elsewhere.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) table: Vec<u8>,
    pub(super) directory: Vec<u8>,
    pub(super) groups: Vec<u8>,
    pub(super) hash_bits: u32,
}

/// Encodes `pairs`, sorted, each once; `starts` says where the blocks begin.
pub(super) fn encode(pairs: &[u64], starts: &[u64]) -> Encoded {
    let hash_bits = hash_bits(pairs);
    let dropped = key::HASH - hash_bits;
    let key_of = |pair: &u64| pair >> BLOCK_BITS >> dropped;
    let mut encoded = Encoded {
        table: starts.iter().flat_map(|start| start.to_le_bytes()).collect(),
        directory: Vec::new(),
        groups: Vec::new(),
        hash_bits,
    };
    let mut group: Vec<(u64, Vec<u16>)> = Vec::new();
    for of_key in pairs.chunk_by(|a, b| key_of(a) == key_of(b)) {
        if group.len() == GROUP {
            encoded.close(&group);
            group.clear();
        }
        // Ids whose keys became one lie in blocks in any order.
        let mut blocks: Vec<u16> = of_key.iter().map(|pair| (pair % (1 << BLOCK_BITS)) as u16).collect();
        blocks.sort_unstable();
        blocks.dedup();
        group.push((key_of(&of_key[0]), blocks));
    }
    encoded.close(&group);
    encoded
}

/// Bits of the hash that tell those keys apart that begin alike.
fn hash_bits(pairs: &[u64]) -> u32 {
    let first = |pair: &u64| pair >> BLOCK_BITS >> key::HASH;
    let keys = |alike: &[u64]| alike.chunk_by(|a, b| a >> BLOCK_BITS == b >> BLOCK_BITS).count();
    let most = pairs.chunk_by(|a, b| first(a) == first(b)).map(keys).max().unwrap_or(1);
    (most.next_power_of_two().ilog2() + SPARE).min(key::HASH)
}

impl Encoded {
    fn close(&mut self, group: &[(u64, Vec<u16>)]) {
        let Some((first, _)) = group.first() else { return };
        let steps = || group.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let block_steps = || {
            let steps =
                |blocks: &[u16]| blocks.windows(2).map(|pair| u64::from(pair[1] - pair[0] - 1)).collect();
            group.iter().flat_map(move |(_, blocks)| -> Vec<u64> { steps(blocks) })
        };
        let (of_key, of_block) = (usual_bits(steps()), usual_bits(block_steps()));
        let mut bits = Writer::default();
        let mut before = *first;
        for (at, (key, blocks)) in group.iter().enumerate() {
            if at > 0 {
                bits.put_golomb(key - before, of_key);
            }
            before = *key;
            bits.put_gamma(blocks.len() as u64);
            bits.put(u64::from(blocks[0]), BLOCK_BITS);
            blocks.windows(2).for_each(|pair| bits.put_golomb(u64::from(pair[1] - pair[0] - 1), of_block));
        }
        let head = [of_key as u8, of_block as u8, (group.len() - 1) as u8];
        let bytes = [&head[..], &bits.finish()].concat();
        self.directory.extend_from_slice(&first.to_le_bytes());
        self.directory.extend_from_slice(&(self.groups.len() as u32).to_le_bytes());
        self.directory.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        self.groups.extend_from_slice(&bytes);
    }
}

/// Bits of the mean of `steps`.
fn usual_bits(steps: impl Iterator<Item = u64>) -> u32 {
    let (sum, count) = steps.fold((0_u128, 0), |(sum, count), step| (sum + u128::from(step), count + 1));
    (sum / count.max(1)).checked_ilog2().unwrap_or(0)
}

/// Where a group lies behind the directory, and its CRC-32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) crc: u32,
    first: u64,
}

/// The keys as this segment keeps them.
fn kept(keys: Keys, hash_bits: u32) -> Option<Keys> {
    let dropped = key::HASH.checked_sub(hash_bits)?;
    Some(Keys { first: keys.first >> dropped, last: keys.last >> dropped })
}

/// The groups that may hold `keys`; `end` is where the last group ends.
pub(super) fn groups(directory: &[u8], end: usize, keys: Keys, hash_bits: u32) -> Option<Vec<Group>> {
    let keys = kept(keys, hash_bits)?;
    let count = directory.len() / ENTRY;
    let entry = |at: usize| directory.get(at * ENTRY..)?.first_chunk::<ENTRY>();
    let first = |at: usize| Some(u64::from_le_bytes(*entry(at)?.first_chunk()?));
    let from = |at: usize| match at == count {
        true => Some(end),
        false => Some(u32::from_le_bytes(*entry(at)?[8..].first_chunk()?) as usize),
    };
    // The last group that begins at or before the first key.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = usize::midpoint(low, high);
        if first(middle)? <= keys.first { low = middle + 1 } else { high = middle }
    }
    let mut found = Vec::new();
    for at in low.saturating_sub(1)..count {
        let group = Group {
            from: from(at)?,
            to: from(at + 1)?,
            crc: u32::from_le_bytes(*entry(at)?.last_chunk()?),
            first: first(at)?,
        };
        if group.first > keys.last {
            break;
        }
        if group.from > group.to || group.to > end {
            return None;
        }
        found.push(group);
    }
    Some(found)
}

/// Adds the blocks of `keys` in `group`, whose bytes these are, to `blocks`.
pub(super) fn blocks(
    group: Group,
    bytes: &[u8],
    keys: Keys,
    hash_bits: u32,
    blocks: &mut Vec<u16>,
) -> Option<()> {
    let keys = kept(keys, hash_bits)?;
    if crc32fast::hash(bytes) != group.crc {
        return None;
    }
    let [of_key, of_block, more] = *bytes.first_chunk::<HEAD>()?;
    let mut bits = Reader::new(&bytes[HEAD..]);
    let mut key = group.first;
    for at in 0..=usize::from(more) {
        if at > 0 {
            key = key.checked_add(bits.golomb(u32::from(of_key))?)?;
        }
        let is_one = (keys.first..=keys.last).contains(&key);
        let count = bits.gamma()?;
        let mut block = bits.take(BLOCK_BITS)?;
        for at in 0..count {
            if at > 0 {
                block = block.checked_add(bits.golomb(u32::from(of_block))?)?.checked_add(1)?;
            }
            let block = u16::try_from(block).ok().filter(|block| usize::from(*block) < MOST_BLOCKS)?;
            if is_one {
                blocks.push(block);
            }
        }
        if key > keys.last {
            break;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TraceId;

    /// The blocks of `keys`, and how many others its groups hold.
    fn found(encoded: &Encoded, keys: Keys) -> Option<Vec<u16>> {
        let mut found = Vec::new();
        for group in groups(&encoded.directory, encoded.groups.len(), keys, encoded.hash_bits)? {
            let bytes = encoded.groups.get(group.from..group.to)?;
            blocks(group, bytes, keys, encoded.hash_bits, &mut found)?;
        }
        found.sort_unstable();
        Some(found)
    }

    /// Ids as programs make them: random ones, 64-bit ones filled up with zeros, ones that begin with the time.
    fn ids(count: u64) -> Vec<TraceId> {
        let random = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.rotate_left(17);
        let texts = (1..=count).flat_map(|number| {
            [
                format!("{:016x}{:016x}", random(number), random(number + 7)),
                format!("{:032x}", random(number)),
                format!("{:08x}{:08x}{:016x}", 0x5759_e988 + number / 100, 0, random(number)),
            ]
        });
        texts.filter_map(|text| TraceId::read(&text)).collect()
    }

    #[test]
    fn every_id_is_found_where_it_is() {
        for count in [0, 1, 3, 100, 3000] {
            let ids = ids(count);
            let mut pairs: Vec<u64> = ids
                .iter()
                .enumerate()
                .flat_map(|(at, id)| [at % 500, at % 500 + 3, 16_383].map(|block| pair(key::of(*id), block)))
                .collect();
            pairs.sort_unstable();
            pairs.dedup();
            let encoded = encode(&pairs, &[0, 1]);
            for (at, id) in ids.iter().enumerate() {
                let found = found(&encoded, Keys::of(*id)).unwrap();
                for block in [at % 500, at % 500 + 3, 16_383] {
                    assert!(found.contains(&(block as u16)), "{id}: {block} in {found:?}");
                }
            }
            let mut hits = 0;
            for number in 0..1000_u64 {
                let id = TraceId::read(&format!("{:016x}{:016x}", number << 20, !number)).unwrap();
                hits += usize::from(!found(&encoded, Keys::of(id)).unwrap().is_empty());
            }
            assert!(hits < 250, "{hits} of 1000 ids that are not there would be looked for");
            let all = found(&encoded, Keys { first: 0, last: u64::MAX >> BLOCK_BITS }).unwrap();
            assert!(all.len() >= ids.len(), "{} of {}", all.len(), ids.len());
        }
    }

    #[test]
    fn random_ids_take_little_room() {
        let count = 100_000;
        let random =
            |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ (number << 40);
        let mut pairs: Vec<u64> = (1..=count)
            .filter_map(|number| TraceId::read(&format!("{:016x}{:016x}", random(number), number)))
            .enumerate()
            .flat_map(|(at, id)| [0, 1, 5].map(|more| pair(key::of(id), at / 10 + more)))
            .collect();
        pairs.sort_unstable();
        let encoded = encode(&pairs, &[]);
        let bits = (encoded.directory.len() + encoded.groups.len()) * 8;
        let of_id = bits as f64 / count as f64;
        assert!(of_id < 48.0, "{of_id} bits for an id in three blocks");
    }
}
