//! Telemetry of made-up traffic, as the Collector's file exporter writes it: for benches, of any size.
//!
//! Several services, many traces on their way at once: a request of a line holds what several of them exported, a trace
//! lies in several lines. The same seed gives the same bytes. Progress goes to standard error, and the ids of two traces
//! from the middle to standard output: `plain ID`, and `linked ID` for one whose spans link to spans of another trace.
//!
//! ```text
//! traffic DIRECTORY TRACES_MB LOGS_MB [SEED]      writes DIRECTORY/traces.jsonl and DIRECTORY/logs.jsonl
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own")]

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Traces on their way at once.
const IN_FLIGHT: usize = 300;
/// Spans in an export request, at least.
const IN_REQUEST: usize = 512;
/// Nanoseconds since 1970 at which the traffic begins: 2026-11-21T22:26:40Z.
const THEN: u64 = 1_795_300_000_000_000_000;
/// Nanoseconds between the beginnings of two traces.
const PACE: u64 = 2_000_000;
const ROUTES: [(&str, &str, u64); 8] = [
    ("GET", "/api/bookings/{id}", 3),
    ("GET", "/api/bookings", 12),
    ("POST", "/api/bookings", 25),
    ("PUT", "/api/bookings/{id}", 18),
    ("DELETE", "/api/bookings/{id}", 9),
    ("GET", "/api/rooms/{room}/availability", 40),
    ("POST", "/api/bookings/{id}/cancel", 30),
    ("GET", "/healthz", 1),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, traces, logs, seed @ ..] = arguments.as_slice() else {
        return Err("traffic DIRECTORY TRACES_MB LOGS_MB [SEED]".into());
    };
    let seed = seed.first().map_or(Ok(1), |seed| seed.parse())?;
    let mut traffic = Traffic::new(Path::new(directory), seed)?;
    traffic.write(traces.parse::<u64>()? << 20, logs.parse::<u64>()? << 20)?;
    for (name, id) in [("plain", traffic.plain), ("linked", traffic.linked)] {
        println!("{name} {:032x}", id.ok_or("too few megabytes for a trace in the middle")?);
    }
    Ok(())
}

/// Random numbers that are the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// About `usual`, seldom much more: the product of three dice.
    fn around(&mut self, usual: u64) -> u64 {
        (0..3).fold(usual, |value, _| value * (500 + self.below(1000)) / 1000) + self.below(1000)
    }
}

/// A span or a log line that is ready to be exported, and by which service.
enum Told {
    Span(usize, String),
    Line(String),
}

const SERVICES: [&str; 6] = ["load_balancer", "cache", "http_server", "payments", "notifications", "worker"];

struct Traffic {
    random: Random,
    traces: Sink,
    logs: Sink,
    /// What each service has not exported yet, and the request that the Collector is gathering.
    waiting: [(usize, String); SERVICES.len()],
    request: (usize, String),
    in_flight: Vec<VecDeque<Told>>,
    /// Trace and span that filled a cache's entry, for links.
    filled: Option<(u128, u64)>,
    begun: u64,
    plain: Option<u128>,
    linked: Option<u128>,
}

/// A file, and how many bytes of it were written.
struct Sink {
    file: BufWriter<File>,
    bytes: u64,
}

impl Sink {
    fn new(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = File::create(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), bytes: 0 })
    }

    fn line(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        self.file.write_all(text.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.bytes += text.len() as u64 + 1;
        Ok(())
    }
}

