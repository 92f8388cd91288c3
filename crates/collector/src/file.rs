//! One file of whole lines that only grows: appended to, put away when it is full, never left with half a line.
//!
//! Promises:
//! - When [`LineFile::append`] returns well, the kernel has the bytes: they outlive this process, though not a power
//!   cut (there is no fsync).
//! - Lines of one call stand together, in one file, in order; calls wait for one another.
//! - When it fails nothing of the call stands in the file, unless the disk refuses even to shorten it; then the half
//!   line is closed off by the next call, and stays alone on a line of its own. So does one found at the start.
//! - A rotated file is never written to again. If rotating fails, the file grows on: data comes before its bounds.
//!
//! Refuses: buffers, retries. Who has the lines keeps them until they are written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc::Sender},
};

use journey::index;
use time::OffsetDateTime;

use crate::{
    index::Told,
    rotate::{self, Rotation},
};

/// Lines could not be written; the sender has to come again.
#[derive(Debug, thiserror::Error)]
#[error("cannot append to `{path}`")]
pub(crate) struct AppendError {
    path: PathBuf,
    source: io::Error,
}

/// A growing file of lines.
#[derive(Debug)]
pub(crate) struct LineFile {
    directory: PathBuf,
    stem: &'static str,
    path: PathBuf,
    rotation: Rotation,
    current: Mutex<Current>,
    /// Hears of each file that was put away.
    telling: Option<Sender<Told>>,
}

/// The file being written to.
#[derive(Debug)]
struct Current {
    file: File,
    /// Device and inode: whether the name still leads here.
    place: (u64, u64),
    length: u64,
    /// The last line is half: the next bytes begin with a newline.
    torn: bool,
}

impl LineFile {
    /// Opens `directory/stem.jsonl`, or makes it, readable for all.
    pub(crate) fn open(directory: &Path, stem: &'static str, rotation: Rotation) -> io::Result<Self> {
        let path = directory.join(format!("{stem}.jsonl"));
        let current = Mutex::new(Current::open(&path)?);
        Ok(Self { directory: directory.to_owned(), stem, path, rotation, current, telling: None })
    }

    /// The same, and `telling` hears of each file that is put away.
    pub(crate) fn telling(self, telling: Sender<Told>) -> Self {
        Self { telling: Some(telling), ..self }
    }

    /// Appends whole lines, each with its newline, in one write.
    ///
    /// Blocks: while another call writes, and while the disk is slow. Who sends the lines waits with it, by intent.
    pub(crate) fn append(&self, lines: &[u8], now: OffsetDateTime) -> Result<(), AppendError> {
        debug_assert!(lines.ends_with(b"\n"), "only whole lines are appended");
        // A panic in here would have left a length that is at worst too small: the next call goes on well.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut current, lines, now).map_err(|source| AppendError { path: self.path.clone(), source })
    }

    fn write(&self, current: &mut Current, lines: &[u8], now: OffsetDateTime) -> io::Result<()> {
        if !current.is_at(&self.path) {
            *current = self.open_anew()?;
        }
        if self.rotation.is_due(current.length, lines.len() as u64)
            && let Err(error) = self.rotate(current, now)
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(file = %self.path.display(), error, "rotation failed: the file grows on");
        }
        current.append(lines)
    }

    /// Who removes the directory wants its files gone, not telemetry refused until this process is started again.
    fn open_anew(&self) -> io::Result<Current> {
        match Current::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.directory)?;
                Current::open(&self.path)
            }
            opened => opened,
        }
    }

    /// Puts the full file away and begins a new one; on an error the old one is in its place and still open.
    fn rotate(&self, current: &mut Current, now: OffsetDateTime) -> io::Result<()> {
        let rotated = self.free_name(now);
        fs::rename(&self.path, &rotated)?;
        match Current::open(&self.path) {
            Ok(next) => *current = next,
            Err(error) => {
                fs::rename(&rotated, &self.path)?;
                return Err(error);
            }
        }
        self.move_index(&rotated);
        if let Err(error) = self.remove_expired(now) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(file = %self.path.display(), error, "expired files could not be removed");
        }
        Ok(())
    }

    /// An index stays beside its file; one that was left behind is still found, at the price of a search for it.
    fn move_index(&self, rotated: &Path) {
        // What is not ours is left where it is: the thread that keeps indexes up says so.
        let moved = index::follow(&self.path, rotated);
        if let Some(error) = moved.err().filter(|error| !error.is_foreign()) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(file = %rotated.display(), error, "an index could not be moved with its file");
        }
        if let Some(telling) = &self.telling {
            // Whoever listened has ended with the process.
            let _ = telling.send(Told::Rotated(rotated.to_owned()));
        }
    }

    /// A rotated name that is not taken: the first free millisecond from `now` on.
    fn free_name(&self, now: OffsetDateTime) -> PathBuf {
        let mut at = now;
        loop {
            let path = self.directory.join(rotate::name(self.stem, at));
            if !path.exists() {
                return path;
            }
            at += time::Duration::MILLISECOND;
        }
    }

    /// Removes rotated files that are kept no longer.
    pub(crate) fn remove_expired(&self, now: OffsetDateTime) -> io::Result<()> {
        let names: Vec<String> = fs::read_dir(&self.directory)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        for name in self.rotation.keep.expired(self.stem, names.iter().map(String::as_str), now) {
            let path = self.directory.join(name);
            fs::remove_file(&path)?;
            match index::remove(&path) {
                Err(trouble) if !trouble.is_foreign() => return Err(trouble.source),
                _ => {}
            }
            tracing::info!(file = name, "removed an expired file");
        }
        Ok(())
    }
}

impl Current {
    fn open(path: &Path) -> io::Result<Self> {
        // Read as well: to see whether the last line is whole.
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o644).open(path)?;
        let found = file.metadata()?;
        let length = found.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Self { file, place: (found.dev(), found.ino()), length, torn: last != *b"\n" })
    }

    /// Whether this is still the file of that name: it may have been moved or removed from outside.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.place)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let before = self.length;
        let result = if self.torn {
            self.write_all(b"\n").and_then(|()| self.write_all(lines))
        } else {
            self.write_all(lines)
        };
        if result.is_err() {
            if self.file.set_len(before).is_ok() {
                self.length = before;
            } else {
                self.torn |= self.length > before;
            }
        } else {
            self.torn = false;
        }
        result
    }

    /// As `Write::write_all`, counting what was written before an error.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.length += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
