//! The directory that the files are in: made, locked, and the three files of it open.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

use rustix::fs::{Access, access, statvfs};
use time::OffsetDateTime;

use crate::{file::LineFile, index::Told, rotate::Rotation};

/// Names the process that writes here; the lock on it, not its existence, says that one does.
const LOCK: &str = ".collector.lock";

/// Why the directory cannot be written to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot make the directory `{path}`")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot write in the directory `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error("another collector writes to `{path}`: stop it, or give this one a `--directory` of its own")]
    Taken { path: PathBuf },
    #[error("cannot open `{path}`")]
    File { path: PathBuf, source: io::Error },
}

/// The files of one directory; the lock is held as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    pub(crate) traces: LineFile,
    pub(crate) logs: LineFile,
    pub(crate) metrics: LineFile,
    _lock: File,
}

impl Directory {
    /// Makes the directory where it is missing, and refuses one that another collector writes to.
    /// Whoever keeps indexes up hears of rotations.
    pub(crate) fn open(
        path: &Path,
        rotation: Rotation,
        telling: Option<&Sender<Told>>,
    ) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(|source| OpenError::Make { path: path.to_owned(), source })?;
        let lock = lock(path)?;
        let file = |stem| {
            LineFile::open(path, stem, rotation)
                .map_err(|source| OpenError::File { path: path.join(format!("{stem}.jsonl")), source })
        };
        let told = |file: LineFile| match telling {
            Some(telling) => file.telling(telling.clone()),
            None => file,
        };
        let directory = Self {
            path: path.to_owned(),
            traces: told(file("traces")?),
            logs: told(file("logs")?),
            metrics: file("metrics")?,
            _lock: lock,
        };
        directory.remove_expired();
        Ok(directory)
    }

    fn remove_expired(&self) {
        for file in [&self.traces, &self.logs, &self.metrics] {
            if let Err(error) = file.remove_expired(OffsetDateTime::now_utc()) {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "expired files could not be removed");
            }
        }
    }

    /// Whether new bytes have a place: the directory may be written to and its file system is not full.
    pub(crate) fn check_writable(&self) -> Result<(), String> {
        let shown = self.path.display();
        access(&self.path, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| format!("`{shown}` cannot be written to: {error}"))?;
        let system = statvfs(&self.path).map_err(|error| format!("`{shown}` cannot be examined: {error}"))?;
        if system.f_bavail == 0 && system.f_blocks > 0 {
            return Err(format!("the file system of `{shown}` is full"));
        }
        Ok(())
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let unwritable = |source| OpenError::Write { path: directory.to_owned(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(directory.join(LOCK))
        .map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Taken { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unwritable(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotate::Keep;

    const ROTATION: Rotation = Rotation { bytes: u64::MAX, keep: Keep { files: None, age: None } };

    fn told(path: &Path) -> String {
        Directory::open(path, ROTATION, None).expect_err("it cannot be opened").to_string()
    }

    #[test]
    fn a_directory_has_one_writer_at_a_time() {
        let parent = std::env::temp_dir().join(format!("throughline-directory-{}", std::process::id()));
        let path = parent.join("made/on the way");
        let first = Directory::open(&path, ROTATION, None).unwrap();
        assert_eq!(first.check_writable(), Ok(()));
        assert_eq!(
            told(&path),
            format!(
                "another collector writes to `{}`: stop it, or give this one a `--directory` of its own",
                path.display()
            )
        );
        drop(first);
        drop(Directory::open(&path, ROTATION, None).expect("the lock goes with its holder"));

        fs::remove_file(path.join("traces.jsonl")).unwrap();
        fs::create_dir(path.join("traces.jsonl")).unwrap();
        assert_eq!(told(&path), format!("cannot open `{}`", path.join("traces.jsonl").display()));
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        assert_eq!(told(Path::new("/dev/null/telemetry")), "cannot make the directory `/dev/null/telemetry`");
        // Nobody, not even root, makes files there.
        assert_eq!(told(Path::new("/proc/self")), "cannot write in the directory `/proc/self`");
    }
}
