//! The invariants of ARCHITECTURE.md that a program can check: which crate may depend on which, who names the
//! OpenTelemetry SDK, what a file may look like.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The arrows of ARCHITECTURE.md: a crate and the crates of ours that it may depend on.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    (
        "throughline",
        &["load_balancer", "cache", "http_server", "worker", "collector", "journey", "store", "service"],
    ),
    ("load_balancer", &["service", "upstream", "telemetry"]),
    ("cache", &["service", "upstream", "telemetry"]),
    ("http_server", &["service", "store", "telemetry"]),
    ("worker", &["service", "store", "telemetry"]),
    ("collector", &["service", "journey", "telemetry"]),
    ("upstream", &["telemetry"]),
    ("store", &["telemetry"]),
    ("service", &["telemetry"]),
    ("telemetry", &[]),
    ("journey", &[]),
    ("tests", &["telemetry", "journey"]),
];

/// Modules that decide: values in, values out. `now` and randomness are arguments, and there is no I/O.
const PURE: &[&str] = &[
    "crates/cache/src/asked.rs",
    "crates/cache/src/cache_control.rs",
    "crates/cache/src/cache_status.rs",
    "crates/cache/src/entry/fields.rs",
    "crates/cache/src/freshness.rs",
    "crates/cache/src/groups.rs",
    "crates/cache/src/invalidate.rs",
    "crates/cache/src/key.rs",
    "crates/cache/src/language.rs",
    "crates/cache/src/plan.rs",
    "crates/cache/src/policy.rs",
    "crates/cache/src/range.rs",
    "crates/cache/src/second/breaker.rs",
    "crates/cache/src/second/form.rs",
    "crates/cache/src/second/message.rs",
    "crates/cache/src/second/state.rs",
    "crates/cache/src/storing.rs",
    "crates/cache/src/structured.rs",
    "crates/cache/src/validate.rs",
    "crates/cache/src/vary.rs",
    "crates/http_server/src/conditions.rs",
    "crates/http_server/src/groups.rs",
    "crates/http_server/src/members.rs",
    "crates/http_server/src/query.rs",
    "crates/http_server/src/receiver.rs",
    "crates/journey/src/audit.rs",
    "crates/journey/src/audit/findings.rs",
    "crates/journey/src/audit/hop.rs",
    "crates/journey/src/audit/judge.rs",
    "crates/journey/src/audit/ledger.rs",
    "crates/journey/src/audit/losses.rs",
    "crates/journey/src/audit/matching.rs",
    "crates/journey/src/audit/open.rs",
    "crates/journey/src/audit/report.rs",
    "crates/journey/src/audit/settle.rs",
    "crates/journey/src/baseline.rs",
    "crates/journey/src/batch.rs",
    "crates/journey/src/brief.rs",
    "crates/journey/src/brief/read.rs",
    "crates/journey/src/cursor.rs",
    "crates/journey/src/cut.rs",
    "crates/journey/src/cut/form.rs",
    "crates/journey/src/diff.rs",
    "crates/journey/src/diff/align.rs",
    "crates/journey/src/diff/json.rs",
    "crates/journey/src/diff/text.rs",
    "crates/journey/src/errors.rs",
    "crates/journey/src/follow.rs",
    "crates/journey/src/follow/tell.rs",
    "crates/journey/src/html.rs",
    "crates/journey/src/html/data.rs",
    "crates/journey/src/index/bits.rs",
    "crates/journey/src/index/ids.rs",
    "crates/journey/src/index/key.rs",
    "crates/journey/src/index/segment.rs",
    "crates/journey/src/index/tell.rs",
    "crates/journey/src/json.rs",
    "crates/journey/src/json/verdict.rs",
    "crates/journey/src/lru.rs",
    "crates/journey/src/map.rs",
    "crates/journey/src/map/drawing.rs",
    "crates/journey/src/map/table.rs",
    "crates/journey/src/objects.rs",
    "crates/journey/src/stats.rs",
    "crates/journey/src/stats/durations.rs",
    "crates/journey/src/story.rs",
    "crates/journey/src/story/clocks.rs",
    "crates/journey/src/story/cover.rs",
    "crates/journey/src/story/gaps.rs",
    "crates/journey/src/story/strays.rs",
    "crates/journey/src/story/tree.rs",
    "crates/journey/src/story/waits.rs",
    "crates/journey/src/table.rs",
    "crates/journey/src/text.rs",
    "crates/journey/src/text/columns.rs",
    "crates/journey/src/text/foot.rs",
    "crates/journey/src/text/items.rs",
    "crates/journey/src/text/rows.rs",
    "crates/journey/src/traces.rs",
    "crates/journey/src/verdict.rs",
    "crates/journey/src/verdict/certainty.rs",
    "crates/journey/src/verdict/failure.rs",
    "crates/journey/src/verdict/kinds.rs",
    "crates/journey/src/verdict/path.rs",
    "crates/journey/src/verdict/shares.rs",
    "crates/journey/src/verdict/view.rs",
    "crates/journey/src/window.rs",
    "crates/load_balancer/src/admit.rs",
    "crates/load_balancer/src/cache_status.rs",
    "crates/load_balancer/src/forwarded.rs",
    "crates/load_balancer/src/target.rs",
    "crates/service/src/http/pace.rs",
    "crates/store/src/backoff.rs",
    "crates/store/src/event.rs",
    "crates/store/src/task.rs",
    "crates/telemetry/src/milliseconds.rs",
    "crates/telemetry/src/protobuf.rs",
    "crates/telemetry/src/traceparent.rs",
    "crates/telemetry/src/tracestate.rs",
    "crates/telemetry/src/trust.rs",
    "crates/upstream/src/health.rs",
    "crates/upstream/src/pick.rs",
    "crates/upstream/src/rendezvous.rs",
    "crates/upstream/src/retry.rs",
    "crates/worker/src/address.rs",
    "crates/worker/src/fair.rs",
    "crates/worker/src/judge.rs",
    "crates/worker/src/outcome.rs",
    "crates/worker/src/retry_after.rs",
    "crates/worker/src/signature.rs",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("package `tests` lies in the workspace")
}

