//! An index changes how much is read and never what is found: whatever the file holds, whatever was done to either.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

use super::Again;
use crate::index;
use crate::{Input, Search, Wanted, json};

/// A directory of this test's own that is empty.
fn directory(test: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("journey-index-{}", std::process::id())).join(test);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Trace ids as programs make them: random, 64 bits filled up with zeros, begun with the time, alike for 6 digits.
fn id(number: u64) -> String {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
    match number % 4 {
        0 => format!("{random:016x}{:016x}", !random),
        1 => format!("{:032x}", random | 1),
        2 => format!("5759e988{:024x}", random),
        _ => format!("abcdef{:026x}", random),
    }
}

fn base64(id: &str) -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A line of the kind `kind` about the traces `a` and `b`, with so much padding.
fn line(kind: u8, a: u64, b: u64, padding: usize) -> Vec<u8> {
    let (first, other) = (id(a), id(b));
    let spelt = match a % 3 {
        0 => first.clone(),
        1 => first.to_uppercase(),
        _ => base64(&first),
    };
    let span = |trace: &str, number: u64, more: &str| {
        format!(
            r#"{{"traceId":"{trace}","spanId":"{number:016x}","name":"{}","kind":5,"startTimeUnixNano":"{number}"{more}}}"#,
            "x".repeat(padding)
        )
    };
    let link = format!(r#","links":[{{"traceId":"{other}","spanId":"{:016x}"}}]"#, b + 1);
    let request = |spans: &[String]| {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{}},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        )
    };
    let text = match kind {
        0 => request(&[span(&spelt, a + 1, ""), span(&other, b + 1, "")]),
        1 => request(&[span(&spelt, a + 1000, &link)]),
        2 => format!(r#"{{"message":"{}","trace_id":"{spelt}","uid":"{a}-{b}"}}"#, "y".repeat(padding)),
        3 => format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"traceId":"{spelt}","body":{{"stringValue":"{a}"}}}}]}}]}}]}}"#
        ),
        // Half a line, and another one glued to it.
        4 => {
            let half = request(&[span(&other, 7, "")]);
            half[..half.len() - 9 - padding / 2].to_owned() + &request(&[span(&spelt, a + 1, "")])
        }
        5 => format!("\0\0\0{}", "z".repeat(padding)),
        6 => String::new(),
        _ => format!(r#"{{"message":"a path /baskets/{other} of \"{spelt}\"","trace_id":"{spelt}"}}"#),
    };
    text.into_bytes()
}

/// Everything that is found of `wanted` in `from`, and how many bytes were looked at for it.
fn answer(from: &Path, wanted: &str) -> (String, u64) {
    let wanted: Wanted = wanted.parse().unwrap();
    let mut search = Search::new(wanted, Input::new(vec![from.to_owned()]));
    let mut bytes = 0;
    search.read_telling(&mut |read| bytes = read).unwrap();
    let mut told = format!("{} files, {} lines\n", search.tally().files, search.tally().lines);
    for trace in search.traces() {
        let mut stories = vec![search.story(trace)];
        let mut lines: Vec<String> = search.lines(trace).into_iter().map(|line| line.raw).collect();
        lines.sort_unstable();
        let runs = search.runs(trace).unwrap();
        stories.extend(runs.stories);
        search.follow_links(&mut stories).unwrap();
        let stories: Vec<String> = stories.iter().map(json::render).collect();
        told.push_str(&format!(
            "{trace}\n{}\n{}\n{:?}\n",
            lines.join("\n"),
            stories.join("\n"),
            runs.left_out
        ));
    }
    (told, bytes)
}

/// What may be asked: whole ids, there or not, and beginnings of every length.
fn questions() -> Vec<String> {
    let whole = (0..13).step_by(2).map(id);
    let prefixes = (1..4).flat_map(|number| [4, 6, 13].map(|length| id(number)[..length].to_owned()));
    whole.chain(prefixes).collect()
}

