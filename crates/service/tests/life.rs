//! The life of a process, seen from outside: a small program, which is this test binary once more, is started,
//! asked, signalled and waited for.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    convert::Infallible,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use rustix::process::{Pid, Signal, kill_process};
use service::{Error, Identity, Life, Limits, LimitsLayer, Settings};
use telemetry::ServerLayer;
use tower_layer::Layer;

/// No wait of these tests is longer.
const BOUND: Duration = Duration::from_secs(20);

/// Set for the small program: its arguments.
const ARGUMENTS: &str = "GREETER_ARGUMENTS";

/// `GET /` greets; `POST /` greets when the whole body has come; `/block` keeps its thread for ever; `/panic` panics.
#[derive(Parser)]
struct Greeter {
    /// What `open` fails with: `usage` or `start`.
    #[arg(long)]
    fail: Option<String>,
    /// A condition that is never met.
    #[arg(long)]
    lacking: bool,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    service: Settings,
}

/// Not a test: the small program, where this binary is started as such.
#[test]
fn greeter() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let greeter = Greeter::parse_from(std::iter::once("greeter").chain(arguments.split_whitespace()));
    let identity = Identity { service: "greeter", exports: false };
    let settings = greeter.service.clone();
    let code = service::run(identity, settings, async |life| open(greeter, life));
    // The test harness knows no exit codes.
    let code = (0..=255).find(|number| ExitCode::from(*number) == code).unwrap();
    std::process::exit(i32::from(code));
}

fn open(greeter: Greeter, life: &mut Life) -> Result<(), Error> {
    match greeter.fail.as_deref() {
        Some("usage") => {
            let (value, expected) = ("blue".to_owned(), "red or green".to_owned());
            return Err(Error::Usage { setting: "--colour", value, expected });
        }
        Some(_) => {
            let source = std::io::Error::other("no paint").into();
            return Err(Error::Start { doing: "open the pot".to_owned(), source });
        }
        None => {}
    }
    if greeter.lacking {
        life.ready_when("pot", || Box::pin(async { Err("no paint".to_owned()) }));
    }
    let limits = greeter.limits;
    let trusted = "none".parse().unwrap();
    let layer = (ServerLayer::new("greeter", trusted), LimitsLayer::new(limits.clone()));
    let make = move |_thread| layer.0.layer(layer.1.layer(tower::service_fn(greet)));
    life.serve("127.0.0.1:0".parse().unwrap(), limits, false, make)?;
    life.after_drain(|| Box::pin(async { tracing::info!("pot closed") }));
    Ok(())
}

async fn greet(
    request: Request<service::LimitedBody<Incoming>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    tracing::info!("asked");
    while request.uri().path() == "/block" {
        std::thread::park();
    }
    assert_ne!(request.uri().path(), "/panic", "no such colour");
    let body = request.into_body().collect().await;
    Ok(Response::new(Full::from(if body.is_ok() { "hello" } else { "what?" })))
}

