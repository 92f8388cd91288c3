//! A run of the suite: its origin, our cache in front of it, and its client in front of that.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tests::{
    Service, eventually,
    program::{Program, built, packaged},
};

/// Most that a run may take; it takes a quarter of a minute, most of it pauses of the tests themselves.
const BOUND: Duration = Duration::from_secs(240);

/// One test of the suite and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    /// The part of the suite it belongs to.
    pub(crate) suite: String,
    pub(crate) id: String,
    /// `required`, `optimal` or `check`.
    pub(crate) kind: String,
    /// Tests without which this one says nothing.
    pub(crate) depends_on: Vec<String>,
    /// As the suite says it: `true`, or what failed and how.
    pub(crate) result: Value,
}

/// Runs the suite, or `only` some tests of it, against a cache with these arguments.
///
/// # Panics
/// When a part is not installed, with the command that installs it, or does not start or end in time.
pub(crate) async fn run(directory: &Path, arguments: &[&str], only: &[&str]) -> Vec<Test> {
    let suite = built("conformance-0.4.5/package.json");
    let suite = suite.parent().expect("a file has a folder");
    let (origin, _running) = origin(suite, directory).await;
    let upstream = format!("http://{origin}");
    let arguments = [&["--upstream", upstream.as_str()], arguments].concat();
    // Nobody takes its telemetry.
    let cache = Service::start_alone("cache", &arguments, "http://127.0.0.1:9").await;
    let results = directory.join("results.json");
    let mut client = Program::start(&packaged("node"), &client_log(directory), |command| {
        command.arg(script("client.mjs")).arg(suite).arg(format!("http://{}", cache.address()));
        command.arg(&results).args(only);
    });
    let status = client.ended_within(BOUND).await;
    assert!(status.success(), "the suite's client: {status}: {}", exchanged(directory));
    tests(&results)
}

/// What the suite's client has written besides its results.
pub(crate) fn exchanged(directory: &Path) -> String {
    fs::read_to_string(client_log(directory)).unwrap_or_default()
}

fn client_log(directory: &Path) -> PathBuf {
    directory.join("client.log")
}

/// The suite's origin, and where it listens.
async fn origin(suite: &Path, directory: &Path) -> (String, Program) {
    let output = directory.join("origin.log");
    let running = Program::start(&packaged("node"), &output, |command| {
        command.arg(script("origin.mjs")).arg(suite);
    });
    let address = eventually("the suite's origin listens", async || {
        let said = fs::read_to_string(&output).unwrap_or_default();
        let address = said.split_once('\n').and_then(|(line, _)| line.strip_prefix("listening on "));
        address.map(str::to_owned).ok_or(said)
    })
    .await;
    (address, running)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(name)
}

fn tests(results: &Path) -> Vec<Test> {
    let text = fs::read_to_string(results).unwrap_or_else(|error| panic!("{}: {error}", results.display()));
    let all: Vec<Value> = serde_json::from_str(&text).expect("the client writes a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let test = |one: Value| Test {
        suite: text(&one["suite"]),
        id: text(&one["id"]),
        kind: text(&one["kind"]),
        depends_on: one["depends_on"].as_array().expect("a list").iter().map(text).collect(),
        result: one["result"].clone(),
    };
    all.into_iter().map(test).collect()
}
