//! `index`: makes the indexes beside the Collector's files by which `trace` and `logs` find one request at once.
//!
//! Exit codes: 0 indexed, or removed; 1 nothing to index, or to remove; 2 trouble, 64 usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use journey::index::{self, Again, Removed, Row, Trouble};

use crate::reading::{self, Progress};

/// What can be told to `index`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    /// A directory or a file; may be repeated [default: ./throughline-data/telemetry, else ./telemetry]
    #[arg(long, env = "THROUGHLINE_FROM", value_name = "PATH")]
    from: Vec<PathBuf>,
    /// Remove the indexes instead, and what was begun of them
    #[arg(long)]
    remove: bool,
    /// For programs: one JSON object a file
    #[arg(long, env = "THROUGHLINE_JSON")]
    json: bool,
}

const BOUNDS: &str = "\
Beside each file of spans or log lines, `traces.jsonl`, lies its index then, `traces.jsonl.index`: usually less than \
1 % of it. `trace` and `logs` use it by themselves and give the same answers as without. Run this again whenever \
files have grown: only what is new is read. What is not indexed yet is searched as without an index, and so is \
everything where an index does not fit its file. A file that is renamed keeps its index; the indexes of files that are gone \
are removed. Whatever else has such a name is left as it is and named. Packed files (.gz, .zst) have none. What is written \
over in the middle of a file, its length and both ends left as they were, is not noticed: `--remove` the index of such a \
file. Takes up to 150 MB of memory. The embedded collector keeps its own files' indexes up by itself.

Exit codes: 0 indexed, or removed; 1 nothing to index, or to remove; 2 trouble; 64 usage.";

/// What came of all files.
#[derive(Default)]
struct Outcome {
    rows: Vec<Row>,
    removed: u64,
    /// What has the name of an index and is none of ours.
    foreign: Vec<PathBuf>,
    failed: bool,
}

/// Makes or removes the indexes.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let (remove, json) = (settings.remove, settings.json);
    let told = reading::places(settings.from).and_then(|from| {
        let mut outcome = Outcome::default();
        for place in &from {
            match remove {
                true => outcome.remove(place)?,
                false => outcome.index(place)?,
            }
        }
        outcome.tell(remove, json, &from)
    });
    told.unwrap_or_else(|error| {
        reading::complain(&format!("{error:#}"));
        ExitCode::from(2)
    })
}

impl Outcome {
    fn index(&mut self, place: &Path) -> anyhow::Result<()> {
        let mut progress = Progress::new();
        for path in index::files(place)? {
            let begun = Instant::now();
            let mut bytes = 0;
            let built = index::extend(&path, Again::Little, &mut |more| {
                bytes += more;
                progress.tell(format_args!("read {} MB of {}", bytes >> 20, path.display()));
            });
            match built {
                Ok(Some(built)) => self.rows.push(Row { path, built, took: begun.elapsed() }),
                Ok(None) => {}
                // The file has no index then, though one was asked for.
                Err(trouble) if trouble.is_foreign() => {
                    self.failed = true;
                    self.foreign.push(trouble.path().to_owned());
                }
                Err(trouble) => self.fail(&trouble),
            }
        }
        if place.is_dir() {
            self.take(index::remove_lost(place)?);
        }
        Ok(())
    }

    fn remove(&mut self, place: &Path) -> anyhow::Result<()> {
        match place.is_dir() {
            true => self.take(index::remove_all(place)?),
            false => match index::remove(place) {
                Err(trouble) if trouble.is_foreign() => self.foreign.push(trouble.path().to_owned()),
                removed => self.removed += u64::from(removed?),
            },
        }
        Ok(())
    }

    fn take(&mut self, removed: Removed) {
        self.removed += removed.count;
        self.foreign.extend(removed.foreign);
    }

    /// The other files may do well.
    fn fail(&mut self, trouble: &Trouble) {
        self.failed = true;
        let hint = match trouble.is_of_writing() {
            true => ": an index is written beside its file, by whoever may write in that directory",
            false => "",
        };
        reading::complain(&format!("{trouble}: {}{hint}", trouble.source));
    }

    fn tell(&self, remove: bool, json: bool, from: &[PathBuf]) -> anyhow::Result<ExitCode> {
        let places = reading::in_words(from);
        if self.removed > 0 {
            let of = if remove { "" } else { " of files that are gone" };
            reading::complain(&format!("indexes{of} removed: {}", self.removed));
        }
        if !self.foreign.is_empty() {
            let foreign: Vec<_> = self.foreign.iter().map(|path| format!("`{}`", path.display())).collect();
            let foreign = foreign.join(", ");
            reading::complain(&format!("no indexes of ours, left as they are: {foreign}: move them away"));
        }
        reading::print(&match json {
            true => index::json(&self.rows),
            false if self.rows.is_empty() => String::new(),
            false => index::text(&self.rows, reading::look().width),
        })?;
        Ok(match (self.failed, remove) {
            (true, _) => ExitCode::from(2),
            (false, true) if self.removed == 0 => {
                reading::complain(&format!("no index in {places}"));
                ExitCode::from(1)
            }
            (false, false) if self.rows.is_empty() => {
                reading::complain(&format!(
                    "{places} holds no whole line in a file that can be indexed (`*.jsonl`, `*.json`, rotated but not packed)"
                ));
                ExitCode::from(1)
            }
            _ => ExitCode::SUCCESS,
        })
    }
}
