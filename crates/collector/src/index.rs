//! The indexes of the files, kept up while they grow, so that one request is found in them at once ([`journey::index`]).
//!
//! A thread of its own reads what was written again, out of the kernel's memory: nobody who sends telemetry waits for it.
//! Promises: what is not indexed of a file that grows is at most [`DUE`] bytes, or a [`SHARE`] of it where that is more, and what
//! was written within [`PAUSE`]; a file
//! that was put away is indexed whole, in as few parts as can be; where an index cannot be written that is said once, and
//! telemetry is written on. Refuses: files that were there before it and had no index: `throughline index` makes theirs.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use journey::index::{self, Again};

/// So many bytes are searched in a few milliseconds. Of a smaller file there is no index.
const DUE: u64 = if cfg!(test) { 100 } else { 4 << 20 };
/// Each time the whole index is written again: of a file so many times larger it waits for more.
const SHARE: u64 = 64;
/// How often the files are looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// The files of which traces are asked for; of metrics none is.
const STEMS: [&str; 2] = ["traces", "logs"];

/// How long the end of the process waits for what is not indexed yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A file was put away under this name.
    Rotated(PathBuf),
    /// The process ends.
    Stop,
}

/// The thread that keeps the indexes up.
#[derive(Debug)]
pub(crate) struct Keeper {
    telling: Sender<Told>,
    ends: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Keeps those of `directory` up; `told` is the other end of `telling`.
    pub(crate) fn start(
        directory: &Path,
        telling: Sender<Told>,
        told: Receiver<Told>,
    ) -> std::io::Result<Self> {
        let mut indexes = Indexes::new(directory);
        let ends = indexes.ends.clone();
        let thread = thread::Builder::new().name("index".to_owned()).spawn(move || indexes.keep_up(&told))?;
        Ok(Self { telling, ends, thread: Mutex::new(Some(thread)) })
    }

    /// Returns when what was written is indexed: usually within a fraction of a second. What is not done within [`PATIENCE`] is
    /// left to the next process.
    pub(crate) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.stop());
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            tracing::warn!("an index is not up yet: the next start goes on with it");
        }
    }

    /// Blocks for as long as it takes to finish with the file that it is at.
    fn stop(&self) {
        self.ends.store(true, Relaxed);
        // A thread that has ended hears nothing and need not.
        let _ = self.telling.send(Told::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that keeps indexes up has panicked");
        }
    }
}

/// The indexes of one directory.
#[derive(Debug)]
struct Indexes {
    directory: PathBuf,
    /// How much of each file is indexed, by its inode.
    covered: HashMap<u64, u64>,
    is_failing: bool,
    /// What has the name of an index and was said to be none.
    foreign: HashSet<PathBuf>,
    /// Whether the process ends, and what can wait is left to the next one.
    ends: Arc<AtomicBool>,
}

