//! OTLP/JSON in every spelling: the reader of stories and the reader of questions over everything find the same spans.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use journey::brief::Picks;
use journey::{Input, Pass};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

mod support;
use support::{TRACE, directory, pairs, searched};

/// What both readers tell of a span.
type Told = (String, Option<String>, String, String, u64, u64, bool);

/// What each reader finds of [`TRACE`] in these lines, and how many lines the second one takes for damaged.
fn found(test: &str, lines: &[String]) -> (Vec<Told>, Vec<Told>, u64) {
    let directory = directory(test, &[("traces.jsonl", lines.join("\n").as_bytes())]);
    let search = searched(&directory);
    let traces = search.traces();
    let story = traces.first().map(|trace| search.story(*trace));
    let mut of_story: Vec<Told> = story
        .iter()
        .flat_map(|story| story.spans())
        .map(|span| {
            let parent = span.parent.map(|id| id.to_string());
            let kind = span.kind.to_string();
            (span.id.to_string(), parent, kind, span.service.clone(), span.start, span.end, span.failed)
        })
        .collect();
    of_story.sort();
    let mut pass = Pass::new(Input::new(vec![directory]), Picks::default());
    let mut of_pass: Vec<Told> = Vec::new();
    let mut take = |spans: &[journey::brief::Brief]| {
        let of_trace = spans.iter().filter(|span| span.trace.to_string() == TRACE);
        of_pass.extend(of_trace.map(|span| {
            let parent = span.parent.map(|id| id.to_string());
            let kind = span.kind.to_string();
            (span.id.to_string(), parent, kind, span.service.to_string(), span.start, span.end, span.failed)
        }));
    };
    pass.run(&mut take, &mut |_| {}).unwrap();
    of_pass.sort();
    (of_story, of_pass, pass.counts().damaged + pass.counts().half)
}

/// A span whose members are spelt as `spelling` says; `id` is its last digit.
fn span(id: u64, spelling: usize) -> Value {
    let (start, end) = (1_795_300_000_000_000_000 + id, 1_795_300_000_001_000_000 + id);
    match spelling {
        0 => {
            json!({"traceId": TRACE, "spanId": format!("{id:016x}"), "parentSpanId": "", "name": "a", "kind": 2,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(), "status": {"code": 2}})
        }
        1 => {
            json!({"trace_id": TRACE.to_uppercase(), "span_id": format!("{id:016X}"), "parent_span_id": "00000000000000ff",
            "name": "a", "kind": "SPAN_KIND_SERVER", "start_time_unix_nano": start, "end_time_unix_nano": end,
            "status": {"code": "STATUS_CODE_ERROR"}})
        }
        2 => {
            let id = format!(
                "AAAAAAAAAA{}=",
                ["A", "E", "I", "M", "Q", "U", "Y", "c", "g", "k"][id as usize % 10]
            );
            json!({"traceId": "S/kvNXezTaajzpKdDg5HNg==", "spanId": id, "parentSpanId": null, "kind": "SPAN_KIND_CLIENT",
                "startTimeUnixNano": start as f64, "attributes": null, "events": null, "links": null, "status": null})
        }
        _ => {
            json!({"traceId": TRACE, "spanId": format!("{id:016x}"), "kind": null, "unknown": {"deep": [[], {"a": null}]},
            "attributes": [{"key": "a\u{e9}\n", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}}, {"key": null}, 7, null],
            "events": [{"name": "x"}], "name": null, "traceState": "\u{1f600}\\", "flags": 257, "droppedAttributesCount": 1e3})
        }
    }
}

