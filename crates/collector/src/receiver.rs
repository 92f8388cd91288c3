//! From a decoded request to lines in a file: checked, redacted, written, and only then answered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use time::OffsetDateTime;

use crate::{counts::Counts, directory::Directory, file::AppendError, malformed::Malformed, signal::Signal};

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It never will be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The sender shall try again.
    #[error(transparent)]
    Unwritten(#[from] AppendError),
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) directory: Directory,
    pub(crate) counts: Counts,
    /// Largest message in bytes, decompressed.
    pub(crate) largest: usize,
    /// The last write failed: said once, and once when it is over.
    failing: AtomicBool,
}

impl Receiver {
    /// Writes into `directory`; takes no message of more than `largest` bytes.
    pub(crate) fn new(directory: Directory, largest: usize) -> Self {
        Self { directory, counts: Counts::default(), largest, failing: AtomicBool::new(false) }
    }

    /// Returns once the request is in its file. A request with nothing in it leaves no line.
    pub(crate) fn accept<S: Signal>(&self, mut request: S::Request) -> Result<(), Refusal> {
        S::check(&request)?;
        let number = S::count(&request);
        if number == 0 {
            return Ok(());
        }
        S::counted(&self.counts).receive(number);
        S::redact(&mut request);
        let mut lines = Vec::new();
        S::write(&mut lines, &request);
        drop(request);
        let result = S::file(&self.directory).append(&lines, OffsetDateTime::now_utc());
        self.tell(&result);
        result?;
        S::counted(&self.counts).write(number);
        Ok(())
    }

    fn tell(&self, result: &Result<(), AppendError>) {
        match result {
            Err(error) if !self.failing.swap(true, Relaxed) => {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "cannot write: senders are asked to try again");
            }
            Ok(()) if self.failing.load(Relaxed) && self.failing.swap(false, Relaxed) => {
                tracing::info!("writing again");
            }
            _ => {}
        }
    }
}
