//! The file beside a file: which parts of it are indexed, whose index it is, and where in it an id is looked up.
//!
//! Its form: the segments' bytes ([`super::segment`]) one behind another, then what is said of each segment, then the
//! trailer, so that it can be written in one go. Numbers with the lowest byte first:
//!
//! ```text
//! of each segment  from, to: the bytes of the file that it covers; lines; lines too long; where it begins here: u64 each
//!                  blocks; pairs of key and block; groups; bytes of groups; bits of hashes; CRC-32 of the table; of
//!                  the directory: u32 each
//! trailer          "otlp-idx"; version, segments: u32 each; inode, time of the last change in nanoseconds: u64 each;
//!                  CRC-32 of the covered part's first 4 KiB and of its last: u32 each; this file's length: u64;
//!                  CRC-32 of all from the first segment's words to here: u32
//! ```
//!
//! Every part carries a CRC-32 that is checked whenever it is read: what was damaged is [`Unusable`], not believed.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::key::Keys;
use super::segment::{self, ENTRY, MOST_BLOCKS};

const MAGIC: [u8; 8] = *b"otlp-idx";
/// Of this form: an index of another one is made anew.
const VERSION: u32 = 1;
const TRAILER: usize = 52;
const SEGMENT: usize = 68;
/// Bytes at either end of the covered part by which it is known again.
const SAMPLE: u64 = 4096;

/// Why an index is of no use.
#[derive(Debug)]
pub(super) enum Unusable {
    /// There is none.
    Missing,
    /// It cannot be read, was damaged, or has another form.
    Damaged,
}

/// Which file it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    inode: u64,
    modified: i64,
    begins: u32,
    ends: u32,
}

impl Identity {
    /// That of `data` as far as `covered`, `metadata` being what it was before it was read.
    pub(super) fn of(data: &File, metadata: &Metadata, covered: u64) -> io::Result<Self> {
        let size = SAMPLE.min(covered);
        let sample = |from: u64| {
            let mut bytes = vec![0; size as usize];
            data.read_exact_at(&mut bytes, from).map(|()| crc32fast::hash(&bytes))
        };
        Ok(Self {
            inode: metadata.ino(),
            modified: modified(metadata),
            begins: sample(0)?,
            ends: sample(covered - size)?,
        })
    }
}

/// In nanoseconds; only compared.
fn modified(metadata: &Metadata) -> i64 {
    metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec())
}

/// What is said of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) lines: u64,
    pub(super) too_long: u64,
    /// Where it begins in the index.
    pub(super) at: u64,
    pub(super) blocks: u32,
    pub(super) pairs: u32,
    pub(super) groups: u32,
    pub(super) group_bytes: u32,
    pub(super) hash_bits: u32,
    pub(super) table_crc: u32,
    pub(super) directory_crc: u32,
}

impl Segment {
    fn table_bytes(&self) -> u64 {
        u64::from(self.blocks) * 8
    }

    fn directory_bytes(&self) -> u64 {
        u64::from(self.groups) * ENTRY as u64
    }

    /// How many bytes of the index it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.table_bytes() + self.directory_bytes() + u64::from(self.group_bytes)
    }

    fn write(&self, out: &mut Vec<u8>) {
        for number in [self.from, self.to, self.lines, self.too_long, self.at] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sizes = [self.blocks, self.pairs, self.groups, self.group_bytes];
        let small = sizes.into_iter().chain([self.hash_bits, self.table_crc, self.directory_crc]);
        small.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let large = |at: usize| Some(u64::from_le_bytes(*bytes.get(at * 8..)?.first_chunk()?));
        let small = |at: usize| Some(u32::from_le_bytes(*bytes.get(40 + at * 4..)?.first_chunk()?));
        Some(Self {
            from: large(0)?,
            to: large(1)?,
            lines: large(2)?,
            too_long: large(3)?,
            at: large(4)?,
            blocks: small(0)?,
            pairs: small(1)?,
            groups: small(2)?,
            group_bytes: small(3)?,
            hash_bits: small(4)?,
            table_crc: small(5)?,
            directory_crc: small(6)?,
        })
    }
}

/// Whether `path` is an index that this program made, of whatever version and however damaged: a file that ends in a
/// trailer. A form to come keeps its mark in this place.
///
/// # Errors
/// It cannot be read, or is not there.
pub(super) fn is_ours(path: &Path) -> io::Result<bool> {
    // Not what a link points to, and opening a pipe would wait for whoever writes to it.
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(false);
    }
    let file = File::open(path)?;
    let Some(at) = file.metadata()?.len().checked_sub(TRAILER as u64) else { return Ok(false) };
    let mut mark = [0; MAGIC.len()];
    file.read_exact_at(&mut mark, at)?;
    Ok(mark == MAGIC)
}