impl Indexes {
    fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            covered: HashMap::new(),
            is_failing: false,
            foreign: HashSet::new(),
            ends: Arc::default(),
        }
    }

    fn keep_up(&mut self, told: &Receiver<Told>) {
        self.finish_begun();
        loop {
            match told.recv_timeout(PAUSE) {
                Ok(Told::Rotated(path)) => self.finish(&path),
                Err(RecvTimeoutError::Timeout) => self.look(false),
                Ok(Told::Stop) | Err(RecvTimeoutError::Disconnected) => return self.look(true),
            }
        }
    }

    /// Indexes whole a file that was put away, unless it is too small to have an index.
    fn finish(&mut self, path: &Path) {
        let is_large = || fs::metadata(path).is_ok_and(|found| found.len() >= DUE);
        if index::path_of(path).exists() || is_large() {
            self.extend(path, Again::Parts);
        }
    }

    /// Finishes what an earlier process had begun.
    fn finish_begun(&mut self) {
        match index::remove_lost(&self.directory) {
            Ok(removed) => removed.foreign.into_iter().for_each(|path| self.leave(path)),
            Err(trouble) => self.tell(Err(trouble)),
        }
        // What cannot be listed is not written to either, and that is said elsewhere.
        for path in index::files(&self.directory).unwrap_or_default() {
            if self.ends.load(Relaxed) {
                return;
            }
            if !self.is_growing(&path) && index::path_of(&path).exists() {
                self.extend(&path, Again::Parts);
            }
        }
    }

    /// Extends the indexes of files that have grown enough, at the end by however little, and begins those of files that are
    /// large enough.
    fn look(&mut self, is_last: bool) {
        for path in STEMS.map(|stem| self.growing(stem)) {
            // A file that is gone comes again with the next line.
            let Ok(found) = fs::metadata(&path) else { continue };
            // One that has become shorter was cut, and is another one now.
            let covered = self.covered.get(&found.ino()).copied().filter(|covered| *covered <= found.len());
            let has_index = covered.is_some() || index::path_of(&path).exists();
            let covered = covered.unwrap_or(0);
            if found.len() - covered >= due(covered, is_last && has_index) {
                self.extend(&path, Again::Little);
            }
        }
    }

    fn extend(&mut self, path: &Path, again: Again) {
        let inode = fs::metadata(path).map(|found| found.ino());
        let mut built = index::extend(path, again, &mut |_| {});
        if !path.exists() {
            // It expired or was packed meanwhile: then it needs no index.
            built = index::remove(path).map(|_| None);
        }
        if let (Ok(inode), Ok(Some(built))) = (inode, &built) {
            // Those of files that were put away are not asked for again.
            self.covered.retain(|_, _| again == Again::Little);
            self.covered.insert(inode, built.covered);
        }
        self.tell(built.map(drop));
    }

    fn growing(&self, stem: &str) -> PathBuf {
        self.directory.join(format!("{stem}.jsonl"))
    }

    fn is_growing(&self, path: &Path) -> bool {
        STEMS.iter().any(|stem| self.growing(stem) == path)
    }

    /// Says once of something that has the name of an index that it is in the way.
    fn leave(&mut self, path: PathBuf) {
        if self.foreign.insert(path.clone()) {
            tracing::warn!(file = %path.display(), "not an index of ours, left as it is: move it away");
        }
    }

    fn tell(&mut self, outcome: Result<(), index::Trouble>) {
        match outcome {
            Err(trouble) if trouble.is_foreign() => self.leave(trouble.path().to_owned()),
            Err(trouble) if !std::mem::replace(&mut self.is_failing, true) => {
                let error: &dyn std::error::Error = &trouble;
                tracing::warn!(error, "no index is kept up: requests are found by reading everything");
            }
            Ok(()) if std::mem::take(&mut self.is_failing) => tracing::info!("indexes are kept up again"),
            _ => {}
        }
    }
}

