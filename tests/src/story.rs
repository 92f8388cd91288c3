//! What the Collector's files tell of one request, read without the code under test: plain JSON, one line after the
//! other, as a user with `jq` would.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

/// One span of `traces.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// `service.name` of its resource.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`, `PRODUCER`, `CONSUMER`.
    pub kind: &'static str,
    /// 16 hex digits.
    pub id: String,
    /// 16 hex digits; empty for a root.
    pub parent: String,
    /// Attributes, values as text.
    pub attributes: BTreeMap<String, String>,
    /// Trace ids and span ids of its links.
    pub links: Vec<(String, String)>,
}

/// One line of `logs.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(pub Value);

/// All that the files hold of one trace.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// In the files' order.
    pub spans: Vec<Span>,
    /// In the files' order.
    pub lines: Vec<Line>,
}

impl Story {
    /// Reads one trace out of a collector's directory.
    pub fn read(directory: &Path, trace_id: &str) -> Story {
        Story::read_where(directory, |line| line.contains(trace_id), |id| id == trace_id)
            .remove(trace_id)
            .unwrap_or_default()
    }

    /// Reads every trace out of a collector's directory, by trace id.
    pub fn read_all(directory: &Path) -> BTreeMap<String, Story> {
        Story::read_where(directory, |_| true, |_| true)
    }

