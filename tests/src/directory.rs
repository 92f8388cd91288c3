//! A directory of a test's own: removed at its end, kept and named when it fails.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Below the system's temporary directory; dropped with whatever is in it.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// A new one. Its name is short: sockets in it have bounds of their own.
    ///
    /// # Panics
    /// When it cannot be made.
    #[expect(clippy::new_without_default, reason = "it makes something outside of this process")]
    pub fn new() -> Directory {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("throughline-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Directory(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    #[expect(clippy::print_stderr, reason = "whoever reads the failed test must know where its files are")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the test's files are kept in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
