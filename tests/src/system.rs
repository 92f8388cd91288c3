//! `throughline up`, started, watched and ended: on the embedded parts, or on the real ones.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    Client, Collector, Directory, Jaeger, Redis, Story, eventually, eventually_within, postgres, throughline,
};

/// What stands behind the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The embedded collector and SQLite.
    Embedded,
    /// The OpenTelemetry Collector, Jaeger behind it, PostgreSQL and Redis.
    Real,
}

impl Parts {
    /// `THROUGHLINE_TEST_PARTS`, `embedded` or `real`: `tests/run` has every story told on both. Embedded where it is
    /// not set.
    fn of_environment() -> Parts {
        match std::env::var("THROUGHLINE_TEST_PARTS").as_deref() {
            Err(_) | Ok("embedded") => Parts::Embedded,
            Ok("real") => Parts::Real,
            Ok(other) => panic!("THROUGHLINE_TEST_PARTS is `{other}`: `embedded` or `real`"),
        }
    }
}

/// How a system is started.
#[derive(Clone, Debug)]
pub struct SystemBuilder {
    parts: Parts,
    redis: bool,
    database: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// The real parts of a system, besides its database.
#[derive(Debug)]
struct Real {
    collector: Collector,
    jaeger: Jaeger,
    redis: Redis,
}

/// A running system with a directory of its own; ended, and its directory removed, when dropped.
#[derive(Debug)]
pub struct System {
    up: Child,
    real: Option<Real>,
    /// After the processes that write to it.
    directory: Directory,
    events: Arc<Mutex<Vec<Value>>>,
    ready: Value,
}

/// One service of a system.
#[derive(Clone, Debug)]
pub struct Process {
    /// `http_server`.
    pub service: String,
    /// `http_server-2`.
    pub name: String,
    /// As the system knows it.
    pub pid: i32,
    /// Where it serves; of a worker, which serves nothing, where it tells how it is.
    pub address: SocketAddr,
    /// Where it tells how it is.
    pub admin: SocketAddr,
}

impl SystemBuilder {
    /// `--servers`.
    pub fn servers(self, count: usize) -> Self {
        self.argument("--servers", count)
    }

    /// `--caches`.
    pub fn caches(self, count: usize) -> Self {
        self.argument("--caches", count)
    }

    /// On these parts, whatever the environment says.
    pub fn parts(self, parts: Parts) -> Self {
        Self { parts, ..self }
    }

    /// Without a Redis, on whichever parts.
    pub fn without_redis(self) -> Self {
        Self { redis: false, ..self }
    }

    /// `--workers`.
    pub fn workers(self, count: usize) -> Self {
        self.argument("--workers", count)
    }

    /// `--database-url`.
    pub fn database(self, url: &str) -> Self {
        Self { database: Some(url.to_owned()), ..self }
    }

    /// A variable that every process of the system is given.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn argument(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not within a minute, with what it said.
    pub async fn start(self) -> System {
        let directory = Directory::new();
        let said = File::create(directory.path().join("up.stderr")).expect("a file in the new directory");
        let real = match self.parts {
            Parts::Embedded => None,
            Parts::Real => Some(Real::start(directory.path()).await),
        };
        let database = match (self.database, &real) {
            (None, Some(_)) => Some(postgres::database().await),
            (named, _) => named,
        };
        let collector = real.as_ref().map(|real| real.collector.endpoint());
        let redis = real.as_ref().filter(|_| self.redis).map(|real| real.redis.url());
        let flags = [("--database-url", database), ("--otlp-endpoint", collector), ("--redis-url", redis)];
        let flags = flags.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
        let mut up = Command::new(throughline())
            .args(["up", "--json", "--port", "0", "--data-dir"])
            .arg(directory.path().join("data"))
            .args(flags.flatten())
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .expect("the binary can be started");
        let events = Arc::new(Mutex::new(Vec::new()));
        let stdout = up.stdout.take().expect("its standard output is piped");
        let seen = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(event);
            }
        });
        let mut system = System { up, real, directory, events, ready: Value::Null };
        system.ready = eventually_within(Duration::from_secs(60), "`up` is ready", async || {
            let found = system.events("ready").into_iter().next();
            found.ok_or_else(|| {
                let said = fs::read_to_string(system.directory().join("up.stderr")).unwrap_or_default();
                format!("{:?}; it said: {said}", system.all_events())
            })
        })
        .await;
        system
    }
}

impl Real {
    async fn start(directory: &Path) -> Real {
        let mut jaeger = Jaeger::new(directory);
        jaeger.start().await;
        let collector = Collector::start(directory, &jaeger.endpoint()).await;
        Real { collector, jaeger, redis: Redis::start().await }
    }
}

impl System {
    /// A system with two http_servers and one cache.
    pub async fn start() -> System {
        System::builder().start().await
    }

