//! Log lines, found by level, logger, service, text and time, whatever wrote them.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use journey::logs::{Filter, Level, Logs, harmless};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One line, `second` seconds after 22:26.
fn line(second: u64, level: &str, logger: &str, message: &str) -> String {
    json!({
        "timestamp": format!("2026-11-21T22:26:{second:02}Z"), "level": level, "message": message,
        "service": logger.split(':').next(), "logger": logger, "uid": format!("u-{second}"),
    })
    .to_string()
}

fn written() -> Vec<String> {
    vec![
        line(1, "INFO", "cache::proxy", "request"),
        line(2, "WARN", "cache::proxy", "attempt failed"),
        line(3, "ERROR", "worker", "a task is dead"),
        line(4, "DEBUG", "cache::store", "Request forgotten"),
        // Other loggers' spellings.
        r#"{"time":1795299965000,"level":40,"msg":"slow","service.name":"shop"}"#.to_owned(),
        r#"{"ts":1795299966.5,"severity":"warning","msg":"\"quoted\" request"}"#.to_owned(),
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeLogs":[{"scope":{"name":"till"},"logRecords":[{"timeUnixNano":"1795299967000000000","severityNumber":17,"body":{"stringValue":"no money"}},{"timeUnixNano":"1795299968000000000","severityNumber":5,"body":{"stringValue":"money"}}]}]}]}"#.to_owned(),
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"request ERROR"}]}]}]}"#.to_owned(),
        r#"{"message":"it does not say when","level":"info"}"#.to_owned(),
    ]
}

fn found(lines: &[String], filter: Filter) -> Vec<String> {
    let mut logs = Logs::new(Filter { limit: filter.limit.max(1), ..filter });
    let block = lines.join("\n") + "\n";
    logs.take(block.as_bytes());
    logs.finish().lines
}

/// What the lines say.
fn messages(filter: Filter) -> Vec<String> {
    let message = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line.get("message").or_else(|| line.get("msg")).unwrap().as_str().unwrap().to_owned()
    };
    found(&written(), Filter { limit: 100, ..filter }).iter().map(message).collect()
}

#[test]
fn lines_are_found_by_what_is_in_them_the_newest_last() {
    let check =
        |filter: Filter, expected: &[&str]| assert_eq!(messages(filter.clone()), expected, "{filter:?}");
    let usual = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    check(
        usual(),
        &[
            "it does not say when",
            "request",
            "attempt failed",
            "a task is dead",
            "Request forgotten",
            "slow",
            "\"quoted\" request",
            "no money",
            "money",
        ],
    );
    check(
        Filter { level: Some(Level::Warn), ..usual() },
        &["attempt failed", "a task is dead", "slow", "\"quoted\" request", "no money"],
    );
    check(Filter { level: Some(Level::Error), ..usual() }, &["a task is dead", "no money"]);
    check(Filter { logger: text("cache::"), ..usual() }, &["request", "attempt failed", "Request forgotten"]);
    check(Filter { logger: text("till"), ..usual() }, &["no money", "money"]);
    check(
        Filter { services: vec!["shop".to_owned(), "worker".to_owned()], ..usual() },
        &["a task is dead", "slow", "no money", "money"],
    );
    check(Filter { text: text("request"), ..usual() }, &["request", "\"quoted\" request"]);
    check(Filter { text: text("no money"), ..usual() }, &["no money"]);
    check(Filter { text: text("\"quoted\""), ..usual() }, &["\"quoted\" request"]);
    check(
        Filter { text: text("reQuest"), ignores_case: true, ..usual() },
        &["request", "Request forgotten", "\"quoted\" request"],
    );
    let second = |second: u64| Some((1_795_299_960 + second) * 1_000_000_000);
    check(
        Filter { since: second(3), until: second(5), ..usual() },
        &["a task is dead", "Request forgotten", "slow"],
    );
}

#[test]
fn the_newest_are_kept_each_once() {
    let mut lines = written();
    lines.extend(written());
    assert_eq!(found(&lines, Filter { limit: 2, ..Filter::default() }).len(), 2);
    let some = found(&written(), Filter { limit: 3, ..Filter::default() });
    assert!(some[2].contains(r#""message":"money""#), "{some:?}");
    let ours: Vec<String> = written().into_iter().take(4).chain(written().into_iter().take(4)).collect();
    assert_eq!(found(&ours, Filter { limit: 100, ..Filter::default() }), written()[..4]);
}

#[test]
fn nothing_that_a_terminal_acts_on_is_left_and_it_is_the_same_json() {
    let raw = "{\"message\":\"a\u{7f}b\u{9b}2Jc\u{202e}d\u{e0041}\"}";
    let shown = harmless(raw);
    assert_eq!(shown, r#"{"message":"a\u007fb\u009b2Jc\u202ed\udb40\udc41"}"#);
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(parse(&shown), parse(raw));
}

proptest! {
    #[test]
    fn no_line_ends_the_search(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0..400_usize,
        which in 0..9_usize,
        at in 0..400_usize,
        with in any::<u8>(),
    ) {
        let mut damaged = written()[which].clone().into_bytes();
        if let Some(byte) = damaged.get_mut(at) {
            *byte = with;
        }
        damaged.truncate(cut);
        for level in [None, Some(Level::Warn)] {
            let mut logs = Logs::new(Filter { level, limit: 10, ..Filter::default() });
            logs.take(&bytes);
            logs.take(&damaged);
            for line in logs.finish().lines {
                prop_assert!(!harmless(&line).chars().any(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn a_level_is_found_whatever_is_looked_at_first(
        level in prop_oneof![Just("INFO"), Just("warn"), Just("Error"), Just("odd")],
        nested in prop_oneof![Just("INFO"), Just("ERROR")],
        is_spaced in any::<bool>(),
    ) {
        let mut line = json!({"level": level, "message": "\"level\":\"INFO\"", "more": {"level": nested}}).to_string();
        if is_spaced {
            line = line.replace("\":", "\": ");
        }
        let expected = level.parse::<Level>().is_ok_and(|level| level >= Level::Warn);
        let some = found(&[line], Filter { level: Some(Level::Warn), limit: 10, ..Filter::default() });
        prop_assert_eq!(some.len(), usize::from(expected));
    }
}
