//! A collector that runs, as a process of its own: this very test program, told by its environment to be one.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use clap::Parser as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Long enough for a busy machine; what is late by more is a failure.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// Holds the arguments of a collector, one a line.
const ARGUMENTS: &str = "COLLECTOR_UNDER_TEST";

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    settings: collector::Settings,
}

/// What the other tests start as a process; on its own it has nothing to do.
#[test]
fn the_collector_itself() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments = Arguments::parse_from(std::iter::once("collector").chain(arguments.lines()));
    let code = collector::run(arguments.settings);
    assert_eq!(code, std::process::ExitCode::SUCCESS);
}

/// A directory of a test's own, gone with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("throughline-process-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.0.join("telemetry")
    }

    /// A file's lines, which have to be whole.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.directory().join(name)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends in a half line: {text}");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect()
    }

    /// The text of every file of lines whose name begins so.
    pub(crate) fn all(&self, stem: &str) -> String {
        let entries = fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().path());
        let of_stem = |name: &str| name.starts_with(stem) && name.ends_with(".jsonl");
        let named = |path: &PathBuf| of_stem(path.file_name().unwrap().to_str().unwrap());
        entries.filter(named).map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A directory that is left behind in the temporary directory spoils no test.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How the process is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Plainly,
    /// Writing beyond the limit of a file's size is an error and not the end of the process.
    WithFileSizeErrors,
}

/// A running collector; killed when dropped.
pub(crate) struct Collector {
    child: Child,
    lines: mpsc::Receiver<Value>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Collector {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[], Start::Plainly)
    }

    pub(crate) fn start_with(place: &Place, more: &[&str], start: Start) -> Self {
        let mut child = command(&place.directory(), more, start).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test harness of the child writes on the same output, and before the first line.
                let line = line.find('{').and_then(|at| serde_json::from_str(&line[at..]).ok());
                if line.is_some_and(|line| send.send(line).is_err()) {
                    return;
                }
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut collector = Self { child, lines, grpc: nowhere, http: nowhere, admin: nowhere };
        let listening = collector.line("listening");
        let address = |text: &str| text.parse().unwrap();
        let (grpc, http) = listening["address"].as_str().unwrap().split_once(',').unwrap();
        (collector.grpc, collector.http) = (address(grpc), address(http));
        collector.admin = address(listening["admin"].as_str().unwrap());
        collector
    }

    /// The next line with this message; those before it are passed over.
    pub(crate) fn line(&mut self, message: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(BOUND) {
                Ok(line) if line["message"] == message => return line,
                Ok(line) => seen.push(line.to_string()),
                Err(_) => {
                    let state = self.child.try_wait();
                    panic!("no line `{message}`; the process: {state:?}; seen:\n{}", seen.join("\n"));
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let started = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < BOUND, "the process runs on");
            std::thread::yield_now();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path, more: &[&str], start: Start) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match start {
        Start::Plainly => Command::new(&this),
        Start::WithFileSizeErrors => {
            let mut shell = Command::new("sh");
            // An ignored signal stays ignored across exec.
            shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(&this);
            shell
        }
    };
    let directory = directory.to_str().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--directory", directory];
    let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
    command
        .args(["--exact", "running::the_collector_itself", "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// What a collector that cannot start says on standard error.
pub(crate) fn refusal(directory: &Path, more: &[&str]) -> String {
    let mut child = command(directory, more, Start::Plainly).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!child.wait().unwrap().success(), "it started: {said}");
    said.lines().find(|line| line.starts_with("collector: ")).unwrap_or_else(|| panic!("{said}")).to_owned()
}
