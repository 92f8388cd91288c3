//! A system made up in a few words: many requests that go through five services, one thing changed after the other.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::collections::BTreeMap;

use journey::audit::{Audit, Report, Settings};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 2026-11-21T22:26:40Z, in milliseconds since 1970.
const THEN: f64 = 1_795_300_000_000.0;
/// Milliseconds from one request to the next.
const APART: f64 = 200.0;

/// The spans of a request by short ids.
pub(crate) const EDGE: u64 = 1;
pub(crate) const EDGE_CALL: u64 = 2;
pub(crate) const CACHE: u64 = 3;
pub(crate) const CACHE_CALL: u64 = 4;
pub(crate) const SERVER: u64 = 5;
pub(crate) const STATEMENT: u64 = 6;
pub(crate) const SEND: u64 = 7;
pub(crate) const RUN: u64 = 8;
pub(crate) const HOOK_CALL: u64 = 9;
pub(crate) const HOOK: u64 = 10;

/// One request: what it did, and what was written about it.
#[derive(Clone)]
pub(crate) struct Request {
    number: u64,
    spans: BTreeMap<u64, (String, String, Value)>,
    lines: Vec<(u64, Value)>,
}

/// `count` requests, a fifth of a second apart.
pub(crate) fn requests(count: u64) -> Vec<Request> {
    (0..count).map(Request::new).collect()
}

impl Request {
    pub(crate) fn new(number: u64) -> Self {
        let mut request = Self { number, spans: BTreeMap::new(), lines: Vec::new() };
        let path = format!("/api/bookings/{}", number % 3);
        let server = |status: u64| json!({"http.request.method": "PUT", "url.path": path, "http.response.status_code": status});
        let call = |port: u64| {
            json!({"http.request.method": "PUT", "url.full": format!("http://127.0.0.1:{port}{path}?x=1"),
                "server.address": "127.0.0.1", "server.port": port, "http.response.status_code": 200})
        };
        let task =
            json!({"messaging.destination.name": "confirm", "messaging.message.id": format!("m{number}")});
        let hook =
            json!({"http.request.method": "POST", "url.path": "/hook", "http.response.status_code": 204});
        let hook_call = json!({"http.request.method": "POST", "url.full": "http://127.0.0.1:7003/hook",
            "server.address": "127.0.0.1", "server.port": 7003, "http.response.status_code": 204});
        let statement = json!({"db.system.name": "sqlite"});
        request.add(EDGE, 0, "load_balancer", 2, [0.0, 40.0], server(200));
        request.add(EDGE_CALL, EDGE, "load_balancer", 3, [1.0, 39.0], call(7001));
        request.add(CACHE, EDGE_CALL, "cache", 2, [2.0, 38.0], server(200));
        request.add(CACHE_CALL, CACHE, "cache", 3, [3.0, 37.0], call(7002));
        request.add(SERVER, CACHE_CALL, "http_server", 2, [4.0, 36.0], server(200));
        request.add(STATEMENT, SERVER, "http_server", 3, [5.0, 10.0], statement);
        request.add(SEND, SERVER, "http_server", 4, [11.0, 12.0], task.clone());
        request.add(RUN, SEND, "worker", 5, [50.0, 90.0], task);
        request.add(HOOK_CALL, RUN, "worker", 3, [55.0, 85.0], hook_call);
        request.add(HOOK, HOOK_CALL, "webhook", 2, [56.0, 84.0], hook);
        for id in [EDGE, CACHE, SERVER, HOOK] {
            request.line(
                id,
                "request",
                json!({"method": "PUT", "path": path, "status": 200, "response_time_ms": 1.5}),
            );
        }
        request.line(RUN, "run", json!({"run_ms": 1.5}));
        request
    }

    fn at(&self, ms: f64) -> String {
        (((THEN + self.number as f64 * APART + ms) * 1e3) as u64 * 1000).to_string()
    }

    pub(crate) fn trace(&self) -> String {
        format!("{:032x}", 0x1000 + self.number)
    }

    /// The whole id of the span with this short one.
    fn id(&self, id: u64) -> String {
        if id == 0 { String::new() } else { format!("{:016x}", (self.number + 1) * 1000 + id) }
    }