impl Traffic {
    fn new(directory: &Path, seed: u64) -> Result<Self, Box<dyn Error>> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            random: Random(seed),
            traces: Sink::new(&directory.join("traces.jsonl"))?,
            logs: Sink::new(&directory.join("logs.jsonl"))?,
            waiting: Default::default(),
            request: Default::default(),
            in_flight: Vec::new(),
            filled: None,
            begun: 0,
            plain: None,
            linked: None,
        })
    }

    /// Writes until both files have so many bytes; what is still on its way then is left out.
    fn write(&mut self, traces: u64, logs: u64) -> Result<(), Box<dyn Error>> {
        let mut told = 0;
        while self.traces.bytes < traces || self.logs.bytes < logs {
            while self.in_flight.len() < IN_FLIGHT {
                let in_middle = (traces * 2 / 5..traces * 3 / 5).contains(&self.traces.bytes);
                let trace = self.trace(in_middle);
                self.in_flight.push(trace);
            }
            let at = self.random.below(IN_FLIGHT as u64) as usize;
            match self.in_flight[at].pop_front() {
                None => drop(self.in_flight.swap_remove(at)),
                Some(Told::Span(service, text)) if self.traces.bytes < traces => {
                    self.export(service, &text)?
                }
                Some(Told::Line(text)) if self.logs.bytes < logs => self.logs.line(&text)?,
                Some(_) => {}
            }
            let done = self.traces.bytes + self.logs.bytes;
            if done - told > 256 << 20 {
                told = done;
                eprintln!("traffic: {} of {} MB", done >> 20, (traces + logs) >> 20);
            }
        }
        self.traces.file.flush()?;
        self.logs.file.flush()?;
        Ok(())
    }

    /// A service exports what it has from time to time; the Collector writes it down with what others exported.
    fn export(&mut self, service: usize, span: &str) -> Result<(), Box<dyn Error>> {
        let (count, spans) = &mut self.waiting[service];
        spans.push_str(if *count == 0 { "" } else { "," });
        spans.push_str(span);
        *count += 1;
        if *count < 32 + self.random.below(64) as usize {
            return Ok(());
        }
        let (in_request, text) = &mut self.request;
        *in_request += *count;
        let comma = if text.is_empty() { "" } else { "," };
        let (name, instance) = (SERVICES[service], self.random.below(3));
        write!(
            text,
            r#"{comma}{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{name}"}}}},{{"key":"service.instance.id","value":{{"stringValue":"{name}-{instance}"}}}},{{"key":"telemetry.sdk.language","value":{{"stringValue":"rust"}}}}]}},"scopeSpans":[{{"scope":{{"name":"{name}","version":"1.0.0"}},"spans":[{spans}]}}],"schemaUrl":"https://opentelemetry.io/schemas/1.40.0"}}"#
        )?;
        spans.clear();
        *count = 0;
        if *in_request >= IN_REQUEST {
            let line = format!(r#"{{"resourceSpans":[{text}]}}"#);
            self.request = Default::default();
            self.traces.line(&line)?;
        }
        Ok(())
    }

    /// What is told of one request, in the order in which it is told.
    fn trace(&mut self, in_middle: bool) -> VecDeque<Told> {
        let start = THEN + self.begun * PACE;
        self.begun += 1;
        let id = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let (method, route, usual) = ROUTES[self.random.below(ROUTES.len() as u64) as usize];
        let failed = self.random.below(100) == 0;
        let took = self.random.around(usual * 1_000_000);
        let mut trace = Trace { id, method, route, failed, random: &mut self.random, told: VecDeque::new() };
        let is_hit = method == "GET" && !failed && trace.random.below(2) == 0;
        let link = self.filled.filter(|_| is_hit);
        let edge = trace.hop(0, 0, start, took, None);
        let cache = trace.hop(1, edge, start + took / 20, took * 9 / 10, link);
        if !is_hit {
            self.filled = Some((id, cache));
            trace.served(cache, start + took / 10, took * 8 / 10);
        }
        // Children end, and are exported, before their parents.
        let told = trace.told.into_iter().rev().collect();
        match link {
            _ if !in_middle => {}
            Some(_) => drop(self.linked.get_or_insert(id)),
            None => drop(self.plain.get_or_insert(id)),
        }
        told
    }
}

/// A trace that is being made.
struct Trace<'r> {
    id: u128,
    method: &'static str,
    route: &'static str,
    failed: bool,
    random: &'r mut Random,
    told: VecDeque<Told>,
}

