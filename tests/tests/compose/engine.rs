//! A Docker engine for the tests, and Compose beside it.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use tests::program::built;

/// An engine with stand-ins for the images; ended when dropped, and by the kernel's closing of a pipe should this process be
/// killed.
#[derive(Debug)]
pub(crate) struct Engine {
    script: Child,
    /// `DOCKER_HOST`.
    pub(crate) host: String,
}

impl Engine {
    /// Why none can be started on this machine, if so: not a failure of what is tested.
    pub(crate) fn impossible() -> Option<&'static str> {
        if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
            return Some("a Docker engine can be started by root on Linux only");
        }
        // Both would write the same firewall rules.
        UnixStream::connect("/var/run/docker.sock").is_ok().then_some(
            "a Docker engine runs on this machine, and a second one would take its ports away from it",
        )
    }

    /// Starts it and makes the images; minutes, the first time.
    ///
    /// # Panics
    /// When one of its parts is missing, with the command that installs it.
    pub(crate) fn start() -> Engine {
        let mut script = Command::new(root().join("tests/docker/engine"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/docker/engine can be started");
        let mut line = String::new();
        BufReader::new(script.stdout.take().expect("its output is piped"))
            .read_line(&mut line)
            .expect("it writes text");
        let engine = Engine { script, host: line.trim().to_owned() };
        assert!(!engine.host.is_empty(), "no Docker engine: tests/docker/engine says why above");
        let made = Command::new(root().join("tests/docker/stand-ins"))
            .env("DOCKER_HOST", &engine.host)
            // Its progress is for the terminal, whatever becomes of the test's own output.
            .stdout(std::io::stderr())
            .status()
            .expect("tests/docker/stand-ins can be started");
        assert!(made.success(), "no stand-in images: tests/docker/stand-ins says why above");
        engine
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // However it ended: there is nobody to tell.
        let _ = self.script.wait();
    }
}

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("package `tests` lies in the workspace")
}

/// `docker compose` on the checkout's file, without anybody's settings.
pub(crate) fn compose(arguments: &[&str]) -> Command {
    let mut command = Command::new(built("compose-2.40.3/docker-compose"));
    command
        .env_clear()
        .envs(["PATH", "HOME"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.args(["--env-file", "/dev/null", "--progress", "plain"]).args(arguments).current_dir(root());
    command
}

/// What a command writes to its standard output.
///
/// # Panics
/// When it fails, with what it said.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a line to the terminal, which the test harness does not hold back: what was measured, how far it is.
pub(crate) fn tell(line: &str) {
    // Nobody is there to read it.
    let _ = writeln!(std::io::stderr(), "compose: {line}");
}
