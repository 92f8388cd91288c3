//! One file: appended to, taken over half written, full, moved away, turned.

use std::{
    num::NonZeroU32,
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use time::macros::datetime;

use super::*;
use crate::rotate::Keep;

const NOW: OffsetDateTime = datetime!(2026-11-23 07:26:02.123 UTC);
const ONE_FILE: Rotation = Rotation { bytes: u64::MAX, keep: Keep { files: None, age: None } };

/// A directory of its own for each test, gone with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("throughline-collector-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
    /// The files of logs, oldest first: a rotated one is sorted before the one being written.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }
    fn open(&self, rotation: Rotation) -> LineFile {
        LineFile::open(&self.0, "logs", rotation).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A directory that is left behind in the temporary directory spoils no test.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn lines_are_appended_to_what_is_there() {
    let place = Place::new();
    fs::write(place.at("logs.jsonl"), "old\n").unwrap();
    place.open(ONE_FILE).append(b"new\n", NOW).unwrap();
    place.open(ONE_FILE).append(b"newer\nnewest\n", NOW).unwrap();
    assert_eq!(place.read("logs.jsonl"), "old\nnew\nnewer\nnewest\n");
}

#[test]
fn a_new_file_is_readable_for_all() {
    let place = Place::new();
    place.open(ONE_FILE);
    let mode = fs::metadata(place.at("logs.jsonl")).unwrap().permissions().mode();
    // The tests' own umask may take more away, but nobody's right to read, by any usual one.
    assert_eq!(mode & 0o644, 0o644, "{mode:o}");
}

#[test]
fn a_half_last_line_stays_alone_on_its_own() {
    let place = Place::new();
    fs::write(place.at("logs.jsonl"), "whole\nhal").unwrap();
    let file = place.open(ONE_FILE);
    assert_eq!(place.read("logs.jsonl"), "whole\nhal", "opening writes nothing");
    file.append(b"new\n", NOW).unwrap();
    file.append(b"newer\n", NOW).unwrap();
    assert_eq!(place.read("logs.jsonl"), "whole\nhal\nnew\nnewer\n");
}

#[test]
fn a_full_disk_is_an_error_and_not_the_end() {
    let place = Place::new();
    symlink("/dev/full", place.at("logs.jsonl")).unwrap();
    let file = place.open(ONE_FILE);
    let error = file.append(b"lost\n", NOW).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot append to `{}`", place.at("logs.jsonl").display()));
    assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);

    fs::remove_file(place.at("logs.jsonl")).unwrap();
    file.append(b"kept\n", NOW).unwrap();
    assert_eq!(place.read("logs.jsonl"), "kept\n");
}

#[test]
fn a_file_moved_or_removed_from_outside_is_opened_anew() {
    let place = Place::new();
    let file = place.open(ONE_FILE);
    file.append(b"a\n", NOW).unwrap();
    fs::rename(place.at("logs.jsonl"), place.at("elsewhere")).unwrap();
    fs::write(place.at("logs.jsonl"), "in its place\n").unwrap();
    file.append(b"b\n", NOW).unwrap();
    assert_eq!(
        (place.read("elsewhere"), place.read("logs.jsonl")),
        ("a\n".into(), "in its place\nb\n".into())
    );
    fs::remove_file(place.at("logs.jsonl")).unwrap();
    file.append(b"c\n", NOW).unwrap();
    assert_eq!(place.read("logs.jsonl"), "c\n");
}

#[test]
fn a_directory_removed_from_outside_is_made_again() {
    let place = Place::new();
    let file = place.open(ONE_FILE);
    file.append(b"a\n", NOW).unwrap();
    fs::remove_dir_all(place.at("")).unwrap();
    file.append(b"b\n", NOW).unwrap();
    assert_eq!(place.read("logs.jsonl"), "b\n");
}

#[test]
fn a_full_file_is_put_away_under_its_time() {
    let place = Place::new();
    let file = place.open(Rotation { bytes: 6, ..ONE_FILE });
    file.append(b"one\n", NOW).unwrap();
    file.append(b"two\n", NOW).unwrap();
    file.append(b"a line larger than a file\n", NOW).unwrap();
    assert_eq!(
        place.files(),
        ["logs-2026-11-23T07-26-02.123.jsonl", "logs-2026-11-23T07-26-02.124.jsonl", "logs.jsonl"]
    );
    assert_eq!(place.read("logs-2026-11-23T07-26-02.123.jsonl"), "one\n");
    assert_eq!(place.read("logs-2026-11-23T07-26-02.124.jsonl"), "two\n");
    assert_eq!(place.read("logs.jsonl"), "a line larger than a file\n");
}

#[test]
fn only_what_is_beyond_the_bound_is_removed() {
    let place = Place::new();
    fs::write(place.at("logs-notes.jsonl"), "not ours").unwrap();
    let keep = Keep { files: NonZeroU32::new(1), age: None };
    let file = place.open(Rotation { bytes: 1, keep });
    for line in ["one\n", "two\n", "three\n"] {
        file.append(line.as_bytes(), NOW).unwrap();
    }
    assert_eq!(
        place.files(),
        ["logs-2026-11-23T07-26-02.124.jsonl", "logs-notes.jsonl", "logs.jsonl"],
        "the older of the two is gone"
    );
    assert_eq!(place.read("logs-2026-11-23T07-26-02.124.jsonl"), "two\n");
}

#[test]
fn rotation_under_concurrent_writers_loses_no_line() {
    const WRITERS: usize = 8;
    const CALLS: usize = 200;
    let place = Place::new();
    let file = place.open(Rotation { bytes: 1000, ..ONE_FILE });
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let file = &file;
            scope.spawn(move || {
                for call in 0..CALLS {
                    let lines = format!("{writer} {call} first\n{writer} {call} second\n");
                    file.append(lines.as_bytes(), OffsetDateTime::now_utc()).unwrap();
                }
            });
        }
    });
    let files = place.files();
    assert!(files.len() > 10, "{} files", files.len());
    let mut lines = Vec::new();
    for name in files {
        let text = place.read(&name);
        assert!(text.len() <= 1000 && text.ends_with('\n'), "{name}: {} bytes", text.len());
        for pair in text.lines().collect::<Vec<_>>().chunks(2) {
            assert_eq!(pair[0].replace("first", "second"), pair[1], "the lines of a call stand together");
            lines.push(pair[0].to_owned());
        }
    }
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), WRITERS * CALLS);
}

#[test]
fn a_reader_that_follows_sees_every_line_once() {
    let place = Place::new();
    let file = place.open(Rotation { bytes: 200, ..ONE_FILE });
    let mut reading = File::open(place.at("logs.jsonl")).unwrap();
    let mut seen = String::new();
    for number in 0..100 {
        file.append(format!("line {number}\n").as_bytes(), NOW).unwrap();
        // As `tail -F`: to the end of the file at hand, then on to the one that has taken its name.
        reading.read_to_string(&mut seen).unwrap();
        let place_of = |found: fs::Metadata| found.ino();
        let now = File::open(place.at("logs.jsonl")).unwrap();
        if place_of(now.metadata().unwrap()) != place_of(reading.metadata().unwrap()) {
            reading.read_to_string(&mut seen).unwrap();
            reading = now;
            reading.read_to_string(&mut seen).unwrap();
        }
    }
    let expected: String = (0..100).map(|number| format!("line {number}\n")).collect();
    assert_eq!(seen, expected);
}
