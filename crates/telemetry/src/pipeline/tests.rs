//! The whole pipeline against a real receiver: what arrives, what is lost, and that the two add up.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Condvar, Mutex},
    time::Instant,
};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanContext, Tracer as _},
};
use opentelemetry_proto::tonic::common::v1::any_value;

use super::{
    super::{line::Value, names},
    receiver::{ANY_PORT, Answer, Receiver},
    *,
};

const LONG: Duration = Duration::from_secs(20);

/// A standard output that a test can read.
#[derive(Clone, Default)]
struct Screen(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Screen {
    fn lines(&self) -> Vec<serde_json::Value> {
        let text = self.0.0.lock().unwrap();
        text.split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    fn said(&self, message: &str) -> Vec<serde_json::Value> {
        self.lines().into_iter().filter(|line| line["message"] == message).collect()
    }

    fn wait_for(&self, message: &str) {
        let deadline = Instant::now() + LONG;
        while self.said(message).is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no `{message}` in {:?}", self.lines());
            let _ = self.0.1.wait_timeout(self.0.0.lock().unwrap(), left.min(Duration::from_millis(20)));
        }
    }
}

impl io::Write for Screen {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().extend_from_slice(text);
        self.0.1.notify_all();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipeline to `address`, with these variables besides.
fn open(address: SocketAddr, variables: &[(&str, &str)], stdout: impl Write + Send + 'static) -> Pipeline {
    let settings = Settings {
        service: "cache",
        version: "1.0.0",
        instance: Some("c-1".to_owned()),
        otlp_endpoint: Some(format!("http://{address}")),
        export: true,
    };
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    Pipeline::open(&settings, Environment::read(&settings, &variable).unwrap(), stdout)
}

impl Pipeline {
    fn span(&self, name: &'static str) -> SpanContext {
        let mut span = self.tracer.start(name);
        span.end();
        span.span_context().clone()
    }

    fn line(&self, message: &'static str) {
        let line = Line { level: Level::INFO, logger: "cache::fetch", message, span: None, fields: &[] };
        self.lines.emit(&line);
    }

    /// On a current-thread runtime, as a service's main thread has one.
    fn stopped(self, within: Duration) -> Losses {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.stop(within))
    }
}

/// The one invariant of loss.
fn assert_adds_up(losses: &Losses) {
    for (signal, count) in losses.by_signal() {
        assert_eq!(count.recorded, count.exported + count.dropped, "{signal}: {losses:?}");
    }
}

fn assert_nothing_lost(losses: &Losses) {
    assert_adds_up(losses);
    for (signal, count) in losses.by_signal() {
        assert_eq!(count.dropped, 0, "{signal}: {losses:?}");
    }
}

#[test]
fn everything_recorded_arrives() {
    let receiver = Receiver::grpc(ANY_PORT);
    let screen = Screen::default();
    let pipeline = open(receiver.address, &[], screen.clone());
    let counter = pipeline.meters.meter("cache").u64_counter("hits").build();
    for _ in 0..2_000 {
        pipeline.span("GET");
        pipeline.line("request");
        counter.add(1, &[KeyValue::new("result", "hit")]);
    }
    let losses = pipeline.stopped(LONG);
    assert_nothing_lost(&losses);
    assert_eq!((losses.spans.recorded, losses.log_lines.recorded), (2_000, 2_000));
    receiver.look(|taken| {
        assert_eq!((taken.spans.len(), taken.lines.len()), (2_000, 2_000));
        let names: Vec<_> = taken.metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert!(names.contains(&"hits") && names.contains(&names::METRIC_TELEMETRY_DROPPED), "{names:?}");
    });
    assert_eq!(screen.said("request").len(), 2_000);
    let last = screen.lines().pop().unwrap();
    assert_eq!(last["message"], "telemetry stopped");
    assert_eq!((&last["spans_exported"], &last["level"]), (&2_000.into(), &"INFO".into()));
    assert_eq!(last["stdout_lines_exported"], losses.stdout_lines.exported);
    assert_eq!(screen.lines().len() as u64, losses.stdout_lines.exported);
}

#[test]
fn a_line_is_the_same_on_standard_output_and_on_the_wire() {
    let receiver = Receiver::grpc(ANY_PORT);
    let screen = Screen::default();
    let pipeline = open(receiver.address, &[], screen.clone());
    let span = pipeline.span("GET");
    pipeline.lines.emit(&Line {
        level: Level::WARN,
        logger: "cache::fetch",
        message: "request",
        span: Some(&span),
        fields: &[
            (names::HTTP_REQUEST_METHOD, Value::Text("GET")),
            (names::HTTP_RESPONSE_STATUS_CODE, Value::Int(503)),
            ("throughline.response_time_ms", Value::Millis(1.0006)),
            ("throughline.cache_hit", Value::Bool(false)),
            (names::ERROR_TYPE, Value::Text("connect")),
        ],
    });
    pipeline.stopped(LONG);
    let [line] = &screen.said("request")[..] else { panic!("one line: {:?}", screen.lines()) };
    receiver.look(|taken| {
        let [(logger, record)] = &taken.lines[..] else { panic!("one record: {:?}", taken.lines) };
        let attributes: BTreeMap<_, _> =
            record.attributes.iter().map(|pair| (pair.key.as_str(), pair.value.clone())).collect();
        let text = |text: &str| {
            Some(opentelemetry_proto::tonic::common::v1::AnyValue {
                value: Some(any_value::Value::StringValue(text.to_owned())),
            })
        };
        assert_eq!((logger.as_str(), &line["logger"]), ("cache::fetch", &"cache::fetch".into()));
        assert_eq!((record.severity_text.as_str(), record.severity_number), ("WARN", 13));
        assert_eq!(record.body, text("request"));
        assert_eq!(attributes["http.request.method"], text("GET"));
        assert_eq!(attributes["error.type"], text("connect"));
        assert_eq!(attributes["log.record.uid"], text(line["uid"].as_str().unwrap()));
        assert_eq!(
            attributes["throughline.response_time_ms"].clone().unwrap().value,
            Some(any_value::Value::DoubleValue(1.001))
        );
        assert_eq!(line["response_time_ms"], 1.001);
        assert_eq!((&line["status"], &line["cache_hit"]), (&503.into(), &false.into()));
        assert_eq!(record.trace_id, span.trace_id().to_bytes());
        assert_eq!((record.flags, record.dropped_attributes_count), (1, 0));
        assert_eq!(line["trace_id"], span.trace_id().to_string());
        assert_eq!(line["span_id"], span.span_id().to_string());
        assert_eq!(record.time_unix_nano, record.observed_time_unix_nano);
        let micros = record.time_unix_nano / 1000 % 1_000_000;
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with(&format!(".{micros:06}Z")), "{timestamp} {micros}");
    });
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_exactly() {
    let receiver = Receiver::grpc(ANY_PORT);
    receiver.answer(Answer::Stall);
    let small = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "1"),
    ];
    let pipeline = open(receiver.address, &small, Screen::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    pipeline.span("GET");
                    pipeline.line("request");
                }
            });
        }
    });
    receiver.wait("stalled request", |taken| taken.requests > 0);
    receiver.answer(Answer::Take);
    let losses = pipeline.stopped(LONG);
    assert_adds_up(&losses);
    for count in [losses.spans, losses.log_lines] {
        assert_eq!(count.recorded, 4_000);
        // Full queues of 100, and what was on its way (at most a batch of 100).
        assert!((100..=200).contains(&count.exported), "{count}");
    }
    receiver.look(|taken| {
        assert_eq!(taken.spans.len() as u64, losses.spans.exported);
        assert_eq!(taken.lines.len() as u64, losses.log_lines.exported);
    });
}

