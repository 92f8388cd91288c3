//! The whole system measured as a user starts it: `cargo bench -p tests --bench system [seconds]`.
//!
//! Prints, in this order: the time from `up`'s start to its first story and the memory of all processes when idle; an
//! open loop of 500 requests a second (a minute unless told otherwise) with its errors, latencies, memory over time, and
//! whether what was recorded is in the files; then a closed loop as fast as it goes while the
//! collector stands still, with what was dropped and whether that was counted exactly. Exits 1 when a count does not add up.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::process::Signal;
use serde_json::Value;
use tests::System;

use self::arrival::Arrivals;

/// How long a story takes to the files.
mod arrival;

const RATE: u64 = 500;
/// Every which request's way into the files is timed.
const SAMPLED: u64 = 25;
const SATURATING_CLIENTS: usize = 64;
const SATURATION: Duration = Duration::from_secs(5);

type Pooled = Client<HttpConnector, Full<Bytes>>;

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(60);
    start_to_story().await;
    let steady = steady(seconds).await;
    let saturated = saturated().await;
    if steady && saturated { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// From `up`'s start to its story, as printed; the median of five.
async fn start_to_story() {
    // Not part of what is measured: it may have to be built first.
    tests::throughline();
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let system = System::start().await;
        tests::eventually("the first story is told", async || system.events("story").pop().ok_or("none yet"))
            .await;
        times.push(started.elapsed());
        if times.len() == 5 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            println!("start to story: median {:?} of {times:?}", median(&mut times));
            report_memory("idle", &system);
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// 500 requests a second, sent when they are due whatever became of those before.
async fn steady(seconds: u64) -> bool {
    let mut system = System::start().await;
    let client: Pooled = Client::builder(TokioExecutor::new()).build_http();
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let errors = Arc::new(AtomicU64::new(0));
    let arrivals = Arrivals::default();
    let following = tokio::spawn(arrivals.clone().follow(system.files()));
    let started = Instant::now();
    let mut due = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE).expect("small"));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut requests = Vec::new();
    for number in 0..RATE * seconds {
        let due_at = due.tick().await.into_std();
        let uri = list(&system, number % 100);
        let (client, latencies, errors) = (client.clone(), Arc::clone(&latencies), Arc::clone(&errors));
        let arrivals = arrivals.clone();
        requests.push(tokio::spawn(async move {
            match get(&client, &uri).await {
                Some(trace_id) => {
                    latencies.lock().expect("no panic").push(due_at.elapsed());
                    if number % SAMPLED == 0 {
                        arrivals.answered(&trace_id);
                    }
                }
                None => {
                    errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        if number % (RATE * 10) == RATE * 10 - 1 {
            report_memory(&format!("after {:>3} s", started.elapsed().as_secs()), &system);
        }
    }
    for request in requests {
        request.await.expect("a request's task ends");
    }
    let mut latencies = std::mem::take(&mut *latencies.lock().expect("no panic"));
    latencies.sort();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
    println!(
        "{RATE} requests/s for {seconds} s: {} answered, {} errors; p50 {:?}, p99 {:?}, p99.9 {:?}",
        latencies.len(),
        errors.load(Ordering::Relaxed),
        at(0.5),
        at(0.99),
        at(0.999)
    );
    system.stop().await;
    // The collector has ended: one more look at what it wrote last.
    tokio::time::sleep(Duration::from_millis(100)).await;
    following.abort();
    let (took, missing) = arrivals.took();
    println!(
        "from the response to the whole story in the files, one of {SAMPLED} requests: p50 {:?}, p99 {:?}, longest {:?}; \
         {missing} of {} never came",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1],
        took.len() + missing
    );
    let exact = counts_add_up("steady", &system, true) && missing == 0;
    exact && errors.load(Ordering::Relaxed) == 0
}

/// As fast as it goes, while the collector stands still: more is recorded than the queues hold.
async fn saturated() -> bool {
    let mut system = System::start().await;
    let collector = system.processes("collector").remove(0);
    system.signal(&collector, Signal::STOP);
    let answered = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + SATURATION;
    let clients: Vec<_> = (0..SATURATING_CLIENTS)
        .map(|number| {
            let client: Pooled = Client::builder(TokioExecutor::new()).build_http();
            let uri = list(&system, number as u64);
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                while Instant::now() < end {
                    if get(&client, &uri).await.is_some() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client ends");
    }
    system.signal(&collector, Signal::CONT);
    println!(
        "{SATURATING_CLIENTS} clients in a closed loop for {SATURATION:?}: {} answered",
        answered.load(Ordering::Relaxed)
    );
    system.stop().await;
    counts_add_up("saturated", &system, false)
}

/// A list that no cache answers by itself, so that each request goes the whole path.
fn list(system: &System, number: u64) -> String {
    format!("http://{}/api/bookings?resource=room-{number}&status=confirmed", system.address())
}

/// The trace id of a good answer, read to its end.
async fn get(client: &Pooled, uri: &str) -> Option<String> {
    let request = Request::get(uri).body(Full::default()).expect("a valid request");
    let answer = client.request(request).await.ok().filter(|answer| answer.status() == 200)?;
    let trace_id = answer.headers().get("x-trace-id")?.to_str().ok()?.to_owned();
    answer.into_body().collect().await.ok()?;
    Some(trace_id)
}

/// Compares what each process said at its exit with what is in the files.
fn counts_add_up(what: &str, system: &System, lossless: bool) -> bool {
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let logs = system.data().join("logs");
    for entry in fs::read_dir(&logs).expect("the children's logs") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a log is text");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for line in
            lines.filter(|line| line["message"] == "telemetry stopped" && line["service"] != "collector")
        {
            for (field, value) in line.as_object().expect("a line is an object") {
                *told.entry(field.clone()).or_default() += value.as_u64().unwrap_or_default();
            }
        }
    }
    let spans = spans_in(&system.files());
    let lines = lines_in(&system.files());
    let count = |field: &str| told.get(field).copied().unwrap_or_default();
    let mut exact = true;
    for (signal, in_files) in [("spans", spans), ("log_lines", lines)] {
        let (recorded, exported, dropped) = (
            count(&format!("{signal}_recorded")),
            count(&format!("{signal}_exported")),
            count(&format!("{signal}_dropped")),
        );
        println!(
            "{what}: {signal}: {recorded} recorded = {exported} exported + {dropped} dropped; {in_files} in the files"
        );
        exact &= recorded > 0
            && recorded == exported + dropped
            && exported == in_files
            && !(lossless && dropped > 0);
    }
    println!("{what}: {}", if exact { "every count adds up" } else { "THE COUNTS DO NOT ADD UP" });
    exact
}

/// Spans in all the files, those that were full and turned included. Only spans have a start.
fn spans_in(directory: &Path) -> u64 {
    files(directory, "traces").iter().map(|text| text.matches("\"startTimeUnixNano\":").count() as u64).sum()
}

fn lines_in(directory: &Path) -> u64 {
    files(directory, "logs").iter().map(|text| text.lines().count() as u64).sum()
}

fn files(directory: &Path, signal: &str) -> Vec<String> {
    fs::read_dir(directory)
        .expect("the collector's directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(signal)))
        .map(|path| fs::read_to_string(path).expect("a file of lines is text"))
        .collect()
}

/// The proportional set size of every process of the system, in MiB.
fn report_memory(when: &str, system: &System) {
    let listed = Command::new("pgrep")
        .args(["-P", &system.pid().to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("pgrep lists the children (Debian package procps)");
    let children = String::from_utf8_lossy(&listed.stdout).into_owned();
    let own = system.pid().to_string();
    let mut sum = 0.0;
    let mut each = Vec::new();
    for pid in children.lines().chain([own.as_str()]) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
        let mib = kib.and_then(|kib| kib.trim().parse::<f64>().ok()).unwrap_or_default() / 1024.0;
        sum += mib;
        each.push(format!("{mib:.1}"));
    }
    println!("{when}: memory {sum:.1} MiB in {} processes ({})", each.len(), each.join(" + "));
}
