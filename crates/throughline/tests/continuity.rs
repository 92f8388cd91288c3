//! `audit` and `logs` as they are typed, on what a system of real processes has written: one that is sound, and one in which
//! a hop does not go on with the trace.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

mod typed;
use typed::throughline;

/// A service, running; asked to end, and waited for, when dropped.
struct Service {
    child: Child,
    address: String,
    /// Reads on, so that it can go on writing.
    _reader: std::thread::JoinHandle<()>,
}

impl Service {
    /// Starts it on ports that the system chooses, and waits for the line that names them.
    fn start(arguments: &[&str]) -> Self {
        let mut command = throughline(Path::new("."), arguments);
        let mut child =
            command.args(["--admin-listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = |line: String| serde_json::from_str::<Value>(&line).unwrap();
        let listening = lines.by_ref().map(said).find(|line| line["message"] == "listening");
        let address = listening.expect("it ended before it listened")["address"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Self { child, address, _reader: std::thread::spawn(move || lines.for_each(drop)) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself, which the test that needed it has noticed.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// What `host:port` answers to this request.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Where a load balancer, a cache and an http_server that believes the traces of `trusted` have written what they did with
/// four requests.
fn files_of(test: &str, trusted: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let telemetry = directory.join("telemetry");
    let collector = Service::start(&[
        "collector",
        "--listen=127.0.0.1:0",
        "--http-listen=127.0.0.1:0",
        &format!("--directory={}", telemetry.display()),
    ]);
    let otlp = format!("--otlp-endpoint=http://{}", collector.address.split(',').next().unwrap());
    let database = format!("--database-url=sqlite:{}", directory.join("bookings.db").display());
    let trusted = format!("--trusted-peers={trusted}");
    let server = Service::start(&["http-server", "--listen=127.0.0.1:0", &otlp, &database, &trusted]);
    let to_server = format!("--upstream=http://{}", server.address);
    let cache = Service::start(&["cache", "--listen=127.0.0.1:0", &otlp, &to_server]);
    let to_cache = format!("--upstream=http://{}", cache.address);
    let edge = Service::start(&["load-balancer", "--listen=127.0.0.1:0", &otlp, &to_cache]);
    for number in 0..4 {
        let answer = ask(
            &edge.address,
            &format!("GET /api/bookings?resource=r{number} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let nonsense =
        "GET /api/bookings HTTP/1.1\r\nhost: a\r\ntraceparent: nonsense\r\nconnection: close\r\n\r\n";
    ask(&edge.address, nonsense);
    // Each hands over what it has recorded before it ends; the collector last.
    drop((edge, cache, server));
    drop(collector);
    telemetry
}

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        throughline(Path::new("."), arguments).arg("--from").arg(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_sound_system_is_said_to_be_sound() {
    let files = files_of("sound", "loopback");
    let (code, told, complaint) = run(&files, &["audit", "--settle", "0s"]);
    assert_eq!((code, &*complaint), (Some(0), ""), "{told}");
    assert_eq!(
        told,
        "note: load_balancer: 1 requests brought a context from outside that it did not take over\n\
         sound: every hop of 15 requests carried its trace on\n"
    );

    let (code, lines, complaint) =
        run(&files, &["logs", "--text", "request", "--service", "cache", "--limit", "3"]);
    assert_eq!(code, Some(0), "{complaint}");
    let written = fs::read_to_string(files.join("logs.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.lines().all(|line| written.lines().any(|other| other == line)), "as they are: {lines}");
    assert!(complaint.contains("the newest 3 of 5 lines"), "{complaint}");
    let (code, none, complaint) = run(&files, &["logs", "--level", "fatal"]);
    assert_eq!((code, &*none), (Some(1), ""));
    assert!(complaint.contains("no such line"), "{complaint}");
    let (code, ..) = run(&files, &["logs", "--level", "loud"]);
    assert_eq!(code, Some(64));
}

#[test]
fn a_hop_that_does_not_believe_its_caller_is_named() {
    let files = files_of("broken", "none");
    let (code, told, _) = run(&files, &["audit", "--settle", "0s", "--json"]);
    assert_eq!(code, Some(1), "{told}");
    let finding: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&finding["from"], &finding["at"], &finding["cause"], &finding["count"], &finding["of"]),
        (&"cache".into(), &"http_server".into(), &"not trusted".into(), &5.into(), &5.into()),
        "{told}"
    );
    let (_, told, _) = run(&files, &["audit", "--settle", "0s"]);
    assert!(told.ends_with("broken: 5 breaks in 15 requests, at 1 place\n"), "{told}");
    let (code, told, _) = run(&files, &["audit", "--settle", "0s", "--service", "worker"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, ..) = run(&files.join("nowhere"), &["audit"]);
    assert_eq!(code, Some(2));
}
