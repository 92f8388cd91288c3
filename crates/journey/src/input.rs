//! Paths → blocks of whole lines, on all cores: directories, files, standard input, packed (gzip, zstd) or not.
//!
//! Reading again gives only what has been written since: files may grow, be rotated and be packed while they are read.
//! Files are read in pieces by the threads that look at them, never mapped into memory: one that is cut off meanwhile ends
//! early, no more. Memory is bounded by a piece for each core and the longest line ([`LONGEST_LINE`]), whatever the size of
//! the files; a zstd file may want a window of up to 128 MiB besides. Nothing is written.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use flate2::read::MultiGzDecoder;
use memchr::memrchr;

use crate::index::{Finder, Keys};

/// Work on its way through all cores.
mod belt;
/// Bytes → blocks of whole lines.
mod cut;
/// Which files of a directory are read.
mod names;
/// Packed files → the lines in them.
mod packed;
/// Files and streams → the belt.
mod reading;

pub(crate) use names::{is_telemetry, metrics_files, telemetry_files};

use belt::{Belt, End};
use cut::{Cutter, Went};
use packed::{Form, Zstd};
use reading::{Lines, Reading};

/// A line that is longer is skipped and counted: far beyond any batch that a Collector makes.
pub const LONGEST_LINE: usize = 64 << 20;

/// Device and number of a file: what it is, whatever its name.
pub type Key = (u64, u64);

/// Lines, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Their text, with their ends.
    pub text: &'a [u8],
    /// Whether the last line has its end; without it, the block is that one line.
    pub is_ended: bool,
    /// The file that they lie in as they are; `None` of what was packed or came through a pipe.
    pub file: Option<Key>,
    /// Where in the file they begin, in bytes.
    pub offset: u64,
}

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
    /// Packed files that are damaged or end too early: what came before counts.
    pub cut_short: u64,
    /// Files of export requests in protobuf, which are not read.
    pub protobuf: u64,
    /// Files among others that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Indexes that were damaged or do not fit their files, which were read whole instead.
    pub unfit: Vec<PathBuf>,
}

/// The places to read from, and how far each file in them has been read.
#[derive(Debug)]
pub struct Input {
    places: Vec<PathBuf>,
    read: HashMap<Key, Progress>,
    tally: Tally,
    has_read_stdin: bool,
    /// What is looked for, if not all.
    keys: Option<Vec<Keys>>,
    indexes: Finder,
    growing: Growing,
    /// How many read side by side.
    shared_by: usize,
}

/// How files are read that are followed while they grow.
#[derive(Debug, Default)]
struct Growing {
    /// Whether they are, and packed ones passed over.
    is_so: bool,
    /// Whether what is there now is passed over.
    skips: bool,
    /// The files that were named: what is written to one until it is renamed is read from it.
    held: HashMap<PathBuf, File>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// What comes before need not be read again.
    offset: u64,
    /// Of a packed file: how long it was when it was read.
    packed: Option<u64>,
    is_cut_short: bool,
    is_protobuf: bool,
}

impl Input {
    /// Reads from `places`: directories, files, and `-` for standard input. A file that is reached twice is read once.
    pub fn new(places: Vec<PathBuf>) -> Self {
        Self {
            places,
            read: HashMap::new(),
            tally: Tally::default(),
            has_read_stdin: false,
            keys: None,
            indexes: Finder::default(),
            growing: Growing::default(),
            shared_by: 1,
        }
    }

    /// The same where so many read side by side: each takes its part of the cores, and smaller pieces of files.
    pub(crate) fn shared_by(self, count: usize) -> Self {
        Self { shared_by: count.max(1), ..self }
    }

    /// The same of files that grow: packed ones, which hold what was written long ago, are passed over.
    pub fn growing(places: Vec<PathBuf>) -> Self {
        Self { growing: Growing { is_so: true, ..Growing::default() }, ..Self::new(places) }
    }

    /// Counts all whole lines that are there now as read; standard input is read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn skip(&mut self) -> Result<(), Unreadable> {
        self.growing.skips = true;
        let skipped = self.read(&|_| ((), true), &mut |(), _| {});
        self.growing.skips = false;
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

