//! The public HTTP cache tests (npm package `http-cache-tests`, by the editor of RFC 9111) against our cache. What came of
//! each test is kept in `results.txt`, which may only get better.
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

/// What is set other than by default: what the suite presumes of a cache, so that it can look at the rest.
const PROFILE: &[&str] = &[
    // A request that is sent again is one that the suite did not send: it gives such a test up.
    "--attempts",
    "1",
    // What RFC 9111 leaves to a site, and the suite takes for granted.
    "--heuristic-freshness",
    "--store-set-cookie",
    "--language-aware",
    "--store-post",
];

#[tokio::test]
async fn the_public_suite_finds_the_cache_no_worse_than_before() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/results.txt");
    let directory = Directory::new();
    if let Ok(only) = std::env::var("THROUGHLINE_CONFORMANCE_ONLY") {
        let only: Vec<&str> = only.split_whitespace().collect();
        let tests = run::run(directory.path(), PROFILE, &only).await;
        say(&run::exchanged(directory.path()));
        for test in &tests {
            say(&format!("{} {}: {}", test.kind, test.id, test.result));
        }
        assert!(!tests.is_empty(), "the suite has none of the tests {only:?}");
        return;
    }
    let now = verdict::verdicts(&run::run(directory.path(), PROFILE, &[]).await);
    for line in verdict::score(&now) {
        say(&line);
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
