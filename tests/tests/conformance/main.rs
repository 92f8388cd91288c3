//! The public HTTP cache tests (npm package `http-cache-tests`, by the editor of RFC 9111) against our cache, set as the
//! suite presumes a cache to be, and as it is by default. What came of each test is kept in `results.txt` and
//! `default.txt`, which may only get better.
//!
//! Promises: real processes, the suite's own client, origin and verdicts; the same outcome in every run.
//! Refuses: to prove that the cache is right. The suite asks one user's questions of one host, with small bodies; what it
//! cannot see is tested elsewhere. It is older than RFC 9111: where the two differ, `results.txt` says so and the RFC wins.
//!
//! `UPDATE_EXPECT=1` writes what has become better into the file. `THROUGHLINE_CONFORMANCE_ONLY='ID ID…'` runs these tests
//! only and prints every message that they exchange.

use std::{io::Write, path::Path};

use kept::Kept;
use tests::Directory;

/// The kept file.
mod kept;
/// A run of the suite.
mod run;
/// What came of a test.
mod verdict;

/// A request that is sent again is one that the suite did not send: it gives such a test up.
const DEFAULT: &[&str] = &["--attempts", "1"];

/// What RFC 9111 leaves to a site, and the suite takes for granted, as well.
const PROFILE: &[&str] =
    &["--attempts", "1", "--heuristic-freshness", "--store-set-cookie", "--language-aware", "--store-post"];

#[tokio::test]
async fn the_public_suite_finds_the_cache_no_worse_than_before() {
    if let Ok(only) = std::env::var("THROUGHLINE_CONFORMANCE_ONLY") {
        let directory = Directory::new();
        let only: Vec<&str> = only.split_whitespace().collect();
        let tests = run::run(directory.path(), PROFILE, &only).await;
        say(&run::exchanged(directory.path()));
        for test in &tests {
            say(&format!("{} {}: {}", test.kind, test.id, test.result));
        }
        assert!(!tests.is_empty(), "the suite has none of the tests {only:?}");
        return;
    }
    is_no_worse("results.txt", PROFILE).await;
}

#[tokio::test]
async fn nor_as_it_is_by_default() {
    is_no_worse("default.txt", DEFAULT).await;
}

async fn is_no_worse(file: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(file);
    let directory = Directory::new();
    let now = verdict::verdicts(&run::run(directory.path(), arguments, &[]).await);
    for line in verdict::score(&now) {
        say(&format!("{file}: {line}"));
    }
    let kept = Kept::read(&path);
    let changes = kept.compared(&now);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        kept.updated(&now).write(&path);
        assert!(changes.lost.is_empty(), "passed before, and stays in {}: {changes}", path.display());
        return;
    }
    assert!(
        changes.is_empty(),
        "{changes}\nA lost test: THROUGHLINE_CONFORMANCE_ONLY=ID shows what it exchanges. \
         A change for the better is kept with UPDATE_EXPECT=1."
    );
}

/// To standard output itself: what a test that passes prints is not shown, and the score is for whoever runs it.
fn say(text: &str) {
    // Without a reader there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
}
