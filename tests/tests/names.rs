//! The names that journey reads are the names that telemetry writes: journey owns its list, so that it works on anybody's
//! files; this holds the two together.

use journey::names as read;
use telemetry::names as written;

#[test]
fn every_name_that_is_written_for_the_story_is_read() {
    for (read, written) in [
        (read::METHOD[0], written::HTTP_REQUEST_METHOD),
        (read::PATH[0], written::URL_PATH),
        (read::ROUTE[0], written::HTTP_ROUTE),
        (read::STATUS[0], written::HTTP_RESPONSE_STATUS_CODE),
        (read::RESEND_COUNT[0], written::HTTP_REQUEST_RESEND_COUNT),
        (read::ERROR_TYPE, written::ERROR_TYPE),
        (read::PEER[0].0, written::SERVER_ADDRESS),
        (read::PEER[0].1, written::SERVER_PORT),
        (read::PEER[1].0, written::NETWORK_PEER_ADDRESS),
        (read::PEER[1].1, written::NETWORK_PEER_PORT),
        (read::DATABASE[0], written::DB_SYSTEM_NAME),
        (read::REPLICA, written::REPLICA),
        (read::RETRY_REASON, written::RETRY_REASON),
        (read::CACHE_RESULT, written::CACHE_RESULT),
        (read::CACHE_REASON, written::CACHE_REASON),
        (read::POOL_IN_USE, written::POOL_IN_USE),
        (read::POOL_SIZE, written::POOL_SIZE),
        (read::POOL_WAITING, written::POOL_WAITING),
        (read::POOL_WAIT_SPANS[0], written::SPAN_POOL_ACQUIRE),
        (read::WAIT_QUEUE_SPANS[0], written::SPAN_UPSTREAM_WAIT),
        (read::MESSAGE_KIND[0], written::MESSAGING_DESTINATION_NAME),
        (read::MESSAGE_ID, written::MESSAGING_MESSAGE_ID),
        (read::TRACEPARENT, written::TRACEPARENT),
        (read::SIGNAL, written::SIGNAL),
        (read::LOST[0].0, written::METRIC_TELEMETRY_DROPPED),
        (read::LOST[1].0, written::METRIC_COLLECTOR_FAILED_SPANS),
        (read::LOST[2].0, written::METRIC_COLLECTOR_FAILED_LOG_LINES),
        (read::LOST[3].0, written::METRIC_COLLECTOR_FAILED_METRIC_POINTS),
        (read::RUN, written::TASK_RUN),
        (read::EXCEPTION_TYPE, written::EXCEPTION_TYPE),
        (read::EXCEPTION_MESSAGE, written::EXCEPTION_MESSAGE),
        (read::EXCEPTION_STACKTRACE, written::EXCEPTION_STACKTRACE),
        (read::OWN_PREFIX, written::OWN_PREFIX),
    ] {
        assert_eq!(read, written);
    }
    assert_eq!(read::LINE_FIELDS, written::LINE_FIELDS);
}

#[test]
fn fields_of_the_flat_line_are_our_attributes_without_their_prefix() {
    let flat = |attribute: &'static str| attribute.strip_prefix(written::OWN_PREFIX);
    assert_eq!(flat(written::RESPONSE_TIME_MS), Some(read::LINE_RESPONSE_TIME));
    assert_eq!(flat(written::ATTEMPTS), Some(read::LINE_ATTEMPTS));
}

/// `otel-collector.yaml`.
fn collector_config() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../otel-collector.yaml");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_real_collector_names_the_fields_of_a_line_as_we_do() {
    let config = collector_config();
    for (attribute, field) in written::LINE_FIELDS {
        let set = format!(r#"set(log.cache["line"]["{field}"], log.attributes["{attribute}"])"#);
        let removed = format!(r#"delete_key(log.cache["line"], "{attribute}")"#);
        assert!(config.contains(&set), "otel-collector.yaml lacks {set}");
        assert!(config.contains(&removed), "otel-collector.yaml lacks {removed}");
    }
    let own = written::OWN_PREFIX.replace('.', r"\\.");
    let prefix = format!(r#"replace_all_patterns(log.cache["line"], "key", "^{own}", "")"#);
    assert!(config.contains(&prefix), "otel-collector.yaml lacks {prefix}");
}

#[test]
fn both_collectors_blank_by_the_same_rules() {
    let config = collector_config();
    let listed = |pattern: &&str| {
        // In the Collector's configuration a `$` is written `$$`.
        let item = format!("      - '{}'\n", pattern.replace('$', "$$").replace('\'', "''"));
        assert!(config.contains(&item), "otel-collector.yaml lacks {item}");
    };
    collector::BLOCKED_KEY_PATTERNS.iter().for_each(listed);
    collector::BLOCKED_VALUES.iter().for_each(listed);
    let lists = config.split("summary: silent").next().expect("split gives one");
    let rules = lists.lines().filter(|line| line.starts_with("      - '")).count();
    assert_eq!(rules, collector::BLOCKED_KEY_PATTERNS.len() + collector::BLOCKED_VALUES.len());
    for text in ["span.name", "span.status.message", "spanevent.name"] {
        for pattern in collector::BLOCKED_VALUES {
            let escaped = pattern.replace('\\', r"\\").replace('"', r#"\""#).replace('$', "$$");
            let replaced = format!(r#"replace_pattern({text}, "{escaped}", "****")"#);
            assert!(config.contains(&replaced), "otel-collector.yaml lacks {replaced}");
        }
    }
}
