//! An index beside a file, `traces.jsonl.index`: where in the file which traces are, so that one trace is found without
//! reading the rest.
//!
//! It holds of every string that could be a trace's id ([`ids`]) some bits ([`key`]) and the blocks of whole lines that it is
//! in ([`segment`]); what is found in those blocks is read as it is without an index. So an answer from an index is the
//! answer of a reading of everything, whatever the index says too much.
//!
//! Promises: less than one per cent of what is usual; a look-up reads a few kilobytes of it. It is used only where it
//! fits: the file is the one that was indexed (its inode, the beginning and the end of the indexed part) and at most has
//! grown since; what has been added is read as without an index. An index that does not fit, or was damaged, is not used. A
//! file that was renamed, as rotation does, keeps its index: it is found by the inode in the same directory.
//!
//! Refuses: packed files; what is written to a file elsewhere than at its end while it grows ([`sidecar`]).
//!
//! Only [`extend`] writes, [`follow`] renames, and [`remove`] removes; reading never does. What has an index's name and is
//! none of ours is left as it is.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Numbers as bits.
mod bits;
/// An index made, or extended.
mod build;
/// The indexes of a directory.
mod directory;
/// Text → ids.
mod ids;
/// What is kept of an id.
mod key;
/// One part of a file.
mod segment;
/// The file beside a file.
mod sidecar;
/// What was indexed, told.
mod tell;

pub use build::{Again, Built};
pub use directory::{Removed, files, remove_all, remove_lost};
pub use key::Keys;
pub use tell::{Row, json, text};

use crate::input;
use sidecar::{Sidecar, Unusable};

/// What is added to a file's name.
const SUFFIX: &str = ".index";
const WRITE: &str = "write the index";
const FOREIGN: &str = "write or remove";

/// An index could not be made or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} `{}`", path.display())]
pub struct Trouble {
    doing: &'static str,
    path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Trouble {
    /// Whether it is the index that cannot be written, rather than the file that cannot be read.
    pub fn is_of_writing(&self) -> bool {
        self.doing == WRITE
    }

    /// Whether something that is no index of ours has its name; it was left as it is.
    pub fn is_foreign(&self) -> bool {
        self.doing == FOREIGN
    }

    /// Where it happened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn foreign(path: &Path) -> Self {
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is not an index of ours: move it away");
        Self { doing: FOREIGN, path: path.to_owned(), source }
    }

    fn read(path: &Path, source: io::Error) -> Self {
        Self { doing: "read", path: path.to_owned(), source }
    }

    fn write(path: &Path, source: io::Error) -> Self {
        Self { doing: WRITE, path: path.to_owned(), source }
    }

    fn remove(path: &Path, source: io::Error) -> Self {
        Self { doing: "remove the index", path: path.to_owned(), source }
    }
}

/// Where the index of the file at `path` is.
pub fn path_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(SUFFIX);
    directory_of(path).join(name)
}

/// Makes the index of the file at `path`, or extends the one that is there; `None` if there is nothing to index: the file
/// is packed, no file at all, or has no whole line. `tell` hears of each piece read how many bytes it has.
///
/// # Errors
/// The file cannot be read, or the index not written; something else has its name.
pub fn extend(path: &Path, again: Again, tell: &mut dyn FnMut(u64)) -> Result<Option<Built>, Trouble> {
    let trouble = |source| Trouble::read(path, source);
    let data = File::open(path).map_err(trouble)?;
    let metadata = data.metadata().map_err(trouble)?;
    if !metadata.is_file() || input::is_packed(&data).map_err(trouble)? {
        return Ok(None);
    }
    let own = path_of(path);
    is_there(&own)?;
    let mut finder = Finder::default();
    let (known, stray) = match finder.fitting(path, &data, &metadata) {
        Ok((known, found)) => (Some(known), Some(found).filter(|found| *found != own)),
        // None, or one that does not fit: it is made anew, whatever was wrong with it.
        Err(_) => (None, None),
    };
    let built = build::build((path, &data), &metadata, known.as_ref(), &own, again, tell)?;
    // The index of a file that was renamed has moved on with it.
    if let (Some(_), Some(stray)) = (built, stray) {
        if !own.exists() {
            fs::rename(&stray, &own).map_err(|source| Trouble::write(&own, source))?;
        } else {
            remove_at(&stray)?;
        }
    }
    Ok(built)
}

/// Removes the index of the file at `path`; `false` if there is none.
///
/// # Errors
/// It cannot be removed, or is not ours.
pub fn remove(path: &Path) -> Result<bool, Trouble> {
    remove_at(&path_of(path))
}