#[test]
fn a_receiver_that_comes_late_gets_everything_and_its_absence_is_said_once() {
    // An address where nobody listens, until somebody does.
    let address = std::net::TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let screen = Screen::default();
    let pipeline = open(address, &[], screen.clone());
    pipeline.span("GET");
    pipeline.line("request");
    screen.wait_for("collector away");
    let receiver = Receiver::grpc(address);
    receiver.wait("span and line", |taken| taken.spans.len() + taken.lines.len() == 2);
    pipeline.span("GET");
    receiver.wait("second span", |taken| taken.spans.len() == 2);
    assert_nothing_lost(&pipeline.stopped(LONG));
    assert_eq!((screen.said("collector away").len(), screen.said("collector back").len()), (1, 1));
    let away = screen.said("collector away").remove(0);
    assert_eq!((&away["level"], &away["collector"]), (&"WARN".into(), &address.to_string().into()));
    // What exporting says about itself is not exported.
    receiver.look(|taken| assert_eq!(taken.lines.len(), 1));
}

#[test]
fn a_receiver_that_crashes_and_returns_loses_nothing() {
    let receiver = Receiver::grpc(ANY_PORT);
    let address = receiver.address;
    let screen = Screen::default();
    let pipeline = open(address, &[], screen.clone());
    pipeline.span("before");
    receiver.wait("first span", |taken| taken.spans.len() == 1);
    receiver.kill();
    pipeline.span("meanwhile");
    screen.wait_for("collector away");
    let receiver = Receiver::grpc(address);
    receiver.wait("second span", |taken| taken.spans.iter().any(|span| span.name == "meanwhile"));
    assert_nothing_lost(&pipeline.stopped(LONG));
}

