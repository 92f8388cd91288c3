//! `results.txt`: a line a test, sorted: its verdict, kind, part of the suite and id, and where somebody has said why it
//! is not to pass, the reason.
//!
//! Promises: what has passed once never silently stops; a reason stays as long as its test does not pass.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use crate::verdict::{Name, Verdict};

const HEAD: &str = "\
# What came of each test of http-cache-tests 0.4.5. Written by the test `conformance` with UPDATE_EXPECT=1; only what stands
# after `#` on a line is by hand: why a test is not to pass.
";

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct Kept(BTreeMap<Name, Line>);

#[derive(Clone, Debug)]
struct Line {
    verdict: Verdict,
    reason: Option<String>,
}

/// How a run differs from the file.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Passed and do not, or are no longer there.
    pub(crate) lost: Vec<String>,
    /// Pass and did not.
    pub(crate) won: Vec<String>,
    /// Neither, but otherwise than before, or new.
    pub(crate) other: Vec<String>,
}

impl Kept {
    /// Reads it; empty where there is none.
    ///
    /// # Panics
    /// When a line of it cannot be read.
    pub(crate) fn read(path: &Path) -> Kept {
        Kept::parse(&fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Kept {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Kept(lines.map(parse).collect())
    }

    /// What of a run is otherwise.
    pub(crate) fn compared(&self, now: &BTreeMap<Name, Verdict>) -> Changes {
        let mut changes = Changes::default();
        let gone = self.0.iter().filter(|(name, _)| !now.contains_key(name));
        let before = now
            .iter()
            .map(|(name, verdict)| (name, self.0.get(name).map(|line| line.verdict), Some(*verdict)));
        let all = before.chain(gone.map(|(name, line)| (name, Some(line.verdict), None)));
        for (name, before, now) in all.filter(|(_, before, now)| before != now) {
            let word =
                |verdict: Option<Verdict>| verdict.map_or("absent".to_owned(), |verdict| verdict.to_string());
            let line = format!("{} {}: {} → {}", name.kind, name.id, word(before), word(now));
            // What a check finds out is neither good nor bad.
            match (name.kind.as_str(), before, now) {
                ("check", ..) => changes.other.push(line),
                (_, Some(Verdict::Pass), _) => changes.lost.push(line),
                (_, _, Some(Verdict::Pass)) => changes.won.push(line),
                _ => changes.other.push(line),
            }
        }
        changes
    }

    /// The file after a run: as the run has it, but for what was lost.
    pub(crate) fn updated(&self, now: &BTreeMap<Name, Verdict>) -> Kept {
        let is_lost = |name: &Name, verdict: Option<Verdict>| {
            let before = self.0.get(name).map(|line| line.verdict);
            name.kind != "check" && before == Some(Verdict::Pass) && verdict != Some(Verdict::Pass)
        };
        let lost = self.0.iter().filter(|(name, _)| is_lost(name, now.get(name).copied()));
        let lost = lost.map(|(name, line)| (name.clone(), line.clone()));
        let stays = now.iter().map(|(name, verdict)| {
            let reason = self.0.get(name).and_then(|line| line.reason.clone());
            let reason = reason.filter(|_| *verdict != Verdict::Pass);
            (name.clone(), Line { verdict: *verdict, reason })
        });
        Kept(stays.chain(lost).collect())
    }

    /// Writes it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, self.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn parse(line: &str) -> (Name, Line) {
    let (fields, reason) = match line.split_once(" # ") {
        Some((fields, reason)) => (fields, Some(reason.to_owned())),
        None => (line, None),
    };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [verdict, kind, suite, id] = fields[..] else { panic!("not `VERDICT KIND SUITE ID`: `{line}`") };
    let verdict = verdict.parse().unwrap_or_else(|error| panic!("`{line}`: {error}"));
    (Name { kind: kind.to_owned(), suite: suite.to_owned(), id: id.to_owned() }, Line { verdict, reason })
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for (Name { kind, suite, id }, Line { verdict, reason }) in &self.0 {
            write!(f, "{verdict:7} {kind:8} {suite} {id}")?;
            match reason {
                Some(reason) => writeln!(f, " # {reason}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.won.is_empty() && self.other.is_empty()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, lines) in [("lost", &self.lost), ("won", &self.won), ("otherwise", &self.other)] {
            for line in lines {
                write!(f, "\n  {what}: {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
pass    required s a
fail    required s b # the RFC says otherwise
pass    optimal  s c
fail    check    s d
";

    fn run(lines: &[&str]) -> BTreeMap<Name, Verdict> {
        lines.iter().map(|line| parse(line)).map(|(name, line)| (name, line.verdict)).collect()
    }

    #[test]
    fn a_difference_is_lost_won_or_neither() {
        let check = |now: &[&str], expected: &str| {
            assert_eq!(Kept::parse(BEFORE).compared(&run(now)).to_string(), expected, "{now:?}");
        };
        let (a, b, c, d) = ("pass required s a", "fail required s b", "pass optimal s c", "fail check s d");
        check(&[a, b, c, d], "");
        check(&["setup required s a", b, c, d], "\n  lost: required a: pass → setup");
        check(&[a, b, d], "\n  lost: optimal c: pass → absent");
        check(&[a, "pass required s b", c, d], "\n  won: required b: fail → pass");
        check(&[a, "retry required s b", c, d], "\n  otherwise: required b: fail → retry");
        check(&[a, b, c, "pass check s d"], "\n  otherwise: check d: fail → pass");
        check(&[a, b, c, d, "pass required s e"], "\n  won: required e: absent → pass");
    }

    #[test]
    fn an_update_takes_what_is_better_and_keeps_what_was_lost_and_why() {
        let check = |now: &[&str], expected: &[&str]| {
            let text = Kept::parse(BEFORE).updated(&run(now)).to_string();
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert_eq!(lines, expected, "{now:?}");
        };
        check(
            &["fail required s a", "retry required s b", "pass check s d"],
            &[
                "pass    check    s d",
                "pass    optimal  s c",
                "pass    required s a",
                "retry   required s b # the RFC says otherwise",
            ],
        );
        check(
            &["pass required s b"],
            &["pass    optimal  s c", "pass    required s a", "pass    required s b"],
        );
    }
}
