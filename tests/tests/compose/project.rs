//! The file as a Compose project with a name, ports and a directory of its own.

use std::{
    collections::BTreeSet,
    fs,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
};

use tests::{Directory, Story};

use crate::{
    engine::{Engine, compose, output, tell},
    file::{config, services},
};

/// Services of the file that are published on the host, and the variable that says where.
const PORTS: [(&str, &str); 4] = [
    ("load_balancer", "THROUGHLINE_PORT"),
    ("jaeger", "JAEGER_PORT"),
    ("prometheus", "PROMETHEUS_PORT"),
    ("grafana", "GRAFANA_PORT"),
];

/// A project. After a failure its directory holds what its containers said. They end with the engine.
#[derive(Debug)]
pub(crate) struct Project<'e> {
    engine: &'e Engine,
    name: String,
    directory: Directory,
    ports: Vec<u16>,
}

impl Project<'_> {
    /// A project that has not been started.
    pub(crate) fn new(engine: &Engine) -> Project<'_> {
        // Chosen by the system, and free until the containers take them: all are held until all are known.
        let held: Vec<_> = PORTS
            .iter()
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"))
            .collect();
        let port = |held: &TcpListener| held.local_addr().expect("a bound socket has an address").port();
        let name = format!("throughline-test-{:016x}", RandomState::new().hash_one(std::process::id()));
        Project { engine, name, directory: Directory::new(), ports: held.iter().map(port).collect() }
    }

    /// Where the Collector's files are; the first start makes it.
    pub(crate) fn telemetry(&self) -> PathBuf {
        self.directory.path().join("telemetry")
    }

    /// What the Collector's files tell of one request by now.
    pub(crate) fn story(&self, trace_id: &str) -> Story {
        Story::read(&self.telemetry(), trace_id)
    }

    /// Where a service is published on the host.
    pub(crate) fn address(&self, service: &str) -> SocketAddr {
        let index = PORTS.iter().position(|(name, _)| *name == service);
        let index = index.unwrap_or_else(|| panic!("`{service}` is not published"));
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[index]))
    }

    /// `docker compose` on this project: its output.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        output(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = compose(&["--project-name", &self.name]);
        command.args(arguments).env("DOCKER_HOST", &self.engine.host);
        command.env("TELEMETRY_DIRECTORY", self.telemetry());
        command.envs(PORTS.iter().zip(&self.ports).map(|((_, variable), port)| (variable, port.to_string())));
        command
    }

    /// Builds our image, unless nothing of it has changed.
    pub(crate) fn build(&self) {
        tell("building our image; some minutes where dependencies changed");
        let started = std::time::Instant::now();
        // One service's image is everybody's.
        self.compose(&["build", "load_balancer"]);
        tell(&format!("built after {:.1} s", started.elapsed().as_secs_f64()));
    }

    /// Starts every service of the file but Grafana, and waits until they are healthy.
    pub(crate) fn up(&self) {
        let config = config(&[]);
        let services = services(&config);
        let started = services.iter().filter(|(name, service)| {
            // The tools have a profile; what runs once is started by who needs it.
            service["profiles"].is_null() && service["restart"] != "no" && **name != "grafana"
        });
        let mut arguments = vec!["up", "--detach", "--no-build", "--wait", "--wait-timeout", "300"];
        arguments.extend(started.map(|(name, _)| *name));
        self.compose(&arguments);
    }

    /// Every running container and its memory in MiB, as `docker stats` shows it.
    pub(crate) fn memory(&self) -> Vec<(String, f64)> {
        let running = self.docker(&["ps", "--quiet", "--filter", &self.label()]);
        let mut arguments = vec!["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"];
        arguments.extend(running.lines());
        let stats = self.docker(&arguments);
        let parse = |line: &str| {
            let (name, usage) = line.split_once(' ')?;
            let used = usage.split(" /").next()?;
            let unit = used.find(|c: char| c.is_ascii_alphabetic())?;
            let number: f64 = used[..unit].parse().ok()?;
            let factor = match &used[unit..] {
                "KiB" => 1.0 / 1024.0,
                "MiB" => 1.0,
                "GiB" => 1024.0,
                _ => return None,
            };
            Some((name.to_owned(), number * factor))
        };
        stats.lines().map(|line| parse(line).unwrap_or_else(|| panic!("docker stats: `{line}`"))).collect()
    }

    /// The size of our image.
    pub(crate) fn image_megabytes(&self) -> u64 {
        let size = self.docker(&["image", "inspect", "--format", "{{.Size}}", "throughline:local"]);
        size.trim().parse::<u64>().expect("a size is a number") / 1_000_000
    }

    /// Every running container and when it was started.
    pub(crate) fn started(&self) -> BTreeSet<String> {
        self.inspect("{{.Name}} {{.State.Running}} {{.State.StartedAt}}")
            .lines()
            .filter(|line| line.contains(" true "))
            .map(str::to_owned)
            .collect()
    }

    /// Containers that ended and were started again by the engine.
    pub(crate) fn restarted_by_themselves(&self) -> Vec<String> {
        let counts = self.inspect("{{.Name}} {{.RestartCount}}");
        counts.lines().filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
    }

    /// Every container and how it ended.
    pub(crate) fn exit_codes(&self) -> Vec<(String, String)> {
        let codes = self.inspect("{{.Name}} {{.State.ExitCode}}");
        let pair = |line: &str| line.split_once(' ').map(|(name, code)| (name.to_owned(), code.to_owned()));
        codes.lines().filter_map(pair).collect()
    }

    /// What there is of containers, volumes and networks.
    pub(crate) fn left_behind(&self) -> String {
        let list: [&[&str]; 3] = [&["ps", "--all"], &["volume", "ls"], &["network", "ls"]];
        list.map(|list| self.docker(&[list, &["--quiet", "--filter", &self.label()]].concat())).concat()
    }

    fn inspect(&self, format: &str) -> String {
        let all = self.docker(&["ps", "--all", "--quiet", "--filter", &self.label()]);
        let mut arguments = vec!["inspect", "--format", format];
        arguments.extend(all.lines());
        self.docker(&arguments)
    }

    fn label(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    fn docker(&self, arguments: &[&str]) -> String {
        output(Command::new("docker").args(arguments).env("DOCKER_HOST", &self.engine.host))
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (file, arguments) in [("containers", ["ps", "--all"]), ("output", ["logs", "--no-color"])] {
                let said = self.command(&arguments).output().map(|output| output.stdout).unwrap_or_default();
                // What matters more is the failure itself.
                let _ = fs::write(self.directory.path().join(file), said);
            }
        }
    }
}
