//! Traces as OTLP/JSON: whatever was written is there, once, in today's spelling, in any order of the lines.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::expect;
use journey::{Input, Search, Story, TraceId, Wanted};
use serde_json::Value;

/// Telemetry in a few words.
mod support;

use support::{TRACE, cold_read, directory, file};

/// Lines of spans → what is cut out of them.
fn cut(test: &str, lines: &[String]) -> String {
    let directory = directory(test, &[("traces.jsonl", &file(lines))]);
    let wanted: Wanted = TRACE.parse().unwrap();
    let mut search = Search::new(wanted, Input::new(vec![directory])).keeping_written();
    search.read().unwrap();
    search.otlp(&[TraceId::read(TRACE).unwrap()])
}

/// A span with everything that OTLP knows, in the spelling of today.
const WHOLE: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cache"}}],"droppedAttributesCount":1},"schemaUrl":"https://opentelemetry.io/schemas/1.30.0","scopeSpans":[{"scope":{"name":"proxy","version":"0.1.0","attributes":[{"key":"a","value":{"boolValue":true}}]},"schemaUrl":"https://opentelemetry.io/schemas/1.29.0","spans":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","traceState":"rojo=00f067aa0ba902b7","parentSpanId":"00f067aa0ba902b8","flags":257,"name":"GET \"x\"","kind":2,"startTimeUnixNano":"1795300000123456789","endTimeUnixNano":"1795300000123556789","attributes":[{"key":"n","value":{"intValue":"9007199254740993"}},{"key":"d","value":{"doubleValue":0.1}},{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"x"},{"intValue":"1"}]}}},{"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":false}}]}}},{"key":"bytes","value":{"bytesValue":"AAE="}},{"key":"none","value":{}}],"droppedAttributesCount":2,"events":[{"timeUnixNano":"1795300000123456790","name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"io"}}],"droppedAttributesCount":3}],"droppedEventsCount":4,"links":[{"traceId":"5bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b9","traceState":"x=y","attributes":[],"flags":1}],"droppedLinksCount":5,"status":{"message":"no","code":2},"later":{"some_thing":[1.0,null]}}]}]}]}"#;

#[test]
fn what_is_written_as_it_should_be_stays_as_it_is() {
    assert_eq!(cut("cut_whole", &[WHOLE.to_owned()]), format!("{WHOLE}\n"));
}

#[test]
fn other_spellings_become_those_of_today() {
    let old = WHOLE
        .replace("scopeSpans", "instrumentationLibrarySpans")
        .replace("\"scope\"", "\"instrumentationLibrary\"")
        .replace("4bf92f3577b34da6a3ce929d0e0e4736", "S/kvNXezTaajzpKdDg5HNg==")
        .replace("5bf92f3577b34da6a3ce929d0e0e4736", "W/kvNXezTaajzpKdDg5HNg==")
        .replace("\"00f067aa0ba902b7\"", "\"APBnqgupArc=\"")
        .replace("\"9007199254740993\"", "9007199254740993")
        .replace("\"1795300000123456789\"", "1795300000123456789")
        .replace("\"kind\":2", "\"kind\":\"SPAN_KIND_SERVER\"")
        .replace("\"code\":2", "\"code\":\"STATUS_CODE_ERROR\"");
    assert_eq!(cut("cut_old", &[old]), format!("{WHOLE}\n"));
    let mut snake = WHOLE.to_owned();
    for (camel, other) in [
        ("resourceSpans", "resource_spans"),
        ("scopeSpans", "scope_spans"),
        ("schemaUrl", "schema_url"),
        ("traceId", "trace_id"),
        ("parentSpanId", "parent_span_id"),
        ("startTimeUnixNano", "start_time_unix_nano"),
        ("droppedAttributesCount", "dropped_attributes_count"),
        ("intValue", "int_value"),
        ("kvlistValue", "kvlist_value"),
    ] {
        snake = snake.replace(camel, other);
    }
    assert_eq!(cut("cut_snake", &[snake]), format!("{WHOLE}\n"));
}

#[test]
fn only_the_trace_is_cut_out_grouped_and_each_span_once_in_any_order() {
    let (lines, _) = cold_read();
    let other = lines[0].replace(TRACE, "5bf92f3577b34da6a3ce929d0e0e4736");
    let mut all = lines.clone();
    all.extend([lines[1].clone(), other, WHOLE.replace(TRACE, "6bf92f3577b34da6a3ce929d0e0e4736")]);
    let forward = cut("cut_forward", &all);
    all.reverse();
    assert_eq!(cut("cut_backward", &all), forward);
    let told: Value = serde_json::from_str(&forward).unwrap();
    let services = told["resourceSpans"].as_array().unwrap().iter().map(|one| {
        let spans = one["scopeSpans"][0]["spans"].as_array().unwrap();
        format!("{}: {}", one["resource"]["attributes"][1]["value"]["stringValue"], spans.len())
    });
    expect![[r#"["\"cache\": 3", "\"http_server\": 3", "\"load_balancer\": 2"]"#]]
        .assert_eq(&format!("{:?}", services.collect::<Vec<_>>()));
}

#[test]
fn the_story_of_what_was_cut_out_is_the_same() {
    let (lines, _) = cold_read();
    let story = |lines: &[String]| -> Story { support::story("cut_story", lines, &[]) };
    let text = |story: &Story| journey::text::render(story, Default::default());
    let before = text(&story(&lines));
    let cut_out: Vec<String> = cut("cut_again", &lines).lines().map(str::to_owned).collect();
    assert_eq!(text(&story(&cut_out)), before);
}

#[test]
fn a_large_trace_takes_several_lines_and_each_is_a_request() {
    let big = "x".repeat(journey::cut::LONGEST_LINE / 3);
    let lines: Vec<String> = (1..=7)
        .map(|id| {
            let span = support::span(id, 0, &big, support::SERVER, [0.0, 1.0], serde_json::json!({}));
            support::request("cache", &[span])
        })
        .collect();
    let told = cut("cut_large", &lines);
    let spans = |line: &str| {
        let request: Value = serde_json::from_str(line).unwrap();
        request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len()
    };
    assert_eq!(told.lines().map(spans).collect::<Vec<_>>(), [3, 3, 1]);
}

#[test]
fn what_is_odd_is_left_out_or_left_as_it_was() {
    let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(500), "]}}".repeat(500));
    for (written, told) in [
        (r#"{"traceId":"TRACE","spanId":"0000000000000001","attributes":DEEP}"#, true),
        (r#"{"traceId":"TRACE","spanId":"0000000000000001","attributes":[{"key":"x","value":DEEP}]}"#, true),
        (
            r#"{"traceId":"TRACE","spanId":"0000000000000001","kind":"odd","status":7,"events":{},"links":[7]}"#,
            true,
        ),
        (
            r#"{"traceId":"TRACE","spanId":"0000000000000001","parentSpanId":"","startTimeUnixNano":"soon"}"#,
            true,
        ),
        (r#"{"traceId":"TRACE","spanId":"odd"}"#, false),
        (r#"["TRACE"]"#, false),
    ] {
        let written = written.replace("TRACE", TRACE).replace("DEEP", &deep);
        let lines = [format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{written}]}}]}}]}}"#)];
        let expected = if told { format!("{}\n", lines[0]) } else { String::new() };
        assert_eq!(cut("cut_odd", &lines), expected, "{written:.200}");
    }
}
