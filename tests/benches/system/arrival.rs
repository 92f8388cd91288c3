//! How long after its response a request's whole story is in the Collector's files.
//!
//! The files are followed as they grow, over the moment in which a full one is moved away. A sampled request has arrived
//! when its trace id has been seen as often as it is written: once a span, once a line.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Spans of one uncached read: two a proxy, then SERVER, `pool.acquire` and the statement.
const SPANS: usize = 7;
/// One line a service.
const LINES: usize = 3;

/// Sampled requests that have been answered, and what has been seen of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    awaited: Vec<Awaited>,
    took: Vec<Duration>,
}

#[derive(Debug)]
struct Awaited {
    id: String,
    answered: Instant,
    spans: usize,
    lines: usize,
}

impl Arrivals {
    /// Waits for the story of a request that was answered just now.
    pub(crate) fn answered(&self, id: &str) {
        let awaited = Awaited { id: id.to_owned(), answered: Instant::now(), spans: 0, lines: 0 };
        self.0.lock().expect("no panic").awaited.push(awaited);
    }

    /// Follows the files until dropped (run it as a task and abort it).
    pub(crate) async fn follow(self, directory: PathBuf) {
        let mut traces = Followed::new(directory.join("traces.jsonl"));
        let mut logs = Followed::new(directory.join("logs.jsonl"));
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        loop {
            pause.tick().await;
            let (spans, lines) = (traces.new_text(), logs.new_text());
            let state = &mut *self.0.lock().expect("no panic");
            for one in &mut state.awaited {
                one.spans += spans.matches(&format!("\"traceId\":\"{}\"", one.id)).count();
                one.lines += lines.matches(&one.id).count();
            }
            let arrived = state.awaited.extract_if(.., |one| one.spans >= SPANS && one.lines >= LINES);
            state.took.extend(arrived.map(|one| one.answered.elapsed()));
        }
    }

    /// The times from the response to the files, sorted, and how many stories never arrived.
    pub(crate) fn took(&self) -> (Vec<Duration>, usize) {
        let mut state = self.0.lock().expect("no panic");
        state.took.sort();
        (state.took.clone(), state.awaited.len())
    }
}

/// One file, read as it grows.
struct Followed {
    path: PathBuf,
    file: Option<File>,
    /// What came after the last whole line.
    rest: Vec<u8>,
}

impl Followed {
    fn new(path: PathBuf) -> Followed {
        Followed { file: File::open(&path).ok(), path, rest: Vec::new() }
    }

    /// The whole lines that were written since the last call.
    fn new_text(&mut self) -> String {
        self.read();
        if self.file.as_ref().is_none_or(|file| !is_at(file, &self.path)) {
            // What was written between the read and the move.
            self.read();
            self.file = File::open(&self.path).ok();
            self.read();
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let tail = self.rest.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.rest, tail)).into_owned()
    }

    fn read(&mut self) {
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut self.rest).expect("the collector's files can be read");
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let inode = |metadata: std::fs::Metadata| metadata.ino();
    path.metadata().map(inode).ok() == file.metadata().map(inode).ok()
}
