//! What came of a test, judged as cache-tests.fyi does (`determineTestResult` of the suite's `lib/display.mjs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use crate::run::Test;

/// The part of the suite about `Surrogate-Control`, a field of 2001 that no RFC has taken up; RFC 9213 has replaced it.
/// It is counted apart.
const SURROGATE: &str = "surrogate-control";

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The cache does what is expected; of a check, it does what is asked about.
    Pass,
    /// It does not.
    Fail,
    /// Another test that this one builds on did not pass.
    Depends,
    /// It did not come to what it tests.
    Setup,
    /// The cache sent a request twice.
    Retry,
    /// The suite itself failed.
    Harness,
}

const WORDS: [(Verdict, &str); 6] = [
    (Verdict::Pass, "pass"),
    (Verdict::Fail, "fail"),
    (Verdict::Depends, "depends"),
    (Verdict::Setup, "setup"),
    (Verdict::Retry, "retry"),
    (Verdict::Harness, "harness"),
];

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|(verdict, _)| verdict == self).map_or("", |(_, word)| word);
        f.pad(word)
    }
}

impl std::str::FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Verdict, String> {
        let found = WORDS.iter().find(|(_, word)| *word == text);
        found.map(|(verdict, _)| *verdict).ok_or_else(|| format!("no verdict: `{text}`"))
    }
}

/// A test by its place in the kept file: kind, part of the suite, id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) kind: String,
    pub(crate) suite: String,
    pub(crate) id: String,
}

/// Judges a run.
pub(crate) fn verdicts(tests: &[Test]) -> BTreeMap<Name, Verdict> {
    let by_id: BTreeMap<&str, &Test> = tests.iter().map(|test| (test.id.as_str(), test)).collect();
    let judged = |test: &Test| {
        let name = Name { kind: test.kind.clone(), suite: test.suite.clone(), id: test.id.clone() };
        (name, verdict(test, &by_id))
    };
    tests.iter().map(judged).collect()
}

fn verdict(test: &Test, all: &BTreeMap<&str, &Test>) -> Verdict {
    let passes = |id: &String| all.get(id.as_str()).is_some_and(|test| verdict(test, all) == Verdict::Pass);
    if !test.depends_on.iter().all(passes) {
        return Verdict::Depends;
    }
    match (&test.result, test.result[0].as_str(), test.result[1].as_str()) {
        (Value::Bool(true), ..) => Verdict::Pass,
        (_, Some("Setup"), Some("retry")) => Verdict::Retry,
        (_, Some("Setup"), _) => Verdict::Setup,
        (_, Some("Assertion"), _) => Verdict::Fail,
        _ => Verdict::Harness,
    }
}

/// `required 136 of 157`: a line a kind, and one for what is counted apart.
pub(crate) fn score(verdicts: &BTreeMap<Name, Verdict>) -> Vec<String> {
    let line = |what: &str, counted: &dyn Fn(&Name) -> bool| {
        let of: Vec<_> = verdicts.iter().filter(|(name, _)| counted(name)).collect();
        let passed = of.iter().filter(|(_, verdict)| **verdict == Verdict::Pass).count();
        format!("{what} {passed} of {}", of.len())
    };
    let is_surrogate = |name: &Name| name.suite == SURROGATE;
    let mut kinds: Vec<&str> = vec!["required", "optimal", "check"];
    let known: BTreeSet<&str> = verdicts.keys().map(|name| name.kind.as_str()).collect();
    kinds.retain(|kind| known.contains(kind));
    let of_kind = |kind: &&str| line(kind, &|name| name.kind == *kind && !is_surrogate(name));
    let mut lines: Vec<String> = kinds.iter().map(of_kind).collect();
    lines.push(line(SURROGATE, &is_surrogate));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn test(id: &str, depends_on: &[&str], result: Value) -> Test {
        Test {
            suite: "s".into(),
            id: id.into(),
            kind: "required".into(),
            depends_on: depends_on.iter().map(|id| (*id).to_owned()).collect(),
            result,
        }
    }

    #[test]
    fn a_test_counts_only_if_those_it_depends_on_pass() {
        let tests = [
            test("a", &[], json!(true)),
            test("b", &["a"], json!(["Assertion", "x"])),
            test("c", &["a", "b"], json!(true)),
            test("d", &["c"], json!(true)),
            test("e", &["gone"], json!(true)),
            test("f", &[], json!(["Setup", "x"])),
            test("g", &[], json!(["Setup", "retry"])),
            test("h", &[], json!(["TypeError", "x"])),
            test("i", &["a"], json!(true)),
        ];
        let found: Vec<String> =
            verdicts(&tests).iter().map(|(name, verdict)| format!("{} {verdict}", name.id)).collect();
        let expected = [
            "a pass",
            "b fail",
            "c depends",
            "d depends",
            "e depends",
            "f setup",
            "g retry",
            "h harness",
            "i pass",
        ];
        assert_eq!(found, expected);
    }
}
