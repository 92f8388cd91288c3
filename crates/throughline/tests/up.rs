//! `up` and its children: what stops it at once, what it survives, and that nothing outlives it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// No wait of these tests is longer.
const BOUND: Duration = Duration::from_secs(60);

/// A directory of its own; removed when the test has passed.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("throughline-up-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn up(data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.args(["up", "--json", "--port", &port.to_string(), "--data-dir"]).arg(data);
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end, which must come by itself: the exit code and what is on standard error.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let mut running = Running::of(command.stderr(Stdio::piped()));
    let code = running.exit_code();
    let mut said = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (code, said)
}

/// `up --json`, running; ended when dropped.
struct Running {
    child: Child,
    lines: mpsc::Receiver<Value>,
    events: Vec<Value>,
}

impl Running {
    fn start(data: &Path) -> Self {
        Self::of(&mut up(data, 0))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines, events: Vec::new() }
    }

    /// The first event of this kind, once it is there.
    fn event(&mut self, kind: &str) -> Value {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(event) = self.events.iter().find(|event| event["event"] == kind) {
                return event.clone();
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.events.push(event),
                Err(over) => panic!("no event `{kind}` ({over}): {:#?}", self.events),
            }
        }
    }

    /// The children by name: process ids and addresses.
    fn children(&mut self) -> Vec<(String, i32, String)> {
        let ready = self.event("ready");
        let of = |one: &Value| {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            // A worker serves nothing but its admin address.
            let address = if one["address"].is_null() { text("admin") } else { text("address") };
            (text("name"), i32::try_from(one["pid"].as_i64().unwrap()).unwrap(), address)
        };
        ready["services"].as_array().unwrap().iter().map(of).collect()
    }

    fn child(&mut self, name: &str) -> (i32, String) {
        let all = self.children();
        let (_, pid, address) = all.iter().find(|child| child.0 == name).unwrap_or_else(|| panic!("{all:?}"));
        (*pid, address.clone())
    }

    fn signal(&self, signal: Signal) {
        kill(self.child.id().cast_signed(), signal);
    }

    fn exit_code(&mut self) -> Option<i32> {
        eventually("`up` ends", || self.child.try_wait().unwrap().ok_or("running")).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Waits for a condition; says its last state when it does not come.
fn eventually<T, S: std::fmt::Debug>(what: &str, mut condition: impl FnMut() -> Result<T, S>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(state) => assert!(Instant::now() < deadline, "{what}: {state:?}"),
        }
        std::thread::yield_now();
    }
}

/// The state of a process as /proc tells it; gone, or dead and not yet collected, is `None`.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
    (state != 'Z').then_some(state)
}

fn until_gone(children: &[(String, i32, String)]) {
    eventually("every child has ended", || {
        let left: Vec<_> = children.iter().filter(|child| state(child.1).is_some()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(b"GET /api/bookings HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_port_in_use_is_one_sentence_and_exit_1() {
    let (directory, taken) = (Directory::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = taken.local_addr().unwrap().port();
    let (code, said) = refused(&mut up(&directory.data(), port));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with(&format!("throughline up: cannot serve on 127.0.0.1:{port}")), "{said}");
    assert!(said.contains("Address already in use") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_data_directory_in_use_is_one_sentence_and_exit_1() {
    let directory = Directory::new();
    let mut first = Running::start(&directory.data());
    first.event("ready");
    let (code, said) = refused(&mut up(&directory.data(), 0));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("`{}` is in use by another", directory.data().display())), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_database_that_refuses_is_told_in_the_words_of_the_service() {
    let directory = Directory::new();
    let file = directory.0.join("no-directory");
    fs::write(&file, "").unwrap();
    let url = format!("sqlite:{}/bookings.db", file.display());
    let (code, said) = refused(up(&directory.data(), 0).args(["--database-url", &url]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("http_server-") && said.contains("before it could serve"), "{said}");
    assert!(said.contains("it said “http_server: ") && said.contains(".log"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn an_output_that_cannot_be_kept_is_named() {
    let directory = Directory::new();
    let log = directory.data().join("logs/collector-1.log");
    fs::create_dir_all(&log).unwrap();
    let (code, said) = refused(&mut up(&directory.data(), 0));
    assert_eq!(code, Some(1), "{said}");
    let expected = format!("cannot start collector-1: cannot open `{}`: Is a directory", log.display());
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_setting_that_a_child_refuses_is_a_usage_error_of_up() {
    let directory = Directory::new();
    for (flag, value) in [("--database-url", "mysql://db/x"), ("--otlp-endpoint", "collector")] {
        let (code, said) = refused(up(&directory.data(), 0).args([flag, value]));
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(&format!("`{flag}` is `")) && said.contains("but must be"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn ctrl_c_drains_from_the_edge_to_the_collector_and_leaves_nothing_behind() {
    let directory = Directory::new();
    let mut running = Running::start(&directory.data());
    let children = running.children();
    assert_eq!(children.len(), 6, "{children:?}");
    running.event("story");
    running.signal(Signal::INT);
    assert_eq!(running.exit_code(), Some(0));
    running.event("stopped");
    until_gone(&children);

    let last = |name: &str, message: &str| {
        let log = fs::read_to_string(directory.data().join(format!("logs/{name}.log"))).unwrap();
        let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let line = lines.iter().rfind(|line| line["message"] == message);
        line.unwrap_or_else(|| panic!("no `{message}`: {log}"))["timestamp"].as_str().unwrap().to_owned()
    };
    for (edge, behind) in
        [("load_balancer-1", "cache-1"), ("cache-1", "http_server-2"), ("http_server-1", "collector-1")]
    {
        assert!(
            last(edge, "telemetry stopped") < last(behind, "draining"),
            "{edge} ends before {behind} drains"
        );
    }
}

#[test]
fn kill_9_of_up_leaves_no_child() {
    let directory = Directory::new();
    let mut running = Running::start(&directory.data());
    let children = running.children();
    running.signal(Signal::KILL);
    until_gone(&children);
    // The system has freed the lock as well.
    Running::start(&directory.data()).event("ready");
}

#[test]
fn a_child_that_dies_is_said_and_serves_again_on_the_same_address() {
    let directory = Directory::new();
    let mut running = Running::start(&directory.data());
    let (pid, address) = running.child("load_balancer-1");
    running.event("story");
    kill(pid, Signal::KILL);
    let exited = running.event("exited");
    assert_eq!(
        (exited["name"].as_str(), exited["pid"].as_i64()),
        (Some("load_balancer-1"), Some(pid.into()))
    );
    assert!(Path::new(exited["log"].as_str().unwrap()).exists(), "{exited}");
    let restarted = running.event("restarted");
    assert_eq!(restarted["name"], "load_balancer-1");
    assert_ne!(restarted["pid"].as_i64(), Some(pid.into()));
    assert!(get(&address).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_second_ctrl_c_kills() {
    let directory = Directory::new();
    let mut running = Running::start(&directory.data());
    let children = running.children();
    let (frozen, _) = running.child("load_balancer-1");
    // It cannot drain: `up` would wait for it.
    kill(frozen, Signal::STOP);
    running.signal(Signal::INT);
    eventually("the second signal is heard", || {
        running.signal(Signal::INT);
        running.child.try_wait().unwrap().ok_or("running")
    });
    assert_eq!(running.exit_code(), Some(130));
    until_gone(&children);
}
