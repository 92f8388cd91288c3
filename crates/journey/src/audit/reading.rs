//! Files → an audit, in the order of their times.
//!
//! Spans and lines of one trace stand in different files. Files that belong together (`logs.jsonl` and what it was
//! rotated to) are read one after the other, by a thread for each such series, and of all series the one is taken from
//! that has come least far in time: so what belongs together comes near together, and the audit can forget early.
//! Memory: for each of [`MOST_SERIES`] series what [`Input`] takes, read and parsed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::Audit;
use super::hop::Seen;
use super::losses;
use crate::input::{self, Block, Input, Tally, Unreadable};

/// Series that are read side by side; further ones are read after the last of them.
const MOST_SERIES: usize = 4;

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// Files and lines, and what could not be read of them.
    pub tally: Tally,
    /// What was in them.
    pub counts: Counts,
}

/// What was in the files.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Spans, repeats included.
    pub spans: u64,
    /// Log lines.
    pub lines: u64,
    /// Lines that were understood only in part or not at all.
    pub damaged: u64,
    /// Last lines of files that are not whole.
    pub half: u64,
}

/// What a thread has read of its series.
enum Part {
    Seen { seen: Seen, bytes: u64 },
    Half,
    End(Tally),
}

/// A series that is being read.
struct Series {
    parts: Receiver<Part>,
    /// How far in time it has come.
    reached: u64,
}

/// Reads everything in `places` into `audit`, metrics first; says now and then to `tell` how many bytes have been read.
///
/// # Errors
/// As [`Input::read`].
pub fn read(places: &[PathBuf], audit: &mut Audit, tell: &mut dyn FnMut(u64)) -> Result<Read, Unreadable> {
    let mut read = Read::default();
    let mut bytes = 0;
    let mut metrics = Input::new(metrics_of(places)?);
    metrics.read(&|block: Block<'_>| (lines_of_losses(block.text), block.is_ended), &mut |lines, more| {
        bytes += more;
        tell(bytes);
        lines.iter().for_each(|line| audit.take_metrics(line));
    })?;
    add(&mut read.tally, metrics.tally());
    let mut series = series_of(places)?;
    thread::scope(|scope| {
        let mut running: Vec<Series> = Vec::new();
        for paths in series.drain(..) {
            let (sender, parts) = sync_channel(1);
            scope.spawn(move || read_series(paths, &sender));
            running.push(Series { parts, reached: 0 });
        }
        // Of two that have come equally far the first: the same input gives the same answer.
        while let Some(at) = (0..running.len()).min_by_key(|at| (running[*at].reached, *at)) {
            match running[at].parts.recv() {
                Ok(Part::Seen { seen, bytes: more }) => {
                    bytes += more;
                    tell(bytes);
                    running[at].reached = running[at].reached.max(seen.latest());
                    read.counts.spans += seen.hops.len() as u64;
                    read.counts.lines += seen.told.len() as u64;
                    read.counts.damaged += seen.odd;
                    audit.take_seen(seen);
                }
                Ok(Part::Half) => read.counts.half += 1,
                Ok(Part::End(tally)) => {
                    add(&mut read.tally, &tally);
                    read.tally.unreadable.extend(tally.unreadable);
                    running.remove(at);
                }
                // Its thread ended before its end was told: it can only have panicked, which the scope passes on.
                Err(_) => drop(running.remove(at)),
            }
        }
    });
    Ok(read)
}

fn read_series(paths: Vec<PathBuf>, sender: &SyncSender<Part>) {
    let mut tally = Tally::default();
    for path in paths {
        let mut input = Input::new(vec![path]);
        // Whoever has stopped listening wants no more.
        let outcome = input.read(&parse, &mut |seen, bytes| {
            drop(sender.send(seen.map_or(Part::Half, |seen| Part::Seen { seen, bytes })));
        });
        add(&mut tally, input.tally());
        match outcome {
            // Rotation took it away between listing and opening.
            Err(Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            outcome => tally.unreadable.extend(outcome.err()),
        }
    }
    drop(sender.send(Part::End(tally)));
}

/// What is in a block, and whether it was understood; nothing of a last line that is not whole yet.
fn parse(block: Block<'_>) -> (Option<Seen>, bool) {
    let mut seen = Seen::default();
    block.text.split(|byte| *byte == b'\n').for_each(|line| seen.take(line));
    let is_understood = block.is_ended || seen.odd == 0;
    (Some(seen).filter(|_| is_understood), is_understood)
}

/// The lines of metrics that may tell of a loss.
fn lines_of_losses(block: &[u8]) -> Vec<Vec<u8>> {
    block.split(|byte| *byte == b'\n').filter(|line| losses::may_tell(line)).map(<[u8]>::to_vec).collect()
}

fn add(sum: &mut Tally, more: &Tally) {
    sum.files += more.files;
    sum.lines += more.lines;
    sum.too_long += more.too_long;
    sum.cut_short += more.cut_short;
    sum.protobuf += more.protobuf;
}

/// The files of spans and lines in `places`, those together that continue one another, in the order of their names.
fn series_of(places: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>, Unreadable> {
    let mut series: BTreeMap<(PathBuf, String), Vec<PathBuf>> = BTreeMap::new();
    for path in files(places, input::telemetry_files)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.split(['-', '.']).next().unwrap_or_default().to_owned();
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        series.entry((directory, stem)).or_default().push(path);
    }
    let mut series: Vec<Vec<PathBuf>> = series.into_values().collect();
    let further: Vec<PathBuf> = series.drain(series.len().min(MOST_SERIES)..).flatten().collect();
    if let Some(last) = series.last_mut() {
        last.extend(further);
    }
    Ok(series)
}

fn metrics_of(places: &[PathBuf]) -> Result<Vec<PathBuf>, Unreadable> {
    let directories: Vec<PathBuf> = places.iter().filter(|place| place.is_dir()).cloned().collect();
    files(&directories, input::metrics_files)
}

/// What `list` finds in the directories among `places`, and all other places as they are.
fn files(
    places: &[PathBuf],
    list: impl Fn(&Path) -> io::Result<Vec<PathBuf>>,
) -> Result<Vec<PathBuf>, Unreadable> {
    let mut found = Vec::new();
    for place in places {
        let unreadable = |source| Unreadable { path: place.clone(), source };
        if place.as_os_str() == "-" {
            found.push(place.clone());
        } else if fs::metadata(place).map_err(unreadable)?.is_dir() {
            found.extend(list(place).map_err(unreadable)?);
        } else {
            found.push(place.clone());
        }
    }
    Ok(found)
}