fn build(path: &Path) -> u64 {
    index::extend(path, Again::Little, &mut |_| {}).unwrap().map_or(0, |built| built.covered)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_from_an_index_is_that_of_a_scan(
        lines in vec((0..8_u8, 0..12_u64, 0..12_u64, prop_oneof![Just(0_usize), Just(100), Just(700)]), 1..40),
        is_ended: bool,
        grown in vec((0..8_u8, 0..12_u64, 0..12_u64, Just(10_usize)), 0..4),
    ) {
        let directory = directory("generated");
        let bytes = |lines: &[(u8, u64, u64, usize)]| -> Vec<u8> {
            lines.iter().map(|(kind, a, b, padding)| line(*kind, *a, *b, *padding)).collect::<Vec<_>>().join(&b'\n')
        };
        let mut text = bytes(&lines);
        if is_ended {
            text.push(b'\n');
        }
        let (plain, indexed) = (directory.join("plain"), directory.join("indexed"));
        for place in [&plain, &indexed] {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("traces.jsonl"), &text).unwrap();
        }
        let ends = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let covered = build(&indexed.join("traces.jsonl"));
        // Zeros and an empty line look like a file of protobuf, which is not read at all.
        prop_assert!(covered == ends as u64 || covered == 0 && text.starts_with(b"\0"), "{}", covered);
        for question in questions() {
            prop_assert_eq!(answer(&indexed, &question).0, answer(&plain, &question).0, "{}", question);
        }
        for place in [&plain, &indexed] {
            let mut file = OpenOptions::new().append(true).open(place.join("traces.jsonl")).unwrap();
            file.write_all(&bytes(&grown)).unwrap();
        }
        for question in questions() {
            prop_assert_eq!(answer(&indexed, &question).0, answer(&plain, &question).0, "grown, {}", question);
        }
        build(&indexed.join("traces.jsonl"));
        for question in questions() {
            prop_assert_eq!(answer(&indexed, &question).0, answer(&plain, &question).0, "again, {}", question);
        }
    }
}

/// Lines of half a kilobyte, each of one trace of its own.
fn many(from: u64) -> Vec<u8> {
    some(from..from + 60)
}

fn some(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let lines = numbers.map(|number| line(0, 4 * number, 4 * number, 200));
    lines.flat_map(|line| [line, b"\n".to_vec()].concat()).collect()
}

#[test]
fn only_what_may_hold_the_id_is_read() {
    let directory = directory("selective");
    let path = directory.join("traces.jsonl");
    fs::write(&path, many(0)).unwrap();
    let whole = fs::metadata(&path).unwrap().len();
    let scanned = answer(&directory, &id(80));
    assert_eq!(scanned.1, whole);
    assert_eq!(build(&path), whole);
    let indexed = answer(&directory, &id(80));
    assert_eq!(indexed.0, scanned.0);
    assert!(indexed.1 <= 2000, "{} of {whole} bytes", indexed.1);
    assert_eq!(answer(&directory, &id(4000)).1, 0, "an id that is nowhere");
    assert_eq!(answer(&directory, &id(80)[..8]).0, answer(&directory, &id(80)[..8]).0);
    // What is read of all is read of all, index or not.
    let mut bytes = 0;
    Input::new(vec![directory]).read(&|_| ((), true), &mut |(), read| bytes += read).unwrap();
    assert_eq!(bytes, whole);
}

