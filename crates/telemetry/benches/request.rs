//! What telemetry costs one request of one service: the server layer, one client attempt and one line, with the real
//! pipeline behind them, exporting to a receiver that throws everything away.
//!
//! The parent process is the receiver; the child asks itself, in memory, once bare and once with the layers, and prints
//! the difference in CPU time: of the caller's thread, and of the whole process with its exporting threads.
//! `cargo bench -p telemetry`.

#![allow(clippy::print_stderr, reason = "the child's standard output is its log lines, and goes nowhere")]

use std::{
    convert::Infallible,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    pin::pin,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use rustix::time::{ClockId, clock_gettime};
use telemetry::{Attempt, ClientLayer, ErrorType, Peer, Scope, ServerLayer, Settings};
use tower::{Layer as _, Service, service_fn};

/// Requests a round: fewer than the exporter's queue holds, so that nothing is dropped and everything is paid for.
const REQUESTS: u32 = 1000;
const ROUNDS: usize = 25;
/// After a round, for the exporting threads to catch up: their time counts for the process.
const CATCH_UP: Duration = Duration::from_millis(400);
const CHILD: &str = "THROUGHLINE_BENCH_CHILD";

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() { measure() } else { receive_for_a_child() }
}

fn receive_for_a_child() -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || discard(connection));
        }
    });
    let mut child = Command::new(std::env::current_exe().expect("this program's own path"));
    child
        .env(CHILD, "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .stdout(Stdio::null());
    match child.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Answers every request 200 and reads on.
fn discard(connection: TcpStream) -> Option<()> {
    let mut writer = connection.try_clone().ok()?;
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn measure() -> ExitCode {
    let settings =
        Settings { service: "bench", version: "0", instance: None, otlp_endpoint: None, export: true };
    let telemetry = match telemetry::start(settings) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut bare = service_fn(answer);
    let attempt = Arc::new(Attempt {
        replica: "127.0.0.1:9000".into(),
        host: "127.0.0.1".into(),
        port: 9000,
        resend_count: 0,
        retry_reason: None,
    });
    let handler = service_fn(move |mut request: Request<()>| {
        if let Some(scope) = Scope::current() {
            scope.attempt(&attempt.replica);
        }
        request.extensions_mut().insert(Attempt::clone(&attempt));
        let mut client = ClientLayer.layer(service_fn(answer::<Never>));
        let answered = client.call(request);
        async { answered.await.map_err(Infallible::from) }
    });
    let mut layered = ServerLayer::new("bench", "loopback".parse().expect("a word it knows")).layer(handler);

    let (mut callers, mut processes) = (Vec::new(), Vec::new());
    let (mut bare_callers, mut bare_processes) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + 2 {
        let [bare_caller, bare_process] = time(&mut bare);
        let [caller, process] = time(&mut layered);
        // The first rounds make the connections and fill the caches.
        if round >= 2 {
            bare_callers.push(bare_caller);
            bare_processes.push(bare_process);
            callers.push(caller);
            processes.push(process);
        }
    }
    let (caller, process) = (median(callers), median(processes));
    let (bare_caller, bare_process) = (median(bare_callers), median(bare_processes));
    eprintln!("CPU ns a request, medians of {ROUNDS} rounds of {REQUESTS}:");
    eprintln!("                  bare  with telemetry  telemetry");
    eprintln!("caller's thread {bare_caller:>6}  {caller:>14}  {:>9}", caller.saturating_sub(bare_caller));
    eprintln!(
        "whole process   {bare_process:>6}  {process:>14}  {:>9}",
        process.saturating_sub(bare_process)
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    eprintln!("{:?}", runtime.block_on(telemetry.stop(Duration::from_secs(5))));
    ExitCode::SUCCESS
}

#[derive(Debug, thiserror::Error)]
#[error("this cannot happen")]
enum Never {}

impl ErrorType for Never {
    fn error_type(&self) -> &'static str {
        match *self {}
    }
}

impl From<Never> for Infallible {
    fn from(never: Never) -> Infallible {
        match never {}
    }
}

fn answer<E>(_: Request<()>) -> impl Future<Output = Result<Response<Full<Bytes>>, E>> {
    std::future::ready(Ok(Response::new(Full::new(Bytes::from_static(b"{}")))))
}

/// One round: CPU nanoseconds a request of this thread, and of the process until it has caught up.
fn time<S, R>(service: &mut S) -> [u64; 2]
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
{
    let (thread, process) = (cpu(ClockId::ThreadCPUTime), cpu(ClockId::ProcessCPUTime));
    for _ in 0..REQUESTS {
        ask(service);
    }
    let thread = cpu(ClockId::ThreadCPUTime) - thread;
    std::thread::sleep(CATCH_UP);
    let process = cpu(ClockId::ProcessCPUTime) - process;
    [thread, process].map(|time| time / u64::from(REQUESTS))
}

fn ask<S, R>(service: &mut S)
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
{
    let mut request = Request::get("/api/bookings/0190b3f4-0000-7000-8000-000000000000?fields=all")
        .header("host", "localhost:8080")
        .header("user-agent", "curl/8.5.0")
        .header("accept", "*/*")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")
        .body(())
        .expect("a well-formed request");
    request.extensions_mut().insert(Peer(([127, 0, 0, 1], 40000).into()));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut future = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(cx) else { panic!("nothing here waits") };
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(cx) {
        if body.is_end_stream() {
            break;
        }
    }
}

fn cpu(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}