    /// Adds a span.
    pub(crate) fn add(
        &mut self,
        id: u64,
        parent: u64,
        service: &str,
        kind: u64,
        [start, end]: [f64; 2],
        attributes: Value,
    ) {
        let enters = kind == 2 || kind == 5;
        let flags = if parent != 0 && enters { 0x301 } else { 0x101 };
        let pairs: Vec<Value> = attributes
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| match value.as_u64() {
                Some(number) => json!({"key": key, "value": {"intValue": number.to_string()}}),
                None => json!({"key": key, "value": {"stringValue": value}}),
            })
            .collect();
        let span = json!({
            "traceId": self.trace(), "spanId": self.id(id), "parentSpanId": self.id(parent), "flags": flags,
            "name": format!("span {id}"), "kind": kind, "startTimeUnixNano": self.at(start),
            "endTimeUnixNano": self.at(end), "attributes": pairs, "status": {},
        });
        self.spans.insert(id, (service.to_owned(), format!("{service}-1"), span));
    }

    /// Adds a line within the span `id`.
    pub(crate) fn line(&mut self, id: u64, message: &str, fields: Value) {
        let (service, instance, span) = &self.spans[&id];
        let end: i128 = span["endTimeUnixNano"].as_str().unwrap().parse().unwrap();
        let time = OffsetDateTime::from_unix_timestamp_nanos(end).unwrap().format(&Rfc3339).unwrap();
        let mut line = json!({
            "timestamp": time, "level": "INFO", "service": service, "instance": instance, "message": message,
            "trace_id": span["traceId"], "span_id": span["spanId"],
        });
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.lines.push((id, line));
    }

    /// Changes the span `id`.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(&mut Value)) {
        change(&mut self.spans.get_mut(&id).unwrap().2);
    }

    /// The span `id` says this of itself.
    pub(crate) fn says(&mut self, id: u64, name: &str, value: &str) {
        let pair = json!({"key": name, "value": {"stringValue": value}});
        self.change(id, |span| span["attributes"].as_array_mut().unwrap().push(pair));
    }

    /// The span `id` got no answer.
    pub(crate) fn fails(&mut self, id: u64, kind: &str) {
        self.change(id, |span| {
            span["status"] = json!({"code": 2});
            span["attributes"]
                .as_array_mut()
                .unwrap()
                .retain(|pair| pair["key"] != "http.response.status_code");
        });
        self.says(id, "error.type", kind);
    }

    /// These spans were never written; their lines were.
    pub(crate) fn without(&mut self, ids: &[u64]) {
        self.spans.retain(|id, _| !ids.contains(id));
    }

    /// These lines were never written.
    pub(crate) fn without_lines(&mut self, ids: &[u64]) {
        self.lines.retain(|(id, _)| !ids.contains(id));
    }

    /// From the span `id` on everything stands in a trace of its own.
    pub(crate) fn cut(&mut self, id: u64) {
        let trace = format!("{:032x}", 0xc000_0000 + self.number);
        for (_, (_, _, span)) in self.spans.range_mut(id..) {
            span["traceId"] = json!(trace);
        }
        for (_, line) in self.lines.iter_mut().filter(|(of, _)| *of >= id) {
            line["trace_id"] = json!(trace);
        }
        self.change(id, |span| (span["parentSpanId"], span["flags"]) = (json!(""), json!(0x101)));
    }

    /// The span `id` is linked to the span `to` of `trace`.
    pub(crate) fn linked(&mut self, id: u64, trace: &str, to: u64) {
        let to = self.id(to);
        self.change(id, |span| span["links"] = json!([{"traceId": trace, "spanId": to}]));
    }

    /// From the span `id` on nothing is sampled, as the flags say, and nothing before it was written.
    pub(crate) fn unsampled_before(&mut self, id: u64) {
        self.spans.retain(|other, _| *other >= id);
        for (_, _, span) in self.spans.values_mut() {
            span["flags"] = json!(span["flags"].as_u64().unwrap() & !1);
        }
    }

    /// Moves everything that `service` has written by so many milliseconds.
    pub(crate) fn shifted(&mut self, service: &str, ms: f64) {
        let moved = |time: &Value| {
            let time: u64 = time.as_str().unwrap().parse().unwrap();
            json!(time.saturating_add_signed((ms * 1e6) as i64).to_string())
        };
        for (_, _, span) in self.spans.values_mut().filter(|(name, _, _)| name == service) {
            span["startTimeUnixNano"] = moved(&span["startTimeUnixNano"]);
            span["endTimeUnixNano"] = moved(&span["endTimeUnixNano"]);
        }
    }

    /// It ran on another process of `service`.
    pub(crate) fn instance(&mut self, service: &str, instance: &str) {
        for (_, of, _) in self.spans.values_mut().filter(|(name, _, _)| name == service) {
            *of = instance.to_owned();
        }
        for (_, line) in self.lines.iter_mut().filter(|(_, line)| line["service"] == service) {
            line["instance"] = json!(instance);
        }
    }

    /// `service` is called otherwise.
    pub(crate) fn rename(&mut self, service: &str, name: &str) {
        for (of, _, _) in self.spans.values_mut().filter(|(of, _, _)| of == service) {
            *of = name.to_owned();
        }
        for (_, line) in self.lines.iter_mut().filter(|(_, line)| line["service"] == service) {
            line["service"] = json!(name);
        }
    }

    /// The span `id` as it is, with this name: the same thing written twice differs.
    pub(crate) fn again(&mut self, id: u64, name: &str) {
        let (service, instance, mut span) = self.spans[&id].clone();
        span["name"] = json!(name);
        self.spans.insert(id + 100, (service, instance, span));
    }

    /// What is written: spans and lines, each a line of a file.
    pub(crate) fn written(&self) -> Vec<String> {
        let text = |value: &str| json!({"stringValue": value});
        let request = |(service, instance, span): &(String, String, Value)| {
            json!({"resourceSpans": [{
                "resource": {"attributes": [{"key": "service.name", "value": text(service)},
                    {"key": "service.instance.id", "value": text(instance)}]},
                "scopeSpans": [{"spans": [span]}],
            }]})
            .to_string()
        };
        self.spans.values().map(request).chain(self.lines.iter().map(|(_, line)| line.to_string())).collect()
    }
}

/// What an audit says of all that is written.
pub(crate) fn audit(lines: &[String]) -> Report {
    audit_with(lines, Settings { now: u64::MAX, settle: 0, ..Settings::default() })
}

pub(crate) fn audit_with(lines: &[String], settings: Settings) -> Report {
    let mut audit = Audit::new(settings);
    for line in lines {
        assert_eq!(audit.take(line.as_bytes()), 0, "{line}");
    }
    audit.finish()
}

/// Everything that `requests` have written.
pub(crate) fn all(requests: &[Request]) -> Vec<String> {
    requests.iter().flat_map(Request::written).collect()
}
