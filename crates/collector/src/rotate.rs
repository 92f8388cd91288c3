//! When a file is full, what it is then called, and how long it is kept: decisions only.
//!
//! Names are those of the Collector's file exporter: `traces.jsonl` becomes `traces-2026-11-23T07-26-02.123.jsonl`,
//! the time being that of the rotation, in UTC. Sorted by name they are sorted by time.
//! Promises: only names of that form are ever removed, and only whole files.

use std::{num::NonZeroU32, time::Duration};

use time::{OffsetDateTime, PrimitiveDateTime, format_description::FormatItem, macros::format_description};

const STAMP: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]-[minute]-[second].[subsecond digits:3]");

/// When to begin a new file and which of the old ones to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    /// A file that would grow beyond this is rotated first.
    pub(crate) bytes: u64,
    pub(crate) keep: Keep,
}

/// Which rotated files stay: those that break neither bound. By default all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keep {
    pub(crate) files: Option<NonZeroU32>,
    pub(crate) age: Option<Duration>,
}

impl Rotation {
    /// Whether a file of `length` bytes is put away before `more` are written. An empty one never is.
    pub(crate) fn is_due(&self, length: u64, more: u64) -> bool {
        length > 0 && length.saturating_add(more) > self.bytes
    }
}

/// `traces` and a time make `traces-2026-11-23T07-26-02.123.jsonl`.
pub(crate) fn name(stem: &str, at: OffsetDateTime) -> String {
    let stamp =
        at.to_offset(time::UtcOffset::UTC).format(STAMP).expect("the form needs only what a time has");
    format!("{stem}-{stamp}.jsonl")
}

/// When the file of this name was rotated, if it is one of `stem`'s.
fn rotated_at(stem: &str, name: &str) -> Option<OffsetDateTime> {
    let stamp = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".jsonl")?;
    Some(PrimitiveDateTime::parse(stamp, STAMP).ok()?.assume_utc())
}

impl Keep {
    /// Those of `names` in the directory that are rotated files of `stem` and kept no longer.
    pub(crate) fn expired<'a>(
        &self,
        stem: &str,
        names: impl IntoIterator<Item = &'a str>,
        now: OffsetDateTime,
    ) -> Vec<&'a str> {
        let mut rotated: Vec<_> =
            names.into_iter().filter_map(|name| Some((rotated_at(stem, name)?, name))).collect();
        rotated.sort_unstable();
        let too_many = self.files.map_or(0, |keep| rotated.len().saturating_sub(keep.get() as usize));
        let too_old = self.age.map_or(0, |age| rotated.partition_point(|(at, _)| now - *at > age));
        rotated.truncate(too_many.max(too_old));
        rotated.into_iter().map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-23 07:26:02.123 UTC);

    #[test]
    fn rotated_files_are_named_by_their_time_in_utc() {
        assert_eq!(name("traces", NOW), "traces-2026-11-23T07-26-02.123.jsonl");
        let elsewhere = datetime!(2026-01-02 03:04:05.0069 +05:30);
        assert_eq!(name("logs", elsewhere), "logs-2026-01-01T21-34-05.006.jsonl");
        assert_eq!(
            rotated_at("logs", "logs-2026-01-01T21-34-05.006.jsonl").map(|at| name("logs", at)).unwrap(),
            "logs-2026-01-01T21-34-05.006.jsonl"
        );
    }

    #[test]
    fn a_file_is_rotated_before_it_grows_too_large() {
        fn check(length: u64, more: u64, expected: bool) {
            let rotation = Rotation { bytes: 100, keep: Keep::default() };
            assert_eq!(rotation.is_due(length, more), expected, "{length} + {more}");
        }
        check(0, 1000, false);
        check(50, 50, false);
        check(50, 51, true);
        check(100, 1, true);
        check(u64::MAX, 1, true);
    }

    #[test]
    fn only_rotated_files_beyond_a_bound_expire() {
        const NAMES: [&str; 9] = [
            "traces.jsonl",
            "traces-2026-11-20T00-00-00.000.jsonl",
            "traces-2026-11-22T00-00-00.000.jsonl",
            "traces-2026-11-23T00-00-00.000.jsonl",
            "traces-2026-11-23T07-00-00.500.jsonl",
            "logs-2026-11-20T00-00-00.000.jsonl",
            "traces-2026-11-20.jsonl",
            "traces-2026-11-20T00-00-00.000.jsonl.gz",
            "traces-notes.jsonl",
        ];
        fn check(files: u32, hours: u64, expected: &[&str]) {
            let keep = Keep {
                files: NonZeroU32::new(files),
                age: (hours > 0).then(|| Duration::from_secs(hours * 3600)),
            };
            assert_eq!(keep.expired("traces", NAMES, NOW), expected, "{files} files, {hours} hours");
        }
        check(0, 0, &[]);
        check(4, 0, &[]);
        check(3, 0, &NAMES[1..2]);
        check(1, 0, &NAMES[1..4]);
        check(0, 24, &NAMES[1..3]);
        check(3, 24, &NAMES[1..3]);
        check(1, 24, &NAMES[1..4]);
        check(0, 24 * 365, &[]);
    }
}