/// Gives the answers for some ids in a directory with `many` and its index after `change` was made to it, and checks that they
/// are those of a scan; says how many bytes were looked at, of how many, and which indexes did not fit.
fn changed(test: &str, change: impl FnOnce(&Path)) -> (u64, u64, usize) {
    let directory = directory(test);
    fs::write(directory.join("traces.jsonl"), many(0)).unwrap();
    build(&directory.join("traces.jsonl"));
    change(&directory);
    let plain = directory.join("plain");
    fs::create_dir(&plain).unwrap();
    let mut whole = 0;
    for path in index::files(&directory).unwrap() {
        whole += fs::copy(&path, plain.join(path.file_name().unwrap())).unwrap();
    }
    for number in [0, 80, 200, 236, 240, 280] {
        assert_eq!(answer(&directory, &id(number)).0, answer(&plain, &id(number)).0, "{test} {number}");
    }
    let mut search = Search::new(id(80).parse().unwrap(), Input::new(vec![directory]));
    let mut bytes = 0;
    search.read_telling(&mut |read| bytes = read).unwrap();
    (bytes, whole, search.tally().unfit.len())
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_file_that_was_changed_is_read_as_it_is_now() {
    let one = line(0, 80, 280, 10);
    let (bytes, whole, unfit) = changed("unchanged", |_| {});
    assert!(bytes < whole / 5 && unfit == 0, "{bytes} of {whole}, {unfit}");
    let (bytes, whole, unfit) = changed("grown", |at| append(&at.join("traces.jsonl"), &one));
    assert!(bytes < whole / 5 && unfit == 0, "{bytes} of {whole}, {unfit}");
    let (bytes, whole, unfit) = changed("renamed", |at| {
        fs::rename(at.join("traces.jsonl"), at.join("traces-1.jsonl")).unwrap();
        fs::write(at.join("traces.jsonl"), &one).unwrap();
    });
    assert!(bytes < whole / 5 && unfit == 0, "{bytes} of {whole}, {unfit}");

    let all = |test: &str, unfit: usize, change: fn(&Path)| {
        let (bytes, whole, found) = changed(test, change);
        assert_eq!((bytes, found), (whole, unfit), "{test}");
    };
    all("truncated", 1, |at| fs::write(at.join("traces.jsonl"), &many(0)[..10_000]).unwrap());
    all("replaced", 1, |at| fs::write(at.join("traces.jsonl"), many(20)).unwrap());
    all("replaced_and_longer", 1, |at| {
        fs::write(at.join("traces.jsonl"), [many(20), many(0)].concat()).unwrap();
    });
    all("of_one_length", 1, |at| {
        let mut bytes = many(0);
        let half = bytes.len() / 2;
        bytes[..].rotate_left(half);
        fs::write(at.join("traces.jsonl"), bytes).unwrap();
        // Files that are written one after the other may have one time.
        let file = fs::File::options().append(true).open(at.join("traces.jsonl")).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(before + std::time::Duration::from_secs(1)).unwrap();
    });
    all("removed_and_made_anew", 1, |at| {
        fs::remove_file(at.join("traces.jsonl")).unwrap();
        fs::write(at.join("new"), b"x").unwrap();
        fs::write(at.join("traces.jsonl"), many(20)).unwrap();
    });
    all("somebody_elses_index", 1, |at| {
        fs::write(at.join("logs.jsonl"), many(20)).unwrap();
        fs::rename(at.join("traces.jsonl.index"), at.join("logs.jsonl.index")).unwrap();
        fs::remove_file(at.join("traces.jsonl")).unwrap();
    });
    all("no_index", 0, |at| assert!(index::remove(&at.join("traces.jsonl")).unwrap()));
}

#[test]
fn no_byte_of_an_index_can_be_wrong_and_change_an_answer() {
    let directory = directory("damaged");
    let path = directory.join("traces.jsonl");
    let lines = (0..6).map(|number| line(0, 4 * number, 4 * (number % 5), 200));
    fs::write(&path, lines.flat_map(|line| [line, b"\n".to_vec()].concat()).collect::<Vec<_>>()).unwrap();
    let asked = [id(4), id(8)[..9].to_owned()];
    let expected: Vec<String> = asked.iter().map(|id| answer(&directory, id).0).collect();
    build(&path);
    let at = index::path_of(&path);
    let sound = fs::read(&at).unwrap();
    let check = |what: &str, bytes: &[u8]| {
        fs::write(&at, bytes).unwrap();
        for (id, expected) in asked.iter().zip(&expected) {
            assert_eq!(answer(&directory, id).0, *expected, "{what}, {id}");
        }
    };
    check("sound", &sound);
    for byte in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[byte] ^= 1 << (byte % 8);
        check(&format!("byte {byte} flipped"), &damaged);
    }
    for length in (0..sound.len()).step_by(7) {
        check(&format!("cut to {length}"), &sound[..length]);
        check(&format!("without its first {length}"), &sound[length..]);
    }
    check("twice", &[&sound[..], &sound[..]].concat());
    check("zeros", &vec![0; sound.len()]);
}

#[test]
fn an_index_follows_its_file_and_goes_with_it() {
    let directory = directory("follows");
    let (traces, rotated) = (directory.join("traces.jsonl"), directory.join("traces-1.jsonl"));
    fs::write(&traces, many(0)).unwrap();
    let first = index::extend(&traces, Again::Little, &mut |_| {}).unwrap().unwrap();
    assert_eq!((first.read, first.covered), (many(0).len() as u64, many(0).len() as u64));
    let again = index::extend(&traces, Again::Little, &mut |_| {}).unwrap().unwrap();
    assert_eq!((again.read, again.index), (0, first.index));
    append(&traces, &some(60..70));
    let grown = index::extend(&traces, Again::Little, &mut |_| {}).unwrap().unwrap();
    assert_eq!(grown.read, some(60..70).len() as u64, "only what is new is read");
    append(&traces, &some(60..70));
    build(&traces);

    fs::rename(&traces, &rotated).unwrap();
    fs::write(&traces, many(120)).unwrap();
    let moved = index::extend(&rotated, Again::Little, &mut |_| {}).unwrap().unwrap();
    assert_eq!(moved.read, 0);
    assert!(index::path_of(&rotated).exists() && !index::path_of(&traces).exists());
    let whole = index::extend(&rotated, Again::Parts, &mut |_| {}).unwrap().unwrap();
    assert_eq!(whole.read, 2 * grown.read, "parts become one, a whole one stays");
    assert_eq!(index::extend(&rotated, Again::Parts, &mut |_| {}).unwrap().unwrap().read, 0);
    build(&traces);

    fs::write(directory.join("book.index"), "of a book").unwrap();
    let mut damaged = fs::read(index::path_of(&rotated)).unwrap();
    damaged[0] ^= 1;
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(directory.join("gone.jsonl.index"), damaged).unwrap();
    let one = || index::Removed { count: 1, foreign: Vec::new() };
    assert_eq!(index::remove_lost(&directory).unwrap(), one());
    fs::remove_file(&rotated).unwrap();
    assert_eq!(index::remove_lost(&directory).unwrap(), one());
    assert_eq!(index::remove_all(&directory).unwrap(), one());
    let mut left: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["book.index", "traces.jsonl"]);
}