/// By how much a file has grown when its index, which covers so much of it, is extended.
fn due(covered: u64, is_last: bool) -> u64 {
    if is_last { 1 } else { DUE.max(covered / SHARE) }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, sync::mpsc};

    use time::{Duration as Span, macros::datetime};

    use super::*;
    use crate::{
        file::LineFile,
        rotate::{Keep, Rotation},
    };

    const LINE: &[u8] =
        b"{\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"message\":\"a line of a hundred bytes\"}\n";

    /// The files of a directory that hold indexes, and of which of them nothing is left to index.
    fn indexed(directory: &Path) -> Vec<String> {
        let files = index::files(directory).unwrap();
        let whole = files.iter().filter(|path| index::path_of(path).exists()).map(|path| {
            let built = index::extend(path, Again::Little, &mut |_| {}).unwrap().unwrap();
            let state = if built.read == 0 { "" } else { " in part" };
            format!("{}{state}", path.file_name().unwrap().to_string_lossy())
        });
        whole.collect()
    }

    fn place(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("throughline-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn the_larger_a_file_the_more_it_grows_before_its_index_is_written_again() {
        let check = |covered: u64, is_last: bool, expected: u64| {
            assert_eq!(due(covered, is_last), expected, "{covered} {is_last}");
        };
        check(0, false, DUE);
        check(SHARE * DUE, false, DUE);
        check(SHARE * DUE * 10, false, DUE * 10);
        check(SHARE * DUE * 10, true, 1);
    }

    #[test]
    fn a_file_that_was_cut_is_indexed_before_it_is_as_long_as_it_was() {
        let directory = place("cut");
        let path = directory.join("logs.jsonl");
        fs::write(&path, LINE.repeat(20)).unwrap();
        let mut indexes = Indexes::new(&directory);
        indexes.look(false);
        fs::write(&path, LINE.repeat(5)).unwrap();
        indexes.look(false);
        assert_eq!(indexed(&directory), ["logs.jsonl"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_small_file_that_was_put_away_and_one_that_is_gone_have_no_index() {
        let directory = place("small");
        let [small, gone] = ["logs-1.jsonl", "logs-2.jsonl"].map(|name| directory.join(name));
        fs::write(&small, LINE).unwrap();
        fs::write(&gone, LINE.repeat(2)).unwrap();
        let mut indexes = Indexes::new(&directory);
        indexes.finish(&small);
        indexes.extend(&gone, Again::Parts);
        assert_eq!(indexed(&directory), ["logs-2.jsonl"]);
        fs::remove_file(&gone).unwrap();
        indexes.finish(&gone);
        assert!(!indexes.is_failing, "nothing is said of it");
        let left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["logs-1.jsonl"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_an_earlier_process_had_begun_waits_when_the_process_ends() {
        let directory = place("ends");
        let path = directory.join("logs-1.jsonl");
        fs::write(&path, LINE.repeat(2)).unwrap();
        let mut indexes = Indexes::new(&directory);
        indexes.extend(&path, Again::Parts);
        fs::write(&path, LINE.repeat(4)).unwrap();
        let before = fs::read(index::path_of(&path)).unwrap();
        indexes.ends.store(true, Relaxed);
        indexes.finish_begun();
        assert_eq!(fs::read(index::path_of(&path)).unwrap(), before);
        indexes.ends.store(false, Relaxed);
        indexes.finish_begun();
        assert_ne!(fs::read(index::path_of(&path)).unwrap(), before);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn indexes_grow_with_the_files_and_move_and_go_with_them() {
        let directory = std::env::temp_dir().join(format!("throughline-indexes-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (telling, told) = mpsc::channel();
        let keep = Keep { files: NonZeroU32::new(1), age: None };
        let rotation = Rotation { bytes: 3 * LINE.len() as u64, keep };
        let file = LineFile::open(&directory, "logs", rotation).unwrap().telling(telling.clone());
        let mut now = datetime!(2026-11-23 07:26:02.123 UTC);
        let mut append = || {
            now += Span::SECOND;
            file.append(LINE, now).unwrap();
        };
        let mut indexes = Indexes::new(&directory);
        append();
        indexes.look(false);
        assert_eq!(indexed(&directory), Vec::<String>::new(), "too small");
        append();
        indexes.look(false);
        assert_eq!(indexed(&directory), ["logs.jsonl"]);
        append();
        append();
        assert!(
            directory.join("logs-2026-11-23T07-26-06.123.jsonl.index").exists(),
            "it moves with its file at once"
        );
        let Ok(Told::Rotated(path)) = told.try_recv() else { panic!("a rotation is told") };
        indexes.finish(&path);
        assert_eq!(indexed(&directory), ["logs-2026-11-23T07-26-06.123.jsonl"]);
        // A rotation that nobody could hear of, and one more: the first file expires, and its index with it.
        (0..6).for_each(|_| append());
        let mut names: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["logs-2026-11-23T07-26-12.123.jsonl", "logs.jsonl"]);

        let again = directory.join("logs-2026-11-23T07-26-12.123.jsonl");
        index::extend(&again, Again::Little, &mut |_| {}).unwrap();
        append();
        let keeper = Keeper::start(&directory, telling, told).unwrap();
        keeper.stop();
        assert!(indexed(&directory).contains(&"logs.jsonl".to_owned()), "{:?}", indexed(&directory));
        fs::remove_dir_all(directory).unwrap();
    }
}
