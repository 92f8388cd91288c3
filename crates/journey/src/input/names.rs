//! Which files of a directory may hold spans or log lines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files of `directory` that may hold spans or log lines, in the order of their names.
pub(crate) fn telemetry_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    files(directory, is_telemetry)
}

/// The files of `directory` that may hold metrics, in the order of their names.
pub(crate) fn metrics_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    files(directory, |name| name.starts_with("metrics") && holds_lines(name))
}

fn files(directory: &Path, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A pipe among the files would be waited for until somebody writes into it. What cannot be examined is tried.
        let is_file = || fs::metadata(entry.path()).map_or(true, |found| found.is_file());
        if is_wanted(&entry.file_name().to_string_lossy()) && is_file() {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file of this name is read when its directory is named: JSON lines, rotated and packed ones too. Metrics
/// are not: their exemplars name traces, and they are large.
pub(crate) fn is_telemetry(name: &str) -> bool {
    holds_lines(name) && !name.starts_with("metrics")
}

fn holds_lines(name: &str) -> bool {
    let unpacked = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending));
    let unpacked = unpacked.unwrap_or(name);
    let is_form = |rest: &str| ["jsonl", "ndjson", "json"].iter().any(|form| is_rotated(rest, form));
    unpacked.match_indices('.').any(|(at, _)| is_form(&unpacked[at + 1..]))
}

/// Whether `rest` is `form`, perhaps with what rotation has added: a number, a time and a reason.
fn is_rotated(rest: &str, form: &str) -> bool {
    let Some(added) = rest.strip_prefix(form) else { return false };
    let begins = added.strip_prefix(['.', '-', '_']).unwrap_or(added);
    let is_time = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
    added.is_empty()
        || begins.starts_with(|letter: char| letter.is_ascii_digit()) && added.bytes().all(is_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        for (name, expected) in [
            ("traces.jsonl", true),
            ("traces-2026-11-21T22-26-40.123.jsonl", true),
            ("traces-2026-11-21T22-26-40.123-size.jsonl", true),
            ("traces.jsonl-2026-11-21T22-26-40.123-size.zst", true),
            ("logs.jsonl.gz", true),
            ("logs.jsonl.zst", true),
            ("logs.jsonl.zstd", true),
            ("logs.jsonl.2", true),
            ("logs.jsonl.2.gz", true),
            ("logs.jsonl.2.zst", true),
            ("logs.jsonl-20261121", true),
            ("logs.jsonl-20261121.gz", true),
            ("spans.ndjson", true),
            ("metrics.jsonl", false),
            ("metrics-2026.jsonl.gz", false),
            ("metrics.jsonl.zst", false),
            ("notes.txt", false),
            ("notes.txt.zst", false),
            ("logs.jsonl.bak", false),
            ("package.json.lock", false),
            ("7", false),
            (".collector.lock", false),
            ("jsonl", false),
        ] {
            assert_eq!(is_telemetry(name), expected, "{name}");
        }
    }
}