#[test]
fn a_busy_receiver_is_asked_again_and_a_refusal_is_final() {
    let receiver = Receiver::grpc(ANY_PORT);
    receiver.answer(Answer::Busy);
    let pipeline = open(receiver.address, &[("OTEL_METRICS_EXPORTER", "none")], Screen::default());
    pipeline.span("GET");
    receiver.wait("second attempt", |taken| taken.requests >= 2);
    receiver.answer(Answer::Take);
    receiver.wait("span", |taken| taken.spans.len() == 1);
    let requests = receiver.look(|taken| taken.requests);
    receiver.answer(Answer::Refuse);
    pipeline.span("GET");
    let losses = pipeline.stopped(LONG);
    assert_adds_up(&losses);
    assert_eq!((losses.spans.exported, losses.spans.dropped), (1, 1));
    assert_eq!(receiver.look(|taken| taken.requests), requests + 1);
}

#[test]
fn what_a_receiver_takes_only_in_part_is_counted_as_lost() {
    let receiver = Receiver::grpc(ANY_PORT);
    receiver.answer(Answer::RejectOne);
    let screen = Screen::default();
    let pipeline = open(receiver.address, &[("OTEL_BSP_SCHEDULE_DELAY", "60000")], screen.clone());
    for _ in 0..10 {
        pipeline.span("GET");
    }
    let losses = pipeline.stopped(LONG);
    assert_adds_up(&losses);
    assert_eq!((losses.spans.exported, losses.spans.dropped), (9, 1));
    assert_eq!(receiver.look(|taken| taken.spans.len()), 9);
    assert_eq!(screen.said("collector refused")[0]["reason"], "one too many");
    assert_eq!(screen.said("telemetry stopped")[0]["level"], "WARN");
}

#[test]
fn http_protobuf_with_gzip_and_headers_arrives() {
    let receiver = Receiver::http(ANY_PORT);
    let variables = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a"),
    ];
    let pipeline = open(receiver.address, &variables, Screen::default());
    for _ in 0..600 {
        pipeline.span("GET");
        pipeline.line("request");
    }
    pipeline.meters.meter("cache").u64_counter("hits").build().add(1, &[]);
    assert_nothing_lost(&pipeline.stopped(LONG));
    receiver.look(|taken| {
        assert_eq!((taken.spans.len(), taken.lines.len()), (600, 600));
        assert_eq!(taken.headers["x-tenant"], "a");
        assert_eq!(taken.headers["content-type"], "application/x-protobuf");
        assert!(taken.metrics.iter().any(|metric| metric.name == "hits"));
    });
}

#[test]
fn http_asks_a_busy_receiver_again() {
    let receiver = Receiver::http(ANY_PORT);
    receiver.answer(Answer::Busy);
    let http = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let pipeline = open(receiver.address, &http, Screen::default());
    pipeline.span("GET");
    receiver.wait("second attempt", |taken| taken.requests >= 2);
    receiver.answer(Answer::Take);
    assert_nothing_lost(&pipeline.stopped(LONG));
    assert_eq!(receiver.look(|taken| taken.spans.len()), 1);
}

