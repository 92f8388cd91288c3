//! An index made, or made to cover what its file has grown by.
//!
//! Memory is bounded whatever the size of the file and the length of its lines: one segment at a time, about 70 MiB. It is
//! written under a name of its own and then put in its place, so that nobody sees half of one, and of two who do so at
//! once the last one's stands.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::ids::{Found, Ids};
use super::segment::{self, BLOCK, MOST_BLOCKS, MOST_ENTRIES};
use super::sidecar::{self, Identity, Segment, Sidecar};
use super::{Trouble, is_there, key};
use crate::input::LONGEST_LINE;

const PIECE: usize = 1 << 20;
/// So many ids, each at least 22 letters between quotes, fit in a line that is not too long, and no more.
const MOST_IDS: usize = LONGEST_LINE / 24 + 1;
/// So many segments of about one size are made into one.
const ALIKE: usize = 16;

/// What became of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// Bytes of the file that are indexed: its whole lines.
    pub covered: u64,
    /// Bytes of the index.
    pub index: u64,
    /// Bytes of the file that were read for it now.
    pub read: u64,
}

/// How much of what is indexed already is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// As little as keeps the number of segments small.
    Little,
    /// All but whole segments, so that a file that grows no more has as few as can be.
    Parts,
}

/// Makes the index at `path` cover `data`, opened from `data_path`; goes on from `known`, an index that fits. `tell` hears how
/// many bytes have been read.
pub(super) fn build(
    (data_path, data): (&Path, &File),
    metadata: &Metadata,
    known: Option<&Sidecar>,
    path: &Path,
    again: Again,
    tell: &mut dyn FnMut(u64),
) -> Result<Option<Built>, Trouble> {
    let length = metadata.len();
    let segments = known.map_or(&[][..], |known| &known.segments);
    let covered = known.map_or(0, Sidecar::covered);
    let kept = &segments[..kept(segments, length, again)];
    let from = kept.last().map_or(0, |segment| segment.to);
    if from == length {
        let known = known.map(|known| Built { covered, index: known.length(), read: 0 });
        return Ok(known);
    }
    let mut temporary = Temporary::new(path).map_err(|source| Trouble::write(path, source))?;
    let mut out = Out { file: BufWriter::new(&temporary.file), segments: Vec::new(), at: 0 };
    let mut write = || -> Result<(), Trouble> {
        if let Some(known) = known {
            out.copy(known, kept).map_err(|source| Trouble::write(path, source))?;
        }
        let mut reading = Reading::new(from);
        let mut piece = vec![0; PIECE];
        while reading.at < length {
            let most = piece.len().min(usize::try_from(length - reading.at).unwrap_or(usize::MAX));
            let count = match data.read_at(&mut piece[..most], reading.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count.map_err(|source| Trouble::read(data_path, source))?,
            };
            if count == 0 {
                break;
            }
            reading
                .take(&piece[..count], &mut |made| out.add(made))
                .map_err(|source| Trouble::write(path, source))?;
            tell(count as u64);
        }
        reading.finish(&mut |made| out.add(made)).map_err(|source| Trouble::write(path, source))
    };
    write()?;
    let Some(last) = out.segments.last() else { return Ok(None) };
    let now_covered = last.to;
    if now_covered == covered && kept.len() == segments.len() {
        // It has grown by half a line.
        return Ok(known.map(|known| Built { covered, index: known.length(), read: length - from }));
    }
    let identity =
        Identity::of(data, metadata, now_covered).map_err(|source| Trouble::read(data_path, source))?;
    let trailer = sidecar::trailer(&out.segments, identity);
    let index = out.at + trailer.len() as u64;
    let written = out.file.write_all(&trailer).and_then(|()| out.file.flush());
    drop(out);
    written.map_err(|source| Trouble::write(path, source))?;
    is_there(path)?;
    temporary.put(path).map_err(|source| Trouble::write(path, source))?;
    Ok(Some(Built { covered: now_covered, index, read: length - from }))
}