/// Every tracked or trackable file of ours with one of these endings.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the checkout's files");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let files: Vec<_> = String::from_utf8(listed.stdout)
        .expect("our names are UTF-8")
        .lines()
        .map(|name| root().join(name))
        .filter(|path| path.is_file())
        .filter(|path| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)))
        .collect();
    assert!(!files.is_empty(), "no files end with {endings:?}");
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).expect("listed below the root").display().to_string()
}

fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

/// The workspace's packages and what each depends on, tests' dependencies apart.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("a list");
            let built = all.iter().filter(|one| one["kind"] != "dev");
            (text(&package["name"]), built.map(|one| text(&one["name"])).collect())
        })
        .collect()
}

#[test]
fn crates_depend_only_in_the_drawn_direction() {
    let dependencies = dependencies();
    let mut drawn: Vec<_> = MAY_DEPEND_ON.iter().map(|(from, _)| *from).collect();
    drawn.sort_unstable();
    let packages: Vec<_> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(packages, drawn, "every package has its line in the drawing");
    for (from, allowed) in MAY_DEPEND_ON {
        let wrong: Vec<_> = dependencies[*from]
            .iter()
            .filter(|to| drawn.contains(&to.as_str()) && !allowed.contains(&to.as_str()))
            .map(|to| format!("{from} ─► {to}"))
            .collect();
        assert_none("an arrow that is not in ARCHITECTURE.md", &wrong);
    }
}

#[test]
fn only_telemetry_names_the_opentelemetry_sdk() {
    let wrong: Vec<_> = dependencies()
        .into_iter()
        .filter(|(package, _)| package != "telemetry")
        .filter(|(_, on)| on.iter().any(|to| to == "opentelemetry_sdk" || to == "opentelemetry-otlp"))
        .map(|(package, _)| package)
        .collect();
    assert_none("depends on the SDK or its exporter", &wrong);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut offenders = Vec::new();
    for path in files(&[".rs"]) {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > 500 {
            offenders.push(format!("{}: {lines} lines", name(&path)));
        }
        if !text.starts_with("//!") {
            offenders.push(format!("{}: does not open with `//!`", name(&path)));
        }
    }
    assert_none("a file of at most 500 lines opens with a sentence that says what it is", &offenders);
    for (document, bound) in [("README.md", 120), ("ARCHITECTURE.md", 150)] {
        let lines = read(&root().join(document)).lines().count();
        assert!(lines <= bound, "{document} has {lines} lines, at most {bound} wanted");
    }
}

#[test]
fn nothing_is_called_common_or_util() {
    let vague = ["util", "utils", "common", "misc", "helpers", "types"];
    let offenders: Vec<_> = files(&[".rs", ".toml"])
        .iter()
        .map(|path| name(path))
        .filter(|name| name.split(['/', '.']).any(|part| vague.contains(&part)))
        .collect();
    assert_none("a name that says nothing", &offenders);
}

#[test]
fn nothing_is_left_undone_and_no_test_sleeps_or_is_ignored() {
    // Put together here so that this file does not find itself.
    let undone = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
    ];
    let in_tests =
        [["#[ign", "ore"].concat(), ["thread::sl", "eep("].concat(), ["time::sl", "eep("].concat()];
    let mut offenders = Vec::new();
    for path in files(&[".rs", ".md", ".yaml", ".yml"]) {
        let text = read(&path);
        let file = name(&path);
        let tests = file.starts_with("tests/src/")
            || file.starts_with("tests/tests/")
            || file.contains("/tests/")
            || file.ends_with("tests.rs");
        let wanted = undone.iter().chain(in_tests.iter().filter(|_| tests));
        offenders
            .extend(wanted.filter(|word| text.contains(word.as_str())).map(|word| format!("{file}: {word}")));
    }
    assert_none("undone, asleep or ignored", &offenders);
}

#[test]
fn decisions_are_pure() {
    let impure = ["SystemTime::now", "Instant::now", "fastrand::", "std::fs", "std::net::Tcp", "tokio::"];
    let mut offenders = Vec::new();
    for file in PURE {
        let text = read(&root().join(file));
        // A point in time of Tokio's clock is a value like any other; reading the clock is not.
        let code = text.split("#[cfg(test)]").next().unwrap().replace("tokio::time::Instant", "");
        offenders
            .extend(impure.iter().filter(|word| code.contains(*word)).map(|word| format!("{file}: {word}")));
    }
    assert_none("a decision takes `now` and randomness as arguments and does no I/O", &offenders);
}
