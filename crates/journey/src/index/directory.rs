//! The indexes of a directory: those of files that are gone, and all of them.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::sidecar::Sidecar;
use super::{SUFFIX, Trouble, remove_at, remove_file};
use crate::input::{Unreadable, is_telemetry, telemetry_files};

/// An index that was begun so long ago and is not in its place has lost its writer.
const LOST: Duration = Duration::from_secs(3600);

/// The files at `place` that may have an index: itself, or those of the directory that it is.
///
/// # Errors
/// There is nothing, or it cannot be listed.
pub fn files(place: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let unreadable = |source| Unreadable { path: place.to_owned(), source };
    match fs::metadata(place).map_err(unreadable)?.is_dir() {
        true => telemetry_files(place).map_err(unreadable),
        false => Ok(vec![place.to_owned()]),
    }
}

/// What became of the indexes of a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many were removed.
    pub count: u64,
    /// What is called as an index is, was not made here, and was left as it is.
    pub foreign: Vec<PathBuf>,
}

/// Removes the indexes in `directory` whose files are gone, under whatever name.
///
/// # Errors
/// One cannot be removed.
pub fn remove_lost(directory: &Path) -> Result<Removed, Trouble> {
    let listed = list(directory)?;
    let inodes: HashSet<u64> = listed
        .iter()
        .filter(|(path, _)| is_telemetry(&name(path)))
        .map(|(_, metadata)| metadata.ino())
        .collect();
    let mut removed = Removed::default();
    for (path, metadata) in listed {
        let is_lost = match kind(&name(&path)) {
            Some(Kind::Index(of)) => {
                // A damaged one says nothing of whose it is; its file's own name does.
                let has_file = path.with_file_name(of).exists();
                !has_file && Sidecar::open(&path).map_or(true, |index| !inodes.contains(&index.inode()))
            }
            Some(Kind::Begun) => {
                let age =
                    metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
                age.is_some_and(|age| age >= LOST)
            }
            None => false,
        };
        if is_lost {
            removed.take(path, &metadata)?;
        }
    }
    Ok(removed)
}

/// Removes all indexes in `directory`.
///
/// # Errors
/// One cannot be removed.
pub fn remove_all(directory: &Path) -> Result<Removed, Trouble> {
    let mut removed = Removed::default();
    for (path, metadata) in list(directory)? {
        if kind(&name(&path)).is_some() {
            removed.take(path, &metadata)?;
        }
    }
    Ok(removed)
}

impl Removed {
    /// Removes what is at `path` if it is ours.
    fn take(&mut self, path: PathBuf, metadata: &Metadata) -> Result<(), Trouble> {
        // One that was begun has no mark yet: it is known by its name, which nobody else gives to a file.
        let removed = match kind(&name(&path)) {
            Some(Kind::Begun) if metadata.is_file() => remove_file(&path),
            _ => remove_at(&path),
        };
        match removed {
            Err(trouble) if trouble.is_foreign() => self.foreign.push(path),
            removed => self.count += u64::from(removed?),
        }
        Ok(())
    }
}

/// Which file of ours a name is that of.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'n> {
    /// The index of the file of this name.
    Index(&'n str),
    /// One that was begun.
    Begun,
}

fn kind(name: &str) -> Option<Kind<'_>> {
    if let Some(of) = name.strip_suffix(SUFFIX) {
        return Some(Kind::Index(of)).filter(|_| is_telemetry(of));
    }
    let (index, numbers) = name.strip_prefix('.')?.split_once(".index-")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (process, number) = numbers.split_once('-')?;
    (is_telemetry(index) && is_number(process) && is_number(number)).then_some(Kind::Begun)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn list(directory: &Path) -> Result<Vec<(PathBuf, Metadata)>, Trouble> {
    let entries = fs::read_dir(directory).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let entries = entries.map_err(|source| Trouble::read(directory, source))?;
    // What is gone by now is no index.
    Ok(entries.iter().filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_known_by_their_names() {
        let check = |name: &str, expected: Option<Kind<'_>>| assert_eq!(kind(name), expected, "{name}");
        check("traces.jsonl.index", Some(Kind::Index("traces.jsonl")));
        check(
            "logs-2026-11-21T22-26-40.123.jsonl.index",
            Some(Kind::Index("logs-2026-11-21T22-26-40.123.jsonl")),
        );
        check(".traces.jsonl.index-123-0", Some(Kind::Begun));
        for name in
            ["book.index", "index", ".index", "traces.jsonl", ".traces.jsonl.index-1", ".x.index-1-2", ""]
        {
            check(name, None);
        }
    }
}