/// How many of `segments` stay as they are when the file is `length` bytes long.
fn kept(segments: &[Segment], length: u64, again: Again) -> usize {
    let size = |segment: &Segment| segment.to - segment.from;
    let is_whole = |segment: &Segment| {
        // It is closed when one of both is full; pairs that were written twice are no longer counted then.
        let is_nearly = |count: u32, most: usize| count as usize >= most / 4 * 3;
        is_nearly(segment.blocks, MOST_BLOCKS) || is_nearly(segment.pairs, MOST_ENTRIES)
    };
    if again == Again::Parts {
        let parts = segments.iter().rev().take_while(|segment| !is_whole(segment)).count();
        // One part that covers all is as few as can be.
        let is_done = parts <= 1 && segments.last().is_some_and(|last| last.to == length);
        return if is_done { segments.len() } else { segments.len() - parts };
    }
    let mut kept = segments.len();
    if segments.last().is_some_and(|last| last.to == length) {
        return kept;
    }
    while kept + 1 >= ALIKE {
        let from = kept + 1 - ALIKE;
        let new = length - segments[from + ALIKE - 2].to;
        // A whole one is as large as it can be.
        let alike = segments[from..kept].iter().all(|one| !is_whole(one) && size(one) / ALIKE as u64 <= new);
        if !alike {
            break;
        }
        kept = from;
    }
    kept
}

/// A segment that was made: where in the file it lies, what it holds.
struct Made {
    segment: Segment,
    encoded: segment::Encoded,
}

/// An index that is being written.
struct Out<'f> {
    file: BufWriter<&'f File>,
    segments: Vec<Segment>,
    at: u64,
}

impl Out<'_> {
    /// Takes over the first segments of another one; if they were damaged they stay so, and are seen to be.
    fn copy(&mut self, known: &Sidecar, kept: &[Segment]) -> io::Result<()> {
        let bytes = kept.last().map_or(0, |segment| segment.at + segment.bytes());
        let mut from = known.file.try_clone()?;
        from.seek(SeekFrom::Start(0))?;
        if io::copy(&mut from.take(bytes), &mut self.file)? != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.segments.extend_from_slice(kept);
        self.at = bytes;
        Ok(())
    }

    fn add(&mut self, made: Made) -> io::Result<()> {
        let Made { segment, encoded } = made;
        let segment = Segment {
            at: self.at,
            groups: (encoded.directory.len() / segment::ENTRY) as u32,
            group_bytes: encoded.groups.len() as u32,
            hash_bits: encoded.hash_bits,
            table_crc: crc32fast::hash(&encoded.table),
            directory_crc: crc32fast::hash(&encoded.directory),
            ..segment
        };
        for part in [&encoded.table, &encoded.directory, &encoded.groups] {
            self.file.write_all(part)?;
        }
        self.at += segment.bytes();
        self.segments.push(segment);
        Ok(())
    }
}

/// A file that is being read into segments.
struct Reading {
    ids: Ids,
    /// Where the segment begins, in the file.
    from: u64,
    /// Where the current line begins.
    line: u64,
    /// How far the file was read.
    at: u64,
    /// Where the blocks begin, from the segment's beginning on; the last one is being filled.
    starts: Vec<u64>,
    pairs: Vec<u64>,
    /// How many of them are of blocks that are full.
    sorted: usize,
    /// How many of them are of lines that are whole.
    whole: usize,
    lines: u64,
    too_long: u64,
}

impl Reading {
    fn new(from: u64) -> Self {
        Self {
            ids: Ids::default(),
            from,
            line: from,
            at: from,
            starts: vec![0],
            pairs: Vec::new(),
            sorted: 0,
            whole: 0,
            lines: 0,
            too_long: 0,
        }
    }

    fn take(&mut self, piece: &[u8], made: &mut dyn FnMut(Made) -> io::Result<()>) -> io::Result<()> {
        let mut ids = std::mem::take(&mut self.ids);
        let mut outcome = Ok(());
        ids.read(piece, &mut |found| match found {
            Found::Id(id) => self.id(key::of(id)),
            Found::LineEnd(end) => {
                self.end_line(self.at + end as u64);
                if outcome.is_ok() && self.is_full() {
                    outcome = self.seal(made);
                }
            }
        });
        self.ids = ids;
        self.at += piece.len() as u64;
        outcome
    }

    fn id(&mut self, key: u64) {
        // A line that holds more is too long to be looked into, and must not take what memory there is.
        if self.pairs.len() - self.whole < MOST_IDS {
            self.pairs.push(segment::pair(key, self.starts.len() - 1));
        }
    }

    fn end_line(&mut self, end: u64) {
        match end - self.line > LONGEST_LINE as u64 {
            true => {
                self.too_long += 1;
                self.pairs.truncate(self.whole);
            }
            false => self.lines += 1,
        }
        self.whole = self.pairs.len();
        let block = self.starts.len() - 1;
        self.line = end;
        if end - self.from - self.starts[block] >= BLOCK {
            self.end_block();
            self.starts.push(end - self.from);
        }
    }

