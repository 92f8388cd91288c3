//! Files → an audit, in the order of their times.
//!
//! Spans and lines of one trace stand in different files. Files that belong together (`logs.jsonl` and what it was
//! rotated to) are read one after the other, by a thread for each such series, and of all series the one is taken from
//! that has come least far in time: so what belongs together comes near together, and the audit can forget early.
//! Memory: the cores are shared by the series, each has two pieces of 256 KiB for each of its cores (of one series alone:
//! of 4 MiB), read and parsed. Beyond [`MOST_SERIES`] series the rest is read after the last of them: if memory fills up
//! then, nothing is said of what seems to be missing.

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
pub(super) const MOST_SERIES: usize = 64;

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
    let (mut series, further) = series_of(places)?;
    audit.read_late(further);
    let count = series.len();
    thread::scope(|scope| {
        let mut running: Vec<Series> = Vec::new();
        for paths in series.drain(..) {
            let (sender, parts) = sync_channel(1);
            scope.spawn(move || read_series(paths, count, &sender));
            running.push(Series { parts, reached: 0 });
        }
        // Of two that have come equally far the first: the same input gives the same answer.
        while let Some(at) = (0..running.len()).min_by_key(|at| (running[*at].reached, *at)) {
            match running[at].parts.recv() {
                Ok(Part::Seen { seen, bytes: more }) => {
                    bytes += more;
                    tell(bytes);
                    running[at].reached = seen.reached().unwrap_or(running[at].reached);
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

fn read_series(paths: Vec<PathBuf>, count: usize, sender: &SyncSender<Part>) {
    let mut tally = Tally::default();
    for path in paths {
        let mut input = Input::new(vec![path]).shared_by(count);
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

/// The files of spans and lines in `places`, those together that continue one another, in the order of their names;
/// and how many are read after the last series because there are too many.
fn series_of(places: &[PathBuf]) -> Result<(Vec<Vec<PathBuf>>, usize), Unreadable> {
    let mut series: BTreeMap<(PathBuf, String), Vec<PathBuf>> = BTreeMap::new();
    for path in files(places, input::telemetry_files)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.split(['-', '.']).next().unwrap_or_default().to_owned();
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        series.entry((directory, stem)).or_default().push(path);
    }
    let mut series: Vec<Vec<PathBuf>> = series.into_values().collect();
    let further = series.split_off(series.len().min(MOST_SERIES));
    let count = further.len();
    if let Some(last) = series.last_mut() {
        last.extend(further.into_iter().flatten());
    }
    Ok((series, count))
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

#[cfg(test)]
mod tests {
    use super::super::open::OpenTraces;
    use super::super::{Report, Settings};
    use super::*;

    /// 2026-11-21T22:26:40Z.
    const THEN: u64 = 1_795_300_000_000_000_000;

    /// Service `number` of a chain: the line of its span in trace `trace`, which the one before has called.
    fn line(number: u64, trace: u64) -> String {
        let (start, end) = (THEN + trace * 1_000_000 + number, THEN + trace * 1_000_000 + 1000 - number);
        let parent = if number == 0 { String::new() } else { format!("{number:016x}") };
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"s{number}"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"{:032x}","spanId":"{:016x}","parentSpanId":"{parent}","kind":2,"name":"x","startTimeUnixNano":"{start}","endTimeUnixNano":"{end}"}}]}}]}}]}}"#,
            trace + 1,
            number + 1
        )
    }

    /// What is told of a sound chain of so many services, each with a file of its own, in room for two thirds of it.
    fn told(services: u64, traces: u64, change: impl Fn(u64, &mut Vec<String>)) -> Report {
        let directory = std::env::temp_dir().join(format!("journey-audit-{}-{services}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for number in 0..services {
            let mut lines: Vec<String> = (0..traces).map(|trace| line(number, trace)).collect();
            change(number, &mut lines);
            fs::write(directory.join(format!("s{number:03}.jsonl")), lines.join("\n") + "\n").unwrap();
        }
        let mut audit = Audit::new(Settings { now: u64::MAX, ..Settings::default() });
        let all = (services * traces) as usize * size_of::<super::super::hop::Hop>();
        audit.open = OpenTraces::new(all * 2 / 3);
        read(std::slice::from_ref(&directory), &mut audit, &mut |_| ()).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        audit.finish()
    }

    #[test]
    fn files_of_many_services_are_read_side_by_side() {
        let report = told(7, 3000, |_, _| ());
        assert!(report.is_sound(), "{}", report.text(120));
        assert_eq!(report.requests, 7 * 3000);
    }

    #[test]
    fn a_moment_that_is_far_off_does_not_hold_up_its_file() {
        let report = told(3, 3000, |number, lines| {
            if number == 0 {
                lines.insert(
                    0,
                    line(0, 0).replace("17953", "99953").replace(&format!("{:032x}", 1), &"e".repeat(32)),
                );
            }
        });
        assert!(report.is_sound(), "{}", report.text(120));
    }

    #[test]
    fn of_more_files_than_can_be_read_side_by_side_nothing_is_said_to_be_missing() {
        let report = told(MOST_SERIES as u64 + 2, 30, |_, _| ());
        assert!(report.findings.is_empty() && !report.is_whole(), "{}", report.text(120));
        assert!(
            report.text(80).contains("note: 2 series of files are more than the 64"),
            "{}",
            report.text(80)
        );
        assert!(report.json().contains(r#""verdict":"undecided""#), "{}", report.json());
    }
}