/// The small program, running; killed when dropped.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    fn start(arguments: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "greeter", "--nocapture"])
            .env(ARGUMENTS, arguments)
            .env("RUST_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = mpsc::channel();
        for output in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let tell = tell.clone();
            std::thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).for_each(|line| _ = tell.send(line));
            });
        }
        Self { child, lines, heard: Vec::new() }
    }

    /// The first line that has this text in it, once it is there.
    fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(line) = self.heard.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.heard.push(line),
                Err(over) => panic!("no line with `{text}` ({over}): {:#?}", self.heard),
            }
        }
    }

    fn address(&mut self, field: &str) -> String {
        let line = self.line("\"listening\"");
        let value = line.split(&format!("\"{field}\":\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no `{field}` in {line}")).to_owned()
    }

    fn connect(&mut self, field: &str) -> Client {
        let stream = TcpStream::connect(self.address(field)).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        Client(stream)
    }

    fn ask(&mut self, field: &str, request: &str) -> String {
        let mut client = self.connect(field);
        client.send(request);
        client.rest()
    }

    fn admin(&mut self, path: &str) -> String {
        self.ask("admin", &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running: {:#?}", self.heard);
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn rest(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        text
    }
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no `{name}` in {answer}"))
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n";

#[test]
fn a_signal_drains_says_so_in_readyz_finishes_what_is_in_flight_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Running::start("");
        assert_eq!(program.admin("/readyz").lines().last(), Some("ready"));
        let mut client = program.connect("address");
        client.send(POST);
        program.line("\"asked\"");
        program.signal(signal);
        program.line("\"draining\"");
        let answer = program.admin("/readyz");
        assert_eq!((status(&answer), answer.lines().last()), ("503", Some("draining")));
        assert_eq!(status(&program.admin("/healthz")), "200");
        client.send("x");
        let answer = client.rest();
        assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
        program.line("pot closed");
        assert_eq!(program.exit_code(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_at_once_and_says_so() {
    let mut program = Running::start("");
    let mut client = program.connect("address");
    client.send(POST);
    program.line("\"asked\"");
    program.signal(Signal::TERM);
    program.line("\"draining\"");
    program.signal(Signal::INT);
    assert_eq!(program.exit_code(), Some(130));
    program.line("greeter: ended at once, asked a second time by SIGINT");
}

#[test]
fn a_drain_that_takes_too_long_is_cut() {
    let mut program = Running::start("--drain-timeout 50ms");
    let mut client = program.connect("address");
    client.send(POST);
    program.line("\"asked\"");
    program.signal(Signal::TERM);
    let line = program.line("drain timeout");
    assert!(line.contains("\"WARN\"") && line.contains("\"connections\":1"), "{line}");
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn the_end_of_standard_input_drains_a_supervised_process_only() {
    let mut supervised = Running::start("--supervised");
    supervised.line("\"listening\"");
    drop(supervised.child.stdin.take());
    let line = supervised.line("\"draining\"");
    assert!(line.contains("the end of standard input"), "{line}");
    assert_eq!(supervised.exit_code(), Some(0));

    let mut alone = Running::start("");
    alone.line("\"listening\"");
    drop(alone.child.stdin.take());
    assert_eq!(status(&alone.admin("/healthz")), "200");
}

#[test]
fn what_cannot_start_is_printed_once_with_its_causes_and_its_own_exit_code() {
    let mut program = Running::start("--fail usage");
    program.line("greeter: `--colour` is `blue`, but must be red or green");
    assert_eq!(program.exit_code(), Some(64));

    let mut program = Running::start("--fail start");
    program.line("greeter: cannot open the pot: no paint");
    assert_eq!(program.exit_code(), Some(1));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut program = Running::start(&format!("--admin-listen {address}"));
    program.line(&format!("greeter: cannot listen on `{address}` (--admin-listen): Address already in use"));
    assert_eq!(program.exit_code(), Some(1));
}

#[test]
fn readyz_names_each_condition_that_is_not_met() {
    let mut program = Running::start("--lacking");
    let answer = program.admin("/readyz");
    assert_eq!((status(&answer), answer.lines().last()), ("503", Some("pot: no paint")));
    assert_eq!(status(&program.admin("/healthz")), "200");
    assert_eq!(status(&program.admin("/")), "404");
}

#[test]
fn admin_answers_while_every_thread_is_busy() {
    let mut program = Running::start("--threads 1");
    let mut client = program.connect("address");
    client.send("GET /block HTTP/1.1\r\nhost: a\r\n\r\n");
    program.line("\"asked\"");
    assert_eq!(status(&program.admin("/readyz")), "200");
    program.signal(Signal::TERM);
    program.line("\"draining\"");
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), Some(143));
}

#[test]
fn an_unreadable_head_is_a_line_under_a_trace_of_its_own() {
    let mut program = Running::start("--header-timeout 50ms");
    let mut traces = Vec::new();
    for (head, answered, kind) in [
        ("nonsense\r\n\r\n", "400", "malformed_head"),
        (&format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(70_000)), "431", "head_too_large"),
        ("GET / HT", "408", "head_timeout"),
    ] {
        assert_eq!(status(&program.ask("address", head)), answered, "{kind}");
        let line = program.line(kind);
        assert!(line.contains("\"WARN\"") && line.contains("\"peer\":\"127.0.0.1:"), "{line}");
        let trace = line.split("\"trace_id\":\"").nth(1).unwrap_or_else(|| panic!("no trace id: {line}"));
        traces.push(trace[..32].to_owned());
    }
    traces.dedup();
    assert_eq!(traces.len(), 3);

    // A client that comes and goes without a word is nobody's business.
    drop(program.connect("address"));
    let mut client = program.connect("address");
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(client.rest().ends_with("hello"));
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), Some(0));
    program.heard.extend(program.lines.iter());
    assert_eq!(
        program.heard.iter().filter(|line| line.contains("\"WARN\"")).count(),
        3,
        "{:#?}",
        program.heard
    );
}

#[test]
fn what_is_too_large_is_refused_in_a_problem_and_a_warn_line_of_one_trace() {
    let mut program = Running::start("--max-body-bytes 10 --max-uri-bytes 16");
    for (request, answered) in [
        ("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 11\r\n\r\n", "413"),
        ("GET /a-colour-nobody-mixed HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "414"),
    ] {
        let answer = program.ask("address", request);
        assert_eq!(status(&answer), answered, "{answer}");
        let trace = header(&answer, "x-trace-id");
        assert!(answer.contains(&format!("\"trace_id\":\"{trace}\"")), "{answer}");
        let line = program.line(trace);
        assert!(line.contains("\"WARN\"") && line.contains("\"request\""), "{line}");
        assert!(line.contains(&format!("\"status\":{answered}")), "{line}");
    }
}

#[test]
fn a_panic_in_a_handler_is_answered_500_and_its_line_has_the_trace_and_the_stack() {
    let mut program = Running::start("");
    let answer = program.ask("address", "GET /panic HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(status(&answer), "500");
    assert!(!answer.contains("no such colour"), "{answer}");
    let line = program.line("exception.stacktrace");
    let trace = format!("\"trace_id\":\"{}\"", header(&answer, "x-trace-id"));
    for part in [&trace, "\"ERROR\"", "\"panic\"", "no such colour", "greet", "\"path\":\"/panic\""] {
        assert!(line.contains(part), "no `{part}` in {line}");
    }
    // The process lives on.
    let answer = program.ask("address", "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(answer.ends_with("hello"), "{answer}");
}