#[test]
fn what_is_no_index_of_ours_is_left_as_it_is() {
    let directory = directory("foreign");
    let of = |name: &str| directory.join(name);
    fs::write(of("traces.jsonl"), many(0)).unwrap();
    let texts = ["search.json.index", "traces.jsonl.index", "empty.jsonl.index"];
    for name in texts {
        let text = if name.starts_with("empty") { String::new() } else { name.repeat(100) };
        fs::write(of(name), text).unwrap();
    }
    fs::create_dir(of("x.json.index")).unwrap();
    std::os::unix::fs::symlink("nowhere", of("link.json.index")).unwrap();
    let names = |removed: index::Removed| {
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<_> = removed.foreign.into_iter().map(name).collect();
        names.sort();
        (removed.count, names)
    };
    let gone = ["empty.jsonl.index", "link.json.index", "search.json.index", "x.json.index"];
    let (count, foreign) = names(index::remove_lost(&directory).unwrap());
    assert_eq!((count, &*foreign), (0, &gone.map(str::to_owned)[..]));
    assert_eq!(names(index::remove_all(&directory).unwrap()).1.len(), 5);
    let trouble = index::extend(&of("traces.jsonl"), Again::Little, &mut |_| {}).unwrap_err();
    assert!(trouble.is_foreign() && trouble.path() == of("traces.jsonl.index"), "{trouble}");
    assert!(index::remove(&of("traces.jsonl")).unwrap_err().is_foreign());
    assert!(index::follow(&of("traces.jsonl"), &of("traces-1.jsonl")).unwrap_err().is_foreign());
    for name in &texts[..2] {
        assert_eq!(fs::read_to_string(of(name)).unwrap(), name.repeat(100));
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 6, "nothing is added or gone");
}

#[test]
fn an_index_that_was_forged_does_not_make_the_reader_panic() {
    let directory = directory("forged");
    let path = directory.join("traces.jsonl");
    fs::write(&path, many(0)).unwrap();
    build(&path);
    append(&path, &many(60));
    build(&path);
    let expected = answer(&directory, &id(4 * 70)).0;
    let at = index::path_of(&path);
    let mut bytes = fs::read(&at).unwrap();
    // The words of the second segment: where it begins in the index, and the sum of its table.
    let words = bytes.len() - 52 - 68;
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let (table, blocks) = (number(&bytes, words + 32), number(&bytes, words + 40));
    bytes[table..table + 8 * blocks].fill(0xff);
    let sum = crc32fast::hash(&bytes[table..table + 8 * blocks]);
    bytes[words + 60..words + 64].copy_from_slice(&sum.to_le_bytes());
    let end = bytes.len() - 4;
    let sum = crc32fast::hash(&bytes[words - 68..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    fs::write(&at, bytes).unwrap();
    assert_eq!(answer(&directory, &id(4 * 70)).0, expected);
}

#[test]
fn an_index_that_was_made_after_the_file_was_looked_at_fits() {
    let directory = directory("newer");
    let path = directory.join("traces.jsonl");
    fs::write(&path, many(0)).unwrap();
    let data = fs::File::open(&path).unwrap();
    let before = data.metadata().unwrap();
    append(&path, &many(60));
    build(&path);
    let found = index::Finder::default().find(&path, &data, &before, &[]);
    assert_eq!(found.map(|places| places.covered), Ok(fs::metadata(&path).unwrap().len()));
}

#[test]
fn what_has_no_whole_line_has_no_index() {
    let directory = directory("nothing");
    for (name, bytes) in
        [("empty.jsonl", &b""[..]), ("half.jsonl", b"{\"trace"), ("packed.jsonl", &[0x1f, 0x8b, 8])]
    {
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(index::extend(&path, Again::Little, &mut |_| {}).unwrap(), None, "{name}");
        assert!(!index::path_of(&path).exists(), "{name}");
    }
    let missing = index::extend(&directory.join("x.jsonl"), Again::Little, &mut |_| {}).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read `"), "{missing}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 3, "nothing is left behind");
}
