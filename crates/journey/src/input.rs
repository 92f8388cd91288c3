//! Paths → blocks of whole lines: directories, files, standard input, gzip or not.
//!
//! Reading again gives only what has been written since: files may grow, be rotated and be packed while they are read.
//! Memory is bounded by the longest line ([`LONGEST_LINE`]), whatever the size of the files. Nothing is written.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use memchr::{memchr, memrchr};

use crate::index::{Finder, Keys};
use crate::scan::count_lines;

/// A line that is longer is skipped and counted: far beyond any batch that a Collector makes.
pub const LONGEST_LINE: usize = 256 << 20;
const BLOCK: usize = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A place that was named and cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct Unreadable {
    /// The place.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// How much was read, and what could not be.
#[derive(Debug, Default)]
pub struct Tally {
    /// Files read at least in part, standard input included.
    pub files: u64,
    /// Lines read, whatever they hold.
    pub lines: u64,
    /// Lines longer than [`LONGEST_LINE`].
    pub too_long: u64,
    /// Files that end in the middle of their packed data.
    pub cut_short: u64,
    /// Files among others that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Indexes that were damaged or do not fit their files, which were read whole instead.
    pub unfit: Vec<PathBuf>,
}

/// The places to read from, and how far each file in them has been read.
#[derive(Debug)]
pub struct Input {
    places: Vec<PathBuf>,
    read: HashMap<(u64, u64), Progress>,
    buffer: Vec<u8>,
    tally: Tally,
    has_read_stdin: bool,
    longest_line: usize,
    /// What is looked for, if not all.
    keys: Option<Vec<Keys>>,
    indexes: Finder,
    /// Whether packed files are passed over.
    is_of_growing: bool,
    /// Of growing ones the files that were named: what is written to one until it is renamed is read from it.
    held: HashMap<PathBuf, File>,
    /// Whether what is there now is passed over.
    skips: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    offset: u64,
    /// Packed files are read once: nobody appends to them.
    is_packed: bool,
}

impl Input {
    /// Reads from `places`: directories, files, and `-` for standard input. A file that is reached twice is read once.
    pub fn new(places: Vec<PathBuf>) -> Self {
        Self {
            places,
            read: HashMap::new(),
            buffer: vec![0; BLOCK],
            tally: Tally::default(),
            has_read_stdin: false,
            longest_line: LONGEST_LINE,
            keys: None,
            indexes: Finder::default(),
            is_of_growing: false,
            held: HashMap::new(),
            skips: false,
        }
    }

    /// The same of files that grow: packed ones, which hold what was written long ago, are passed over.
    pub fn growing(places: Vec<PathBuf>) -> Self {
        Self { is_of_growing: true, ..Self::new(places) }
    }

    /// Counts all whole lines that are there now as read; standard input is read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn skip(&mut self) -> Result<(), Unreadable> {
        self.skips = true;
        let skipped = self.read(&mut |_, _| true);
        self.skips = false;
        skipped
    }

    /// From now on only lines that may concern `keys` need be given. Where a file has an index, the rest of it is not read.
    pub fn look_for(&mut self, keys: Vec<Keys>) {
        self.keys = Some(keys);
    }

    /// How much has been read until now.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Forgets what has been read, so that everything is read again; standard input cannot be.
    pub fn rewind(&mut self) {
        self.read.clear();
        self.tally = Tally::default();
    }

    /// Gives everything that was not read yet to `visit`, in blocks of whole lines. A last line without its end is
    /// given with `false`: `visit` says whether it was understood; if not, it is read again next time.
    ///
    /// # Errors
    /// A named place is not there or cannot be opened. A file that was found in a directory is counted instead.
    pub fn read(&mut self, visit: &mut dyn FnMut(&[u8], bool) -> bool) -> Result<(), Unreadable> {
        self.tally.unreadable.clear();
        for place in self.places.clone() {
            if place.as_os_str() == "-" {
                if !std::mem::replace(&mut self.has_read_stdin, true) {
                    self.stream(Box::new(io::stdin()), &place, visit)?;
                }
                continue;
            }
            let unreadable = |source| Unreadable { path: place.clone(), source };
            if let Some(held) = self.held.get(&place) {
                // What was written to it before it was renamed, if it was.
                let held = held.try_clone().map_err(unreadable)?;
                self.opened(held, &place, visit)?;
            }
            let metadata = fs::metadata(&place).map_err(unreadable)?;
            if !metadata.is_dir() {
                self.file(&place, visit)?;
                if self.is_of_growing {
                    self.held.insert(place.clone(), File::open(&place).map_err(unreadable)?);
                }
                continue;
            }
            for path in telemetry_files(&place).map_err(unreadable)? {
                match self.file(&path, visit) {
                    // Rotation took it away between listing and opening.
                    Err(Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                    Err(unreadable) => self.tally.unreadable.push(unreadable),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, visit: &mut dyn FnMut(&[u8], bool) -> bool) -> Result<(), Unreadable> {
        let unreadable = |source| Unreadable { path: path.to_owned(), source };
        self.opened(File::open(path).map_err(unreadable)?, path, visit)
    }

    fn opened(
        &mut self,
        mut file: File,
        path: &Path,
        visit: &mut dyn FnMut(&[u8], bool) -> bool,
    ) -> Result<(), Unreadable> {
        let unreadable = |source| Unreadable { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(unreadable)?;
        let key = (metadata.dev(), metadata.ino());
        if !metadata.is_file() {
            // A pipe or a device: read to its end, once.
            return match self.read.insert(key, Progress::default()) {
                Some(_) => Ok(()),
                None => self.stream(Box::new(file), path, visit),
            };
        }
        let mut progress = self.progress(key, &metadata);
        if progress.is_packed || progress.offset == metadata.len() {
            return Ok(());
        }
        if is_packed(&file).map_err(unreadable)? {
            self.read.insert(key, Progress { offset: 0, is_packed: true });
            if self.is_of_growing {
                return Ok(());
            }
            return self.stream(Box::new(file), path, visit);
        }
        if self.skips {
            progress.offset = last_line_end(&file, metadata.len()).map_err(unreadable)?;
            self.read.insert(key, progress);
            return Ok(());
        }
        if progress.offset == 0 {
            progress.offset = self.indexed(&file, path, &metadata, visit).map_err(unreadable)?;
        }
        file.seek(SeekFrom::Start(progress.offset)).map_err(unreadable)?;
        // Up to the length at opening: a file that grows faster than it is read must not keep us here.
        let mut new = file.take(metadata.len() - progress.offset);
        progress.offset += self.blocks(&mut new, visit).map_err(unreadable)?;
        self.read.insert(key, progress);
        Ok(())
    }

    /// Reads what is looked for of the indexed part of a file, and says where that part ends.
    fn indexed(
        &mut self,
        mut file: &File,
        path: &Path,
        metadata: &Metadata,
        visit: &mut dyn FnMut(&[u8], bool) -> bool,
    ) -> io::Result<u64> {
        let Some(keys) = &self.keys else { return Ok(0) };
        let places = match self.indexes.find(path, file, metadata, keys) {
            Ok(places) => places,
            Err(unfit) => {
                // A file of which nothing could be read yet is looked at again.
                let unfit = unfit.filter(|unfit| !self.tally.unfit.contains(unfit));
                self.tally.unfit.extend(unfit);
                return Ok(0);
            }
        };
        let (lines, too_long) = (self.tally.lines, self.tally.too_long);
        for range in places.ranges {
            file.seek(SeekFrom::Start(range.start))?;
            self.blocks(&mut file.take(range.end - range.start), visit)?;
        }
        // The lines that were passed over count as read: the index vouches for them.
        self.tally.lines = lines.saturating_add(places.lines);
        self.tally.too_long = too_long.saturating_add(places.too_long);
        Ok(places.covered)
    }

    /// How far the file was read; from its beginning if it has become shorter.
    fn progress(&mut self, key: (u64, u64), metadata: &Metadata) -> Progress {
        match self.read.get(&key) {
            Some(progress) if progress.is_packed || progress.offset <= metadata.len() => *progress,
            Some(_) => Progress::default(),
            None => {
                self.tally.files += 1;
                Progress::default()
            }
        }
    }

    /// Reads to the end of what cannot be read twice, unpacking it if it is packed.
    fn stream(
        &mut self,
        mut reader: Box<dyn Read>,
        path: &Path,
        visit: &mut dyn FnMut(&[u8], bool) -> bool,
    ) -> Result<(), Unreadable> {
        let unreadable = |source| Unreadable { path: path.to_owned(), source };
        if path.as_os_str() == "-" {
            self.tally.files += 1;
        }
        let mut magic = Vec::new();
        reader.by_ref().take(2).read_to_end(&mut magic).map_err(unreadable)?;
        let is_packed = magic == GZIP;
        let whole = io::Cursor::new(magic).chain(reader);
        if !is_packed {
            self.blocks(&mut { whole }, visit).map_err(unreadable)?;
            return Ok(());
        }
        match self.blocks(&mut MultiGzDecoder::new(whole), visit) {
            // Still being written, or its writer was killed: what came out of it counts.
            Err(source) if is_cut_short(&source) => self.tally.cut_short += 1,
            Err(source) => return Err(unreadable(source)),
            Ok(_) => {}
        }
        Ok(())
    }

    /// Gives `reader`'s lines to `visit` and returns how many bytes need not be read again.
    fn blocks(
        &mut self,
        reader: &mut dyn Read,
        visit: &mut dyn FnMut(&[u8], bool) -> bool,
    ) -> io::Result<u64> {
        let mut done = 0;
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                if filled >= self.longest_line {
                    let (skipped, rest) = skip_line(reader, &mut self.buffer)?;
                    done += filled as u64 + skipped;
                    filled = rest;
                    self.tally.too_long += 1;
                    continue;
                }
                self.buffer.resize(filled * 2, 0);
            }
            let count = match reader.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            if count == 0 {
                break;
            }
            let from = filled;
            filled += count;
            if let Some(newline) = memrchr(b'\n', &self.buffer[from..filled]) {
                let end = from + newline + 1;
                self.tally.lines += count_lines(&self.buffer[..end]);
                visit(&self.buffer[..end], true);
                self.buffer.copy_within(end..filled, 0);
                filled -= end;
                done += end as u64;
            }
        }
        if filled > 0 && visit(&self.buffer[..filled], false) {
            self.tally.lines += 1;
            done += filled as u64;
        }
        Ok(done)
    }
}

/// Reads on to the end of a line: how many bytes were dropped, and how many of the next line are in `buffer`.
fn skip_line(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<(u64, usize)> {
    let mut dropped = 0;
    loop {
        let count = reader.read(buffer)?;
        if count == 0 {
            return Ok((dropped, 0));
        }
        if let Some(newline) = memchr(b'\n', &buffer[..count]) {
            buffer.copy_within(newline + 1..count, 0);
            return Ok((dropped + newline as u64 + 1, count - newline - 1));
        }
        dropped += count as u64;
    }
}

/// Where the last line end among the first `length` bytes is, not further than [`BLOCK`] bytes from their end: what is
/// behind is half a line.
fn last_line_end(file: &File, length: u64) -> io::Result<u64> {
    let mut last = vec![0; length.min(BLOCK as u64) as usize];
    let from = length - last.len() as u64;
    file.read_exact_at(&mut last, from)?;
    Ok(memrchr(b'\n', &last).map_or(length, |at| from + at as u64 + 1))
}

/// Whether the file begins as packed ones do.
pub(crate) fn is_packed(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    Ok(file.read_at(&mut magic, 0)? == 2 && magic == GZIP)
}

fn is_cut_short(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

/// The files of `directory` that may hold spans or log lines, in the order of their names.
pub(crate) fn telemetry_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A pipe among the files would be waited for until somebody writes into it. What cannot be examined is tried.
        let is_file = || fs::metadata(entry.path()).map_or(true, |found| found.is_file());
        if is_telemetry(&entry.file_name().to_string_lossy()) && is_file() {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file of this name is read when its directory is named: JSON lines, rotated and packed ones too. Metrics
/// are not: their exemplars name traces, and they are large.
pub(crate) fn is_telemetry(name: &str) -> bool {
    let unpacked = name.strip_suffix(".gz").unwrap_or(name);
    let (stem, suffix) = unpacked.rsplit_once('.').unwrap_or((unpacked, ""));
    let is_numbered = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit());
    let form = if is_numbered { stem.rsplit_once('.').map_or("", |(_, form)| form) } else { suffix };
    matches!(form, "jsonl" | "json" | "ndjson") && !name.starts_with("metrics")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is given of `text` when lines may be `longest` bytes long, and how many were longer.
    fn lines(text: &str, longest: usize) -> (String, u64) {
        let mut input = Input { buffer: vec![0; 4], longest_line: longest, ..Input::new(Vec::new()) };
        let mut given = String::new();
        let visit = &mut |block: &[u8], is_ended| {
            given.push_str(&String::from_utf8_lossy(block));
            is_ended
        };
        input.blocks(&mut text.as_bytes(), visit).unwrap();
        (given, input.tally.too_long)
    }

    #[test]
    fn lines_that_are_too_long_are_skipped_and_counted() {
        let check = |text: &str, expected: &str, too_long: u64| {
            assert_eq!(lines(text, 8), (expected.to_owned(), too_long), "{text}");
        };
        check("1234567\nab\n", "1234567\nab\n", 0);
        check("a\n1234567890123456789\nbc\nd\n", "a\nbc\nd\n", 1);
        check("12345678\nb\n", "b\n", 1);
        check("123456789012\n123456789012\nb\n", "b\n", 2);
        check("a\n1234567890", "a\n", 1);
        check("a\nb", "a\nb", 0);
        check("", "", 0);
    }

    #[test]
    fn files_are_known_by_their_names() {
        for (name, expected) in [
            ("traces.jsonl", true),
            ("traces-2026-11-21T22-26-40.123.jsonl", true),
            ("logs.jsonl.gz", true),
            ("logs.jsonl.2", true),
            ("logs.jsonl.2.gz", true),
            ("spans.ndjson", true),
            ("metrics.jsonl", false),
            ("metrics-2026.jsonl.gz", false),
            ("notes.txt", false),
            ("7", false),
            (".collector.lock", false),
        ] {
            assert_eq!(is_telemetry(name), expected, "{name}");
        }
    }
}