/// Has the index of the file that was at `from` follow it to `to`; `false` if there is none.
///
/// # Errors
/// It cannot be renamed, or one of the names is that of something else.
pub fn follow(from: &Path, to: &Path) -> Result<bool, Trouble> {
    let (from, to) = (path_of(from), path_of(to));
    is_there(&to)?;
    if !is_there(&from)? {
        return Ok(false);
    }
    fs::rename(&from, &to).map(|()| true).map_err(|source| Trouble::write(&to, source))
}

/// Whether an index of ours is at `index`, not something else.
fn is_there(index: &Path) -> Result<bool, Trouble> {
    match sidecar::is_ours(index) {
        Ok(true) => Ok(true),
        Ok(false) => Err(Trouble::foreign(index)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Trouble::read(index, source)),
    }
}

fn remove_at(index: &Path) -> Result<bool, Trouble> {
    if !is_there(index)? {
        return Ok(false);
    }
    remove_file(index)
}

fn remove_file(index: &Path) -> Result<bool, Trouble> {
    match fs::remove_file(index) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(|source| Trouble::remove(index, source)),
    }
}

/// Where in a file to read.
#[derive(Debug)]
pub(crate) struct Places {
    /// Whole lines each, in order.
    pub(crate) ranges: Vec<Range<u64>>,
    /// From here on nothing is indexed.
    pub(crate) covered: u64,
    /// How many lines there are before it.
    pub(crate) lines: u64,
    /// How many of them are too long.
    pub(crate) too_long: u64,
}

/// Finds indexes, also of files that were renamed.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// The indexes of each directory, by the inode of the file that they are of.
    by_inode: HashMap<PathBuf, HashMap<u64, PathBuf>>,
}

impl Finder {
    /// Where `keys` may be in the file at `path`.
    ///
    /// # Errors
    /// No index tells: the file has none, `None`, or one that does not fit it, which is named.
    pub(crate) fn find(
        &mut self,
        path: &Path,
        data: &File,
        metadata: &Metadata,
        keys: &[Keys],
    ) -> Result<Places, Option<PathBuf>> {
        let (index, at) = self.fitting(path, data, metadata)?;
        let ranges = index.find(keys).ok_or(at)?;
        let sum =
            |of: fn(&sidecar::Segment) -> u64| index.segments.iter().map(of).fold(0, u64::saturating_add);
        Ok(Places {
            ranges,
            covered: index.covered(),
            lines: sum(|segment| segment.lines),
            too_long: sum(|segment| segment.too_long),
        })
    }

    fn fitting(
        &mut self,
        path: &Path,
        data: &File,
        metadata: &Metadata,
    ) -> Result<(Sidecar, PathBuf), Option<PathBuf>> {
        let own = path_of(path);
        let unfit = match Sidecar::open(&own) {
            Ok(index) if index.fits(data, metadata) => return Ok((index, own)),
            // It stayed behind when the file that it is of was renamed.
            Ok(index) if index.inode() != metadata.ino() && is_of_another(&own, &index) => None,
            Ok(_) | Err(Unusable::Damaged) => Some(own.clone()),
            Err(Unusable::Missing) => None,
        };
        let stray = self.of_directory(path).get(&metadata.ino()).filter(|stray| **stray != own).cloned();
        let found = stray.and_then(|stray| Some((Sidecar::open(&stray).ok()?, stray)));
        found.filter(|(index, _)| index.fits(data, metadata)).ok_or(unfit)
    }

    fn of_directory(&mut self, path: &Path) -> &HashMap<u64, PathBuf> {
        let directory = directory_of(path);
        self.by_inode.entry(directory.clone()).or_insert_with(|| {
            // What cannot be listed or read has no index.
            let paths = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
            let indexes = paths.filter(|path| path.to_string_lossy().ends_with(SUFFIX));
            indexes.filter_map(|path| Some((Sidecar::open(&path).ok()?.inode(), path))).collect()
        })
    }
}

/// Whether the index at `path` fits another file of its directory.
fn is_of_another(path: &Path, index: &Sidecar) -> bool {
    let entries = fs::read_dir(directory_of(path)).into_iter().flatten().flatten();
    let is_its_file = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(|found| found.ino() == index.inode())?;
        Some(index.fits(&File::open(entry.path()).ok()?, &metadata))
    };
    entries.filter_map(is_its_file).any(|fits| fits)
}

fn directory_of(path: &Path) -> PathBuf {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests;