#[test]
fn requests_of_every_version_are_understood() {
    let resource = json!({"attributes": pairs(&json!({"service.name": "cache"}))});
    let spans = json!([span(1, 0)]);
    let whole = |text: Value| vec![text.to_string()];
    let check = |test: &str, lines: Vec<String>, expected: usize, service: &str, damaged: u64| {
        let (of_story, of_pass, told_damaged) = found(test, &lines);
        assert_eq!(of_story, of_pass, "{test}");
        assert_eq!((of_pass.len(), told_damaged), (expected, damaged), "{test}");
        let mut services: Vec<&str> = of_pass.iter().map(|told| &*told.3).collect();
        services.dedup();
        assert_eq!(services.join(","), service, "{test}");
    };
    for (resources, scopes, scope) in [
        ("resourceSpans", "scopeSpans", "scope"),
        ("resource_spans", "scope_spans", "scope"),
        ("resourceSpans", "instrumentationLibrarySpans", "instrumentationLibrary"),
        ("resource_spans", "instrumentation_library_spans", "instrumentation_library"),
    ] {
        let text =
            json!({resources: [{"resource": resource, scopes: [{scope: {"name": "l"}, "spans": spans}]}]});
        check("r_versions", whole(text), 1, "cache", 0);
    }
    for spelling in 0..4 {
        let text = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span(1, spelling)]}]}]});
        check("r_spans", whole(text), 1, "cache", 0);
    }
    let both = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": null}, "spans": spans}],
        "instrumentationLibrarySpans": [{"spans": [span(2, 1)]}]}]});
    check("r_both", whole(both), 2, "cache", 0);
    let late = format!(
        r#"{{ "resourceSpans" : [ {{ "scopeSpans" : [ {{ "spans":{spans},"scope":null }} ] , "resource":{resource}}} , null] }}"#
    );
    check("r_late", vec![late.clone()], 1, "cache", 0);
    check("r_marked", vec![format!("\u{feff}{late}")], 1, "cache", 0);
    check(
        "r_next",
        vec![late.replace("null]", &format!("{{\"scopeSpans\":[{{\"spans\":[{}]}}]}}]", span(2, 0)))],
        2,
        "cache,",
        0,
    );
    let odd = json!({"resourceSpans": [7, {"resource": [], "scopeSpans": {}}, {"resource": null, "scopeSpans": [null, "x", {"spans": spans}]}]});
    check("r_odd", whole(odd), 1, "", 1);
    let nothing = json!({"resourceSpans": null, "resource_logs": [], "resourceMetrics": [{}]});
    check("r_nothing", whole(nothing), 0, "", 0);
    let text =
        json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string();
    let two = text.replace(&span(1, 0).to_string(), &format!("{},{}", span(1, 0), span(2, 0)));
    check("r_glued", vec![format!("{text}{}", two)], 2, "cache", 0);
    check("r_half", vec![two[..two.len() - 1].to_owned(), text.clone()], 1, "cache", 1);
    check("r_half_glued", vec![format!("{}{text}", &two[..two.len() - 30])], 1, "cache", 1);
    check("r_zeros", vec![format!("\0\0{two}\0\0{text}\0")], 2, "cache", 0);
    for (flaw, damaged) in
        [(r#"{"key":"x","value":{"stringValue":"\ud800"}}"#, 1), (r#"{"n":1e999}"#, 1), (r#"{"n":1e9}"#, 0)]
    {
        let flawed = span(2, 0).to_string().replacen('{', &format!("{{\"attributes\":[{flaw}],"), 1);
        let text = text.replace(&span(1, 0).to_string(), &format!("{flawed},{}", span(1, 0)));
        check("r_flaws", vec![text], 2 - damaged as usize, "cache", damaged);
    }
}

/// `text` with an id of its own for each of its spans, which have none yet: of two spans with one id only one is told.
fn numbered(mut text: String) -> String {
    let nobody = [format!("{:016x}\"", 0), "AAAAAAAAAAA=\"".to_owned()];
    for number in 1.. {
        let next = |nobody: &String| Some((text.find(&**nobody)?, nobody.len()));
        let Some((at, length)) = nobody.iter().filter_map(next).min() else { break };
        text.replace_range(at..at + length, &format!("{number:016x}\""));
    }
    text
}

/// An export request in one of many spellings, with things of unknown form in it.
fn any_request() -> impl Strategy<Value = String> {
    let odd =
        || prop_oneof![Just(Value::Null), Just(json!(7)), Just(json!({})), Just(json!([])), Just(json!("x"))];
    let spans = vec(prop_oneof![8 => (0..4_usize).prop_map(|spelling| span(0, spelling)), 1 => odd()], 0..4);
    let scopes = select(vec![
        "scopeSpans",
        "scope_spans",
        "instrumentationLibrarySpans",
        "instrumentation_library_spans",
    ]);
    let scope = (select(vec!["scope", "instrumentationLibrary", "x"]), odd(), spans).prop_map(
        |(name, scope, spans)| {
            let mut object = Map::from_iter([(name.to_owned(), scope)]);
            object.insert("spans".to_owned(), spans.into());
            Value::Object(object)
        },
    );
    let resource = prop_oneof![odd(), Just(json!({"attributes": pairs(&json!({"service.name": "cache"}))}))];
    let of_resource = (resource, scopes, vec(prop_oneof![8 => scope, 1 => odd()], 0..3)).prop_map(
        |(resource, name, scopes)| {
            let mut members =
                [format!(r#""resource":{resource}"#), format!(r#""{name}":{}"#, Value::from(scopes))];
            if resource.is_null() {
                members.reverse();
            }
            format!("{{{}}}", members.join(" , "))
        },
    );
    let resources = vec(prop_oneof![8 => of_resource, 1 => odd().prop_map(|odd| odd.to_string())], 0..3);
    (select(vec!["resourceSpans", "resource_spans"]), resources)
        .prop_map(|(name, resources)| format!(r#"{{"{name}":[{}]}}"#, resources.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn both_readers_find_the_same_spans(
        requests in vec(any_request(), 1..4),
        glue in select(vec!["\n", "", "\0\n", "\r\n", "{\n"]),
        cut in proptest::option::of(0..600_usize),
        flaw in proptest::option::of((0..900_usize, "[\\[\\]{}\",:\\\\\u{0}0x]")),
    ) {
        let mut text = numbered(requests.join(glue));
        if let Some((at, flaw)) = flaw {
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            text.insert_str(at, &flaw);
        }
        if let Some(cut) = cut {
            let at = (0..=text.len().saturating_sub(cut)).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            text.truncate(at);
        }
        let (of_story, of_pass, _) = found("r_any", &[text.clone()]);
        prop_assert_eq!(of_story, of_pass, "{}", text);
    }
}