    /// Has `work` done on all cores with everything that was not read yet, in blocks of whole lines, and gives what it
    /// makes of each block to `fold`, with the block's length in bytes, in the order of the files and of the lines in them.
    /// A last line without its end is a block of its own: `work` says whether it was understood; if not, it is read again
    /// next time. What it says of other blocks is not listened to.
    ///
    /// # Errors
    /// A named place is not there or cannot be opened: of files that grow the first one, and all others are read. A file that
    /// was found in a directory is counted instead.
    pub fn read<T: Send, W: Fn(Block<'_>) -> (T, bool) + Sync>(
        &mut self,
        work: &W,
        fold: &mut dyn FnMut(T, u64),
    ) -> Result<(), Unreadable> {
        self.tally.unreadable.clear();
        let (large, large_here) = (Mutex::new(()), Mutex::new(()));
        thread::scope(|scope| {
            let belt = Belt::new(scope, work, Cutter::new(LONGEST_LINE, &large), self.shared_by);
            let mut on = Reading::new(belt, work, Cutter::new(LONGEST_LINE, &large_here), fold);
            on.is_sparing = self.shared_by > 1;
            let mut outcome = Ok(());
            for place in &self.places.clone() {
                outcome = outcome.and(self.place(place, &mut on));
                // Of files that grow one may be gone for good, and the others are read on.
                if outcome.is_err() && !self.growing.is_so {
                    break;
                }
            }
            outcome
        })
    }

    fn place(&mut self, place: &Path, on: &mut dyn Lines) -> Result<(), Unreadable> {
        let unreadable = |source| Unreadable { path: place.to_owned(), source };
        if place.as_os_str() == "-" {
            if !std::mem::replace(&mut self.has_read_stdin, true) {
                let progress = self.stream(Box::new(io::stdin()), on).map_err(unreadable)?;
                self.tally.count(progress);
                on.settle();
            }
            return Ok(());
        }
        if let Some(held) = self.growing.held.get(place) {
            // What was written to it before it was renamed, if it was.
            held.try_clone().and_then(|held| self.opened(held, place, on)).map_err(unreadable)?;
            self.settle(on);
            self.let_go(place).map_err(unreadable)?;
        }
        if !fs::metadata(place).map_err(unreadable)?.is_dir() {
            let file = File::open(place).map_err(unreadable)?;
            if self.growing.is_so {
                self.growing.held.insert(place.to_owned(), file.try_clone().map_err(unreadable)?);
            }
            let key = self.opened(file, place, on).map_err(unreadable)?;
            return self
                .settle(on)
                .into_iter()
                .find(|(of, _)| *of == key)
                .map_or(Ok(()), |(_, source)| Err(unreadable(source)));
        }
        let mut names = HashMap::new();
        for path in names::telemetry_files(place).map_err(unreadable)? {
            match File::open(&path).and_then(|file| self.opened(file, &path, on)) {
                // Rotation took it away between listing and opening.
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => self.tally.unreadable.push(Unreadable { path, source }),
                Ok(key) => drop(names.insert(key, path)),
            }
        }
        for (key, source) in self.settle(on) {
            let path = names.remove(&key).unwrap_or_else(|| place.to_owned());
            self.tally.unreadable.push(Unreadable { path, source });
        }
        Ok(())
    }

    /// Lets go of a file that was held, has been read to its end, and was removed: it takes room on the disk until then.
    fn let_go(&mut self, place: &Path) -> io::Result<()> {
        let Some(held) = self.growing.held.get(place) else { return Ok(()) };
        let metadata = held.metadata()?;
        let key = (metadata.dev(), metadata.ino());
        let is_read = self.read.get(&key).is_some_and(|known| known.offset == metadata.len());
        if metadata.nlink() == 0 && is_read {
            self.growing.held.remove(place);
            // The next file may be given its number.
            self.read.remove(&key);
        }
        Ok(())
    }

    /// Waits for what is on its way, notes how far it got, and answers what could not be read.
    fn settle(&mut self, on: &mut dyn Lines) -> Vec<(Key, io::Error)> {
        let mut wrong = Vec::new();
        for (key, went, outcome) in on.settle() {
            self.tally.lines += went.lines;
            self.tally.too_long += went.too_long;
            if let Some(progress) = self.read.get_mut(&key) {
                progress.offset -= went.half;
            }
            wrong.extend(outcome.err().map(|error| (key, error)));
        }
        wrong
    }

    fn opened(&mut self, mut file: File, path: &Path, on: &mut dyn Lines) -> io::Result<Key> {
        let metadata = file.metadata()?;
        let key = (metadata.dev(), metadata.ino());
        if !metadata.is_file() {
            // A pipe or a device: read to its end, once.
            if self.read.insert(key, Progress::default()).is_none() {
                let progress = self.stream(Box::new(file), on)?;
                self.note(key, progress);
            }
            return Ok(key);
        }
        let (known, length) = (self.progress(key, &metadata), metadata.len());
        if known.packed.unwrap_or(known.offset) == length {
            // It may be known of before as longer.
            self.note(key, known);
            return Ok(key);
        }
        let mut head = [0; packed::HEAD];
        let count = file.read_at(&mut head, 0)?;
        let progress = match Form::of(&head[..count]) {
            Form::Plain if self.growing.skips => {
                Progress { offset: last_line_end(&file, length)?, ..Progress::default() }
            }
            Form::Plain => {
                let from = match known.offset {
                    0 => self.indexed(&file, path, &metadata, on)?,
                    known => known,
                };
                // Up to the length at opening: a file that grows faster than it is read must not keep us here. An index may
                // know more of it already.
                let length = length.max(from);
                on.pieces(file, End { file: key, length, is_counted: true }, from);
                Progress { offset: length, ..Progress::default() }
            }
            _ if self.growing.is_so => Progress { packed: Some(length), ..Progress::default() },
            form => {
                // Of frames, what was read to the end of one is known; gzip is read again if it was still being written.
                let from = if matches!(form, Form::Zstd | Form::Framed) { known.offset } else { 0 };
                file.seek(SeekFrom::Start(from))?;
                let progress = self.packed(form, Box::new(file.take(length - from)), on)?;
                Progress { offset: from + progress.offset, packed: Some(length), ..progress }
            }
        };
        self.note(key, progress);
        Ok(key)
    }