    /// A system started otherwise.
    pub fn builder() -> SystemBuilder {
        SystemBuilder {
            parts: Parts::of_environment(),
            redis: true,
            database: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// A client of the public address.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// The public address.
    pub fn address(&self) -> SocketAddr {
        parse(&self.ready["address"])
    }

    /// The directory of the Collector's files.
    pub fn files(&self) -> PathBuf {
        match &self.real {
            Some(real) => real.collector.files(),
            None => self.data().join("telemetry"),
        }
    }

    /// Where the services send their telemetry.
    pub fn otlp_endpoint(&self) -> String {
        match &self.real {
            Some(real) => real.collector.endpoint(),
            None => format!("http://{}", self.otlp_http()),
        }
    }

    /// Where the collector takes OTLP/HTTP, whichever it is.
    pub fn otlp_http(&self) -> SocketAddr {
        match &self.real {
            Some(real) => real.collector.http(),
            // It takes both protocols at both of its addresses.
            None => self.processes("collector")[0].address,
        }
    }

    /// The real Collector.
    ///
    /// # Panics
    /// On embedded parts.
    pub fn collector(&mut self) -> &mut Collector {
        &mut self.real.as_mut().expect("the system is on real parts").collector
    }

    /// The real Jaeger.
    ///
    /// # Panics
    /// On embedded parts.
    pub fn jaeger(&mut self) -> &mut Jaeger {
        &mut self.real.as_mut().expect("the system is on real parts").jaeger
    }

    /// The real Redis.
    ///
    /// # Panics
    /// On embedded parts.
    pub fn redis(&mut self) -> &mut Redis {
        &mut self.real.as_mut().expect("the system is on real parts").redis
    }

    /// Kills the collector, whichever it is, does `meanwhile`, and has it started again.
    pub async fn without_collector<T>(&mut self, meanwhile: impl AsyncFnOnce(&System) -> T) -> T {
        if self.real.is_some() {
            self.collector().kill();
            let done = meanwhile(self).await;
            self.collector().start_again().await;
            return done;
        }
        let collector = self.processes("collector").remove(0);
        self.signal(&collector, Signal::KILL);
        let done = meanwhile(self).await;
        self.restarted(&collector).await;
        done
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The process id of `up` itself.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.up.id()).expect("a process id fits")
    }

    /// The processes of a service as they run now, by number; those started again under their new process id.
    pub fn processes(&self, service: &str) -> Vec<Process> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let listed = self.ready["services"].as_array().expect("`ready` lists the services");
        let restarted = self.events("restarted");
        listed
            .iter()
            .filter(|one| one["service"] == service)
            .map(|one| {
                let latest = restarted.iter().rev().find(|event| event["name"] == one["name"]).unwrap_or(one);
                Process {
                    service: text(&one["service"]),
                    name: text(&one["name"]),
                    pid: i32::try_from(latest["pid"].as_i64().unwrap_or_default()).unwrap_or_default(),
                    address: parse(if one["address"].is_null() { &one["admin"] } else { &one["address"] }),
                    admin: parse(&one["admin"]),
                }
            })
            .collect()
    }

    /// Sends a signal to one of the system's processes.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn signal(&self, process: &Process, signal: Signal) {
        let pid = Pid::from_raw(process.pid).expect("a process id is positive");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{process:?}: {error}"));
    }

    /// Waits until `up` has started the process again under a new id.
    pub async fn restarted(&self, process: &Process) -> Process {
        eventually(&format!("{} is started again", process.name), async || {
            let now = self.processes(&process.service).into_iter().find(|one| one.name == process.name);
            now.filter(|one| one.pid != process.pid).ok_or_else(|| format!("{:?}", self.all_events()))
        })
        .await
    }

    /// Waits until `up` has told its first story: from then on it asks nothing by itself.
    ///
    /// # Panics
    /// When it does not within ten seconds.
    pub async fn has_told(&self) -> Value {
        eventually("the first story", async || self.events("story").pop().ok_or("not told yet")).await
    }

    /// What the files tell of one request, once every service in `path` has told its part and no span in between is
    /// missing.
    ///
    /// # Panics
    /// When that does not come to pass, with what is missing.
    pub async fn story(&self, trace_id: &str, path: &[&str]) -> Story {
        let files = self.files();
        eventually(&format!("the story of {trace_id}"), async || {
            let story = Story::read(&files, trace_id);
            story.is_whole(path).map(|()| story)
        })
        .await
    }

    /// [`System::story`], once this many runs of tasks have told their parts as well.
    ///
    /// # Panics
    /// When that does not come to pass, with what is missing.
    pub async fn story_with_runs(&self, trace_id: &str, path: &[&str], runs: usize) -> Story {
        let files = self.files();
        eventually(&format!("{runs} runs in the story of {trace_id}"), async || {
            let story = Story::read(&files, trace_id);
            story.is_whole(path)?;
            let consumers = story.spans.iter().filter(|span| span.kind == "CONSUMER").count();
            let lines = story.lines.iter().filter(|line| line.0["message"] == "task").count();
            if (consumers, lines) == (runs, runs) {
                Ok(story)
            } else {
                Err(format!("{consumers} spans, {lines} lines"))
            }
        })
        .await
    }

    /// [`System::story`] of many requests that went the same way.
    ///
    /// # Panics
    /// When one of them does not become whole, with what is missing.
    pub async fn stories(&self, trace_ids: &[String], path: &[&str]) -> Vec<Story> {
        let files = self.files();
        eventually(&format!("the stories of {} requests", trace_ids.len()), async || {
            let mut all = Story::read_all(&files);
            let wanted = trace_ids.iter().map(|id| {
                let story = all.remove(id).ok_or(format!("nothing of {id}"))?;
                story.is_whole(path).map_err(|missing| format!("{id}: {missing}"))?;
                Ok(story)
            });
            wanted.collect::<Result<Vec<_>, String>>()
        })
        .await
    }

    /// The events of one kind that `up --json` has told.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.all_events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    fn all_events(&self) -> Vec<Value> {
        self.events.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Asks `up` to stop and waits for its exit.
    ///
    /// # Panics
    /// When it has not ended within half a minute.
    pub async fn stop(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.pid()).expect("a process id is positive");
        // It may have ended by itself: then the wait below tells how.
        let _ = kill_process(pid, Signal::TERM);
        eventually_within(Duration::from_secs(30), "`up` ends", async || {
            self.up.try_wait().expect("a child can be waited for").ok_or("still running")
        })
        .await
    }

    /// Where its files are, for a message.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.up.id().cast_signed()) {
            // Gone already: nothing to end.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.up.wait();
    }
}

fn parse(value: &Value) -> SocketAddr {
    let text = value.as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}