    fn read_where(
        directory: &Path,
        line: impl Fn(&str) -> bool,
        trace: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, Story> {
        let mut stories: BTreeMap<String, Story> = BTreeMap::new();
        let parse = |text: &String| -> Value {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        for export in whole_lines(directory, "traces", &line).iter().map(parse) {
            for resource in list(&export["resourceSpans"]) {
                let service = attributes(&resource["resource"]).remove("service.name").unwrap_or_default();
                for span in list(&resource["scopeSpans"]).iter().flat_map(|scope| list(&scope["spans"])) {
                    let id = span["traceId"].as_str().unwrap_or_default();
                    if trace(id) {
                        stories.entry(id.to_owned()).or_default().add_span(Span::read(&service, span));
                    }
                }
            }
        }
        for line in whole_lines(directory, "logs", &line).iter().map(parse) {
            let id = line["trace_id"].as_str().unwrap_or_default().to_owned();
            if trace(&id) {
                stories.entry(id).or_default().add_line(Line(line));
            }
        }
        stories
    }

    /// What was sent again because its receipt was lost is there twice, and is one.
    fn add_span(&mut self, span: Span) {
        if !self.spans.contains(&span) {
            self.spans.push(span);
        }
    }

    fn add_line(&mut self, line: Line) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// Whether the story is whole: every service in `path` has its SERVER span and its line `request`, and no span
    /// between them is missing. The outermost SERVER span's parent may be the caller's.
    ///
    /// # Errors
    /// What is missing.
    pub fn is_whole(&self, path: &[&str]) -> Result<(), String> {
        for service in path {
            let span = self.spans.iter().any(|s| s.kind == "SERVER" && s.service == *service);
            let line = self.lines.iter().any(|l| l.0["message"] == "request" && l.0["service"] == *service);
            if !span || !line {
                return Err(format!("{service}: SERVER span {span}, line `request` {line}"));
            }
        }
        let edge = |span: &Span| span.kind == "SERVER" && span.service == path[0];
        let missing = self.spans.iter().find(|s| !edge(s) && !self.spans.iter().any(|o| o.id == s.parent));
        missing
            .map_or(Ok(()), |span| Err(format!("the parent of {} `{}` is missing", span.service, span.name)))
    }

    /// The one SERVER span of a service.
    ///
    /// # Panics
    /// When there is none or more than one.
    pub fn server(&self, service: &str) -> &Span {
        let found: Vec<_> =
            self.spans.iter().filter(|s| s.kind == "SERVER" && s.service == service).collect();
        assert_eq!(found.len(), 1, "SERVER spans of {service}: {:#?}", self.spans);
        found[0]
    }

    /// The CLIENT spans of a service, attempts or statements, in the files' order.
    pub fn clients(&self, service: &str) -> Vec<&Span> {
        self.spans.iter().filter(|s| s.kind == "CLIENT" && s.service == service).collect()
    }

    /// The one line `request` of a service.
    ///
    /// # Panics
    /// When there is none or more than one.
    pub fn request_line(&self, service: &str) -> &Value {
        let found: Vec<_> = self
            .lines
            .iter()
            .map(|line| &line.0)
            .filter(|line| line["message"] == "request" && line["service"] == service)
            .collect();
        assert_eq!(found.len(), 1, "lines `request` of {service}: {:#?}", self.lines);
        found[0]
    }

    /// Asserts that the trace went through `path`, outermost first, and nowhere else: the outermost SERVER span is the
    /// root, each next one a child of a CLIENT span of the one before, no span's parent is missing, and the request's
    /// line of every service carries the id of its own SERVER span.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_carried_through(&self, path: &[&str]) {
        self.assert_nested(path);
        let root = self.server(path[0]);
        assert_eq!(root.parent, "", "the edge's span is the root of a trace that it started: {root:#?}");
        for span in self.spans.iter().filter(|span| !span.parent.is_empty()) {
            assert!(
                self.spans.iter().any(|s| s.id == span.parent),
                "an orphan: {span:#?} in {:#?}",
                self.spans
            );
        }
    }

    /// [`Story::assert_carried_through`], where the root may be the caller's.
    ///
    /// # Panics
    /// When it was not.
    pub fn assert_nested(&self, path: &[&str]) {
        let mut servers: Vec<_> =
            self.spans.iter().filter(|s| s.kind == "SERVER").map(|s| s.service.as_str()).collect();
        servers.sort_unstable();
        let mut expected = path.to_vec();
        expected.sort_unstable();
        assert_eq!(servers, expected, "SERVER spans: {:#?}", self.spans);
        for pair in path.windows(2) {
            let inner = self.server(pair[1]);
            assert!(
                self.clients(pair[0]).iter().any(|client| client.id == inner.parent),
                "the SERVER span of {} is no child of a CLIENT span of {}: {:#?}",
                pair[1],
                pair[0],
                self.spans
            );
        }
        for service in path {
            assert_eq!(self.request_line(service)["span_id"], self.server(service).id, "{service}");
        }
    }
}

impl Span {
    fn read(service: &str, span: &Value) -> Span {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Span {
            service: service.to_owned(),
            name: text(&span["name"]),
            kind: match span["kind"].as_i64() {
                Some(1) => "INTERNAL",
                Some(2) => "SERVER",
                Some(3) => "CLIENT",
                Some(4) => "PRODUCER",
                Some(5) => "CONSUMER",
                other => panic!("kind {other:?}: {span}"),
            },
            id: text(&span["spanId"]),
            parent: text(&span["parentSpanId"]),
            attributes: attributes(span),
            links: list(&span["links"])
                .iter()
                .map(|link| (text(&link["traceId"]), text(&link["spanId"])))
                .collect(),
        }
    }

    /// An attribute as text; empty where it is absent.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value.as_object().and_then(|one| one.values().next()) {
        Some(Value::String(text)) => text.clone(),
        other => other.map(Value::to_string).unwrap_or_default(),
    };
    list(&of["attributes"])
        .iter()
        .map(|one| (one["key"].as_str().unwrap_or_default().to_owned(), text(&one["value"])))
        .collect()
}

/// The whole lines of `{signal}*.jsonl` that are wanted. A line without its end is still being written.
///
/// # Panics
/// When there is no such directory.
pub fn whole_lines(directory: &Path, signal: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(signal)))
        .collect();
    files.sort();
    let mut lines = Vec::new();
    for text in files.iter().filter_map(|path| fs::read_to_string(path).ok()) {
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n') && wanted(line));
        lines.extend(whole.map(str::to_owned));
    }
    lines
}
