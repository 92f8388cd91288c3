//! The data directory: `lock`, `bookings.db`, `telemetry/` and `logs/`. One `up` at a time uses it.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};

/// Locked as long as one of its clones lives; the system frees the lock of a process that was killed.
#[derive(Clone)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: Arc<File>,
}

impl Directory {
    /// Makes what is missing and takes the lock.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path.join("logs"))
            .with_context(|| format!("cannot make the data directory `{shown}`"))?;
        let file = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .with_context(|| format!("cannot open `{}`", file.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "the data directory `{shown}` is in use by another `throughline up`: stop that one, or give this one a --data-dir of its own"
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock `{}`", file.display()))
            }
        }
    }

    /// The Collector's files.
    pub(super) fn telemetry(&self) -> PathBuf {
        self.path.join("telemetry")
    }

    /// What the processes say, a file each.
    pub(super) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// What one process says.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// The embedded database.
    pub(super) fn database_url(&self) -> String {
        format!("sqlite:{}", self.path.join("bookings.db").display())
    }
}