/// What follows the last segment's bytes in an index of `segments`.
pub(super) fn trailer(segments: &[Segment], identity: Identity) -> Vec<u8> {
    let mut bytes = Vec::new();
    segments.iter().for_each(|segment| segment.write(&mut bytes));
    let behind = segments.last().map_or(0, |segment| segment.at + segment.bytes());
    let length = behind + (bytes.len() + TRAILER) as u64;
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(segments.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&identity.inode.to_le_bytes());
    bytes.extend_from_slice(&identity.modified.to_le_bytes());
    bytes.extend_from_slice(&identity.begins.to_le_bytes());
    bytes.extend_from_slice(&identity.ends.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// An index that was opened; only what it says of its segments has been read.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) file: File,
    pub(super) segments: Vec<Segment>,
    identity: Identity,
    length: u64,
}

impl Sidecar {
    pub(super) fn open(path: &Path) -> Result<Self, Unusable> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Missing),
            opened => opened.map_err(|_| Unusable::Damaged)?,
        };
        Self::read(file).ok_or(Unusable::Damaged)
    }

    fn read(file: File) -> Option<Self> {
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        let length = metadata.len();
        let trailer = read(&file, length.checked_sub(TRAILER as u64)?, TRAILER)?;
        let small = |at: usize| Some(u32::from_le_bytes(*trailer.get(at..)?.first_chunk()?));
        let large = |at: usize| Some(u64::from_le_bytes(*trailer.get(at..)?.first_chunk()?));
        if trailer[..8] != MAGIC || small(8)? != VERSION || large(40)? != length {
            return None;
        }
        let words = u64::from(small(12)?) * SEGMENT as u64;
        let begin = (length - TRAILER as u64).checked_sub(words)?;
        let words = read(&file, begin, usize::try_from(words).ok()?)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&words);
        crc.update(&trailer[..TRAILER - 4]);
        if crc.finalize() != small(TRAILER - 4)? {
            return None;
        }
        let segments: Vec<Segment> = words.chunks_exact(SEGMENT).map(Segment::read).collect::<Option<_>>()?;
        let identity =
            Identity { inode: large(16)?, modified: large(24)? as i64, begins: small(32)?, ends: small(36)? };
        are_in_order(&segments, begin)?;
        Some(Self { file, segments, identity, length })
    }

    /// So many bytes of the file are indexed: whole lines.
    pub(super) fn covered(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.to)
    }

    pub(super) fn inode(&self) -> u64 {
        self.identity.inode
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether it is the index of `data`, which has not changed since but for growing.
    ///
    /// What is not seen: bytes in the middle of a file that were written over in place, if it has grown since as well.
    pub(super) fn fits(&self, data: &File, metadata: &Metadata) -> bool {
        let covered = self.covered();
        let Ok(now) = data.metadata() else { return false };
        // It was made after the file was looked at, and of more of it.
        let metadata = if metadata.len() < covered { &now } else { metadata };
        if metadata.ino() != self.identity.inode || metadata.len() < covered {
            return false;
        }
        if metadata.len() == covered {
            return modified(metadata) == self.identity.modified;
        }
        // Whatever cannot be read does not fit.
        Identity::of(data, metadata, covered)
            .is_ok_and(|found| (found.begins, found.ends) == (self.identity.begins, self.identity.ends))
    }

    /// The ranges of the file in which lines may concern `keys`, in order: whole lines each. `None`: it was damaged.
    pub(super) fn find(&self, keys: &[Keys]) -> Option<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for segment in &self.segments {
            for range in self.find_in(segment, keys)? {
                match ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => ranges.push(range),
                }
            }
        }
        Some(ranges)
    }

    fn find_in(&self, segment: &Segment, keys: &[Keys]) -> Option<Vec<Range<u64>>> {
        let part = |from: u64, bytes: u64| read(&self.file, segment.at + from, usize::try_from(bytes).ok()?);
        let whole = |from, bytes, crc| part(from, bytes).filter(|bytes| crc32fast::hash(bytes) == crc);
        let directory = whole(segment.table_bytes(), segment.directory_bytes(), segment.directory_crc)?;
        let behind = segment.table_bytes() + segment.directory_bytes();
        let mut blocks = Vec::new();
        for keys in keys {
            for group in segment::groups(&directory, segment.group_bytes as usize, *keys, segment.hash_bits)?
            {
                let bytes = part(behind + group.from as u64, (group.to - group.from) as u64)?;
                segment::blocks(group, &bytes, *keys, segment.hash_bits, &mut blocks)?;
            }
        }
        if blocks.is_empty() {
            return Some(Vec::new());
        }
        blocks.sort_unstable();
        blocks.dedup();
        let table = whole(0, segment.table_bytes(), segment.table_crc)?;
        let start = |block: usize| match block == segment.blocks as usize {
            true => Some(segment.to),
            false => segment.from.checked_add(u64::from_le_bytes(*table.get(block * 8..)?.first_chunk()?)),
        };
        let range = |block: u16| Some(start(block.into())?..start(usize::from(block) + 1)?);
        let ranges: Option<Vec<_>> = blocks.into_iter().map(range).collect();
        ranges.filter(|ranges| ranges.iter().all(|range| range.start < range.end && range.end <= segment.to))
    }
}

/// Whether the segments follow one another from the file's beginning on, and lie in the index one behind another up to `end`.
fn are_in_order(segments: &[Segment], end: u64) -> Option<()> {
    let (mut covered, mut at) = (0, 0);
    for segment in segments {
        let is_next = segment.from == covered && segment.at == at && segment.to > segment.from;
        if !is_next || segment.blocks as usize > MOST_BLOCKS {
            return None;
        }
        covered = segment.to;
        at = at.checked_add(segment.bytes())?;
    }
    (at == end).then_some(())
}

/// `None` if it is not there.
fn read(file: &File, at: u64, bytes: usize) -> Option<Vec<u8>> {
    // Sizes that were read from a file are believed only as far as the file has room for them.
    let room = file.metadata().ok()?.len().checked_sub(at)?;
    if bytes as u64 > room {
        return None;
    }
    let mut read = vec![0; bytes];
    file.read_exact_at(&mut read, at).ok()?;
    Some(read)
}