    /// Has what is looked for in the indexed part of a file looked at, and says where that part ends.
    fn indexed(
        &mut self,
        file: &File,
        path: &Path,
        metadata: &Metadata,
        on: &mut dyn Lines,
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
        for range in places.ranges {
            let end = End { file: (metadata.dev(), metadata.ino()), length: range.end, is_counted: false };
            on.pieces(file.try_clone()?, end, range.start);
        }
        // The lines that are passed over count as read: the index vouches for them.
        self.tally.lines = self.tally.lines.saturating_add(places.lines);
        self.tally.too_long = self.tally.too_long.saturating_add(places.too_long);
        Ok(places.covered)
    }

    /// How far the file was read; from its beginning if it has become shorter.
    fn progress(&mut self, key: Key, metadata: &Metadata) -> Progress {
        match self.read.get(&key) {
            Some(known) if known.packed.unwrap_or(known.offset) <= metadata.len() => *known,
            Some(_) => Progress::default(),
            None => {
                self.tally.files += 1;
                Progress::default()
            }
        }
    }

    fn note(&mut self, key: Key, progress: Progress) {
        let before = self.read.insert(key, progress).unwrap_or_default();
        self.tally.count(progress);
        self.tally.cut_short -= u64::from(before.is_cut_short);
        self.tally.protobuf -= u64::from(before.is_protobuf);
    }

    /// Reads to the end of what cannot be read twice, unpacking it if it is packed.
    fn stream(&mut self, mut reader: Box<dyn Read>, on: &mut dyn Lines) -> io::Result<Progress> {
        let mut head = Vec::new();
        reader.by_ref().take(packed::HEAD as u64).read_to_end(&mut head)?;
        self.tally.files += 1;
        let form = Form::of(&head);
        self.packed(form, Box::new(io::Cursor::new(head).chain(reader)), on)
    }

    /// Reads lines in this form to their end, or as far as they are whole.
    fn packed(&mut self, form: Form, mut reader: Box<dyn Read>, on: &mut dyn Lines) -> io::Result<Progress> {
        let mut progress = Progress::default();
        let went = match form {
            Form::Plain => on.lines(&mut |buffer| reader.read(buffer))?,
            Form::Protobuf => {
                progress.is_protobuf = true;
                Went::default()
            }
            Form::Gzip => {
                let mut reader = MultiGzDecoder::new(reader);
                on.lines(&mut |buffer| packed::read(&mut reader, buffer, &mut progress.is_cut_short))?
            }
            Form::Zstd | Form::Framed => {
                let mut reader = Zstd::new(reader, form == Form::Framed);
                let went =
                    on.lines(&mut |buffer| packed::read(&mut reader, buffer, &mut progress.is_cut_short))?;
                (progress.offset, progress.is_protobuf) = (reader.safe, reader.is_protobuf);
                went
            }
        };
        self.tally.lines += went.lines;
        self.tally.too_long += went.too_long;
        Ok(progress)
    }
}

impl Tally {
    fn count(&mut self, progress: Progress) {
        self.cut_short += u64::from(progress.is_cut_short);
        self.protobuf += u64::from(progress.is_protobuf);
    }
}

/// How much of the end of a file is looked at for the end of a line.
const END: u64 = 1 << 20;

/// Where the last line end among the first `length` bytes is, not further than [`END`] from their end: what is behind it is
/// half a line.
fn last_line_end(file: &File, length: u64) -> io::Result<u64> {
    let mut last = vec![0; length.min(END) as usize];
    let from = length - last.len() as u64;
    file.read_exact_at(&mut last, from)?;
    Ok(memrchr(b'\n', &last).map_or(length, |at| from + at as u64 + 1))
}

/// Whether the file begins as packed ones do.
pub(crate) fn is_packed(file: &File) -> io::Result<bool> {
    let mut head = [0; packed::HEAD];
    let count = file.read_at(&mut head, 0)?;
    Ok(Form::of(&head[..count]) != Form::Plain)
}