    fn end_block(&mut self) {
        let block = &mut self.pairs[self.sorted..];
        block.sort_unstable();
        let mut kept = self.sorted;
        for at in self.sorted..self.pairs.len() {
            if at == self.sorted || self.pairs[at] != self.pairs[kept - 1] {
                self.pairs[kept] = self.pairs[at];
                kept += 1;
            }
        }
        self.pairs.truncate(kept);
        (self.sorted, self.whole) = (kept, kept);
    }

    fn is_full(&self) -> bool {
        self.starts.len() > MOST_BLOCKS || self.pairs.len() >= MOST_ENTRIES
    }

    /// Makes a segment of the whole lines at the end of the file, if there are any.
    fn finish(mut self, made: &mut dyn FnMut(Made) -> io::Result<()>) -> io::Result<()> {
        self.pairs.truncate(self.whole);
        self.seal(made)
    }

    /// Makes a segment of the lines that were read since the last one.
    fn seal(&mut self, made: &mut dyn FnMut(Made) -> io::Result<()>) -> io::Result<()> {
        if self.line == self.from {
            return Ok(());
        }
        if self.starts.last() == Some(&(self.line - self.from)) {
            self.starts.pop();
        }
        self.pairs.sort_unstable();
        self.pairs.dedup();
        let segment = Segment {
            from: self.from,
            to: self.line,
            lines: self.lines,
            too_long: self.too_long,
            blocks: self.starts.len() as u32,
            pairs: self.pairs.len() as u32,
            ..Segment::default()
        };
        let encoded = segment::encode(&self.pairs, &self.starts);
        self.pairs.clear();
        let pairs = std::mem::take(&mut self.pairs);
        *self = Self { at: self.at, pairs, ..Self::new(self.line) };
        made(Made { segment, encoded })
    }
}

/// A file beside the place that it will be put in; gone if it is not.
struct Temporary {
    file: File,
    path: PathBuf,
    is_put: bool,
}

impl Temporary {
    fn new(place: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let mut name = std::ffi::OsString::from(".");
            name.push(place.file_name().unwrap_or_default());
            name.push(format!("-{}-{number}", std::process::id()));
            let path = place.with_file_name(name);
            match File::create_new(&path) {
                // In a container every process has the same number: an earlier one left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return Ok(Self { file: file?, path, is_put: false }),
            }
        }
    }

    fn put(&mut self, place: &Path) -> io::Result<()> {
        fs::rename(&self.path, place)?;
        self.is_put = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_put {
            // A file that is left behind has a name of its own and is read by nobody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of these sizes; [`WHOLE`] is a whole one.
    fn segments(sizes: &[u64]) -> Vec<Segment> {
        let mut to = 0;
        let of_size = |size: &u64| {
            let from = to;
            to += size;
            let blocks = if *size == WHOLE { MOST_BLOCKS as u32 } else { 1 };
            Segment { from, to, blocks, ..Segment::default() }
        };
        sizes.iter().map(of_size).collect()
    }

    const WHOLE: u64 = 1000;

    #[test]
    fn small_segments_are_made_into_one_before_they_are_many() {
        let check = |sizes: &[u64], new: u64, again: Again, expected: usize| {
            let length = sizes.iter().sum::<u64>() + new;
            assert_eq!(kept(&segments(sizes), length, again), expected, "{sizes:?} and {new}, {again:?}");
        };
        check(&[], 5, Again::Little, 0);
        check(&[4; 14], 4, Again::Little, 14);
        check(&[4; 15], 4, Again::Little, 0);
        check(&[4; 15], 0, Again::Little, 15);
        check(&[[64; 2].as_slice(), &[4; 15]].concat(), 4, Again::Little, 2);
        check(&[[64; 15].as_slice(), &[4; 15]].concat(), 4, Again::Little, 0);
        check(&[[640; 5].as_slice(), &[4; 15]].concat(), 4, Again::Little, 5);
        check(&[WHOLE; 20], 4, Again::Little, 20);
        check(&[WHOLE; 20], 4, Again::Parts, 20);
        check(&[WHOLE, 4, 4], 4, Again::Parts, 1);
        check(&[WHOLE, 4, 4], 0, Again::Parts, 1);
        check(&[WHOLE, 4], 0, Again::Parts, 2);
        check(&[4], 1, Again::Parts, 0);
        check(&[], 0, Again::Parts, 0);
    }
}