impl Trace<'_> {
    /// A service's answer, its log line, and the attempt that led there.
    fn hop(&mut self, service: usize, parent: u64, start: u64, took: u64, link: Option<(u128, u64)>) -> u64 {
        let (method, route, status) = (self.method, self.route, if self.failed { 503 } else { 200 });
        let path = self.path();
        let parent = match parent {
            0 => 0,
            parent => {
                let replica = 1 + self.random.below(4);
                let attributes = format!(
                    r#"{},{},{}"#,
                    text("http.request.method", method),
                    text("server.address", &format!("{}-{replica}.internal", SERVICES[service])),
                    number("server.port", 8080),
                );
                let from = service.saturating_sub(1);
                self.span(from, parent, method, 3, [start - took / 50, took * 51 / 50], &attributes, None)
            }
        };
        let attributes = format!(
            "{},{},{},{},{},{},{},{}",
            text("http.request.method", method),
            text("http.route", route),
            text("url.path", &path),
            text("url.scheme", "http"),
            text("network.protocol.version", "1.1"),
            text("client.address", &format!("10.0.{}.{}", self.random.below(256), self.random.below(256))),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) made-up/1.0"),
            number("http.response.status_code", status),
        );
        let id =
            self.span(service, parent, &format!("{method} {route}"), 2, [start, took], &attributes, link);
        let (name, level) = (SERVICES[service], if self.failed { "ERROR" } else { "INFO" });
        let time = (start + took - THEN) / 1000;
        let (second, micros) = (time / 1_000_000, time % 1_000_000);
        let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
        let uid = self.random.next();
        self.told.push_back(Told::Line(format!(
            r#"{{"timestamp":"2026-11-21T{hour:02}:{minute:02}:{second:02}.{micros:06}Z","level":"{level}","service":"{name}","instance":"{name}-0","uid":"{uid:016x}-{:x}","logger":"{name}::proxy","message":"request","trace_id":"{:032x}","span_id":"{id:016x}","method":"{method}","path":"{path}","status":{status},"response_time_ms":{}.{:03}}}"#,
            uid & 0xfff,
            self.id,
            took / 1_000_000,
            took / 1000 % 1000,
        )));
        id
    }

    /// The part of the request that reached the database, and what it asked others for.
    fn served(&mut self, parent: u64, start: u64, took: u64) {
        let id = self.hop(2, parent, start, took, None);
        let in_use = number("throughline.pool.in_use", self.random.below(16));
        self.span(2, id, "pool.acquire", 1, [start + took / 20, took / 10], &in_use, None);
        for statement in 0..1 + self.random.below(4) {
            let query = r#"SELECT id, room, guest, starts_at, ends_at, status FROM bookings WHERE room = $1 AND starts_at < $2 AND note <> '\"' ORDER BY starts_at"#;
            let attributes = format!(
                "{},{},{},{}",
                text("db.system.name", "postgresql"),
                text("db.query.text", query),
                text("db.collection.name", "bookings"),
                number("db.response.returned_rows", self.random.below(50)),
            );
            let at = start + took * (2 + statement) / 10;
            self.span(2, id, "SELECT bookings", 3, [at, took / 8], &attributes, None);
        }
        if self.method == "POST" {
            self.hop(3, id, start + took * 6 / 10, took * 3 / 10, None);
        }
    }

    fn path(&mut self) -> String {
        let room = self.random.below(500);
        let id = self.random.next();
        self.route.replace("{id}", &format!("0192f0c1-{id:016x}")).replace("{room}", &room.to_string())
    }

    #[allow(clippy::too_many_arguments, reason = "a span has so many members")]
    fn span(
        &mut self,
        service: usize,
        parent: u64,
        name: &str,
        kind: u8,
        [start, took]: [u64; 2],
        attributes: &str,
        link: Option<(u128, u64)>,
    ) -> u64 {
        let id = self.random.next() | 1;
        let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
        let end = start + took;
        let status = if self.failed && kind == 2 { r#"{"code":2}"# } else { "{}" };
        let links = link.map(|(trace, span)| {
            format!(r#""links":[{{"traceId":"{trace:032x}","spanId":"{span:016x}","attributes":[]}}],"#)
        });
        let links = links.unwrap_or_default();
        self.told.push_back(Told::Span(service, format!(
            r#"{{"traceId":"{:032x}","spanId":"{id:016x}","parentSpanId":"{parent}","flags":257,"name":"{name}","kind":{kind},"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","attributes":[{attributes}],{links}"status":{status}}}"#,
            self.id
        )));
        id
    }
}

fn text(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
}

fn number(key: &str, value: u64) -> String {
    format!(r#"{{"key":"{key}","value":{{"intValue":"{value}"}}}}"#)
}