#[test]
fn grpc_carries_headers_and_gzip() {
    let receiver = Receiver::grpc(ANY_PORT);
    let variables =
        [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a")];
    let pipeline = open(receiver.address, &variables, Screen::default());
    pipeline.span("GET");
    assert_nothing_lost(&pipeline.stopped(LONG));
    receiver.look(|taken| {
        assert_eq!(taken.spans.len(), 1);
        assert_eq!(taken.headers["x-tenant"], "a");
        assert_eq!(taken.headers["grpc-encoding"], "gzip");
    });
}

#[test]
fn the_stop_keeps_its_deadline_when_the_receiver_stalls_and_dies() {
    let receiver = Receiver::grpc(ANY_PORT);
    receiver.answer(Answer::Stall);
    let pipeline = open(receiver.address, &[], Screen::default());
    for _ in 0..1_000 {
        pipeline.span("GET");
    }
    receiver.wait("stalled request", |taken| taken.requests > 0);
    let within = Duration::from_secs(2);
    let started = Instant::now();
    let killer = std::thread::spawn(move || receiver.kill());
    let losses = pipeline.stopped(within);
    let elapsed = started.elapsed();
    killer.join().unwrap();
    assert!(elapsed < within * 2, "{elapsed:?}");
    assert_adds_up(&losses);
    assert_eq!((losses.spans.exported, losses.spans.dropped), (0, 1_000));
}

#[test]
fn without_a_receiver_the_stop_does_not_wait_for_one() {
    let address = std::net::TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let screen = Screen::default();
    let pipeline = open(address, &[], screen.clone());
    pipeline.span("GET");
    screen.wait_for("collector away");
    let started = Instant::now();
    let losses = pipeline.stopped(LONG);
    assert!(started.elapsed() < LONG / 4, "{:?}", started.elapsed());
    assert_adds_up(&losses);
    assert_eq!(losses.spans.dropped, 1);
    // However many attempts have failed.
    assert_eq!(screen.said("collector away").len(), 1);
}

#[test]
fn a_process_that_ends_at_once_does_not_wait_for_a_receiver_it_never_heard() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let pipeline = open(address, &[], std::io::sink());
    // Before the first batch is due: whether anybody is there, nobody knows yet.
    pipeline.line("cannot start");
    let begun = Instant::now();
    let losses = pipeline.stopped(Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((losses.log_lines.recorded, losses.log_lines.dropped), (1, 1), "{losses:?}");
}

#[test]
fn drops_that_go_on_are_said_less_and_less_often() {
    let mut pause = WATCH_EVERY.0;
    let pauses = [true, true, true, true, true, false].map(|dropped| {
        pause = until_next_look(pause, dropped);
        pause.as_secs()
    });
    assert_eq!(pauses, [20, 80, 320, 600, 600, 5]);
}

#[test]
fn a_standard_output_that_nobody_reads_holds_nobody() {
    /// Blocks for ever.
    struct Blocked;
    impl io::Write for Blocked {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let receiver = Receiver::grpc(ANY_PORT);
    let pipeline = open(receiver.address, &[], Blocked);
    for _ in 0..20_000 {
        pipeline.line("request");
        receiver.look(|_| {});
    }
    let started = Instant::now();
    let losses = pipeline.stopped(Duration::from_secs(2));
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert_adds_up(&losses);
    assert_eq!((losses.stdout_lines.recorded, losses.stdout_lines.exported), (20_000, 0));
    // On a busy machine the stop may come between a batch and its receipt: that one counts as dropped.
    receiver.look(|taken| assert!(taken.lines.len() as u64 >= losses.log_lines.exported));
}

#[test]
fn a_standard_output_that_is_closed_costs_lines_and_nothing_else() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let receiver = Receiver::grpc(ANY_PORT);
    let pipeline = open(receiver.address, &[], Closed);
    pipeline.line("request");
    let losses = pipeline.stopped(LONG);
    assert_adds_up(&losses);
    // The line, and the last one.
    assert_eq!((losses.stdout_lines.dropped, losses.log_lines.exported), (2, 1));
}

#[test]
fn a_collector_does_not_export_to_itself() {
    let screen = Screen::default();
    let settings = Settings {
        service: "collector",
        version: "1.0.0",
        instance: None,
        otlp_endpoint: None,
        export: false,
    };
    let environment = Environment::read(&settings, &|_| None).unwrap();
    let pipeline = Pipeline::open(&settings, environment, screen.clone());
    assert!(pipeline.span("GET").is_valid(), "ids are made all the same");
    pipeline.line("request");
    let losses = pipeline.stopped(LONG);
    assert_eq!((losses.spans, losses.log_lines), Default::default());
    assert_eq!(losses.stdout_lines.exported, 2);
    assert_eq!(screen.said("request").len(), 1);
}

#[test]
fn values_of_spans_are_cut_to_the_limit() {
    let receiver = Receiver::grpc(ANY_PORT);
    let limit = [("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")];
    let pipeline = open(receiver.address, &limit, Screen::default());
    let mut span = pipeline.tracer.start("GET");
    span.set_attribute(KeyValue::new("url.path", "/ä/b"));
    span.end();
    pipeline.stopped(LONG);
    receiver.look(|taken| {
        let value = taken.spans[0].attributes[0].value.clone().unwrap().value;
        assert_eq!(value, Some(any_value::Value::StringValue("/ä".to_owned())));
    });
}
