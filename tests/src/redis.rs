//! A real Redis, which can be made to fail in every way that one does.

use std::{net::Ipv4Addr, path::PathBuf, process::Command, time::Duration};

use crate::{
    Directory, eventually_within,
    program::{self, Program},
};

/// A Redis with a directory of its own; killed when dropped.
#[derive(Debug)]
pub struct Redis {
    host: Ipv4Addr,
    directory: Directory,
    program: Option<Program>,
}

impl Redis {
    /// Starts one that keeps nothing on disk by itself, and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not answer within half a minute, with what it said.
    pub async fn start() -> Redis {
        let mut redis = Redis::away();
        redis.launch(&[]);
        redis.answers().await;
        redis
    }

    /// One that is not there yet.
    pub fn away() -> Redis {
        Redis { host: program::own_address(), directory: Directory::new(), program: None }
    }

    /// Starts it with what it has saved, and these arguments; whether it answers already is not waited for.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn launch(&mut self, arguments: &[&str]) {
        let directory = self.directory.path().to_owned();
        self.program = Some(Program::start(&program::packaged("redis-server"), &self.output(), |command| {
            command.arg("--bind").arg(self.host.to_string()).arg("--dir").arg(directory);
            command.args(["--save", "", "--enable-debug-command", "local"]).args(arguments);
        }));
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// When it does not within half a minute, with what it said.
    pub async fn answers(&self) {
        eventually_within(Duration::from_secs(30), "Redis answers", async || {
            let said = || std::fs::read_to_string(self.output()).unwrap_or_default();
            let answer = self.try_cli(&["PING"]);
            if answer == "PONG" { Ok(()) } else { Err(format!("{answer}; it said: {}", said())) }
        })
        .await;
    }

    /// What `--redis-url` takes.
    pub fn url(&self) -> String {
        format!("redis://{}:6379", self.host)
    }

    /// Runs a command, and returns what `redis-cli` prints.
    ///
    /// # Panics
    /// When Redis refuses it.
    pub fn cli(&self, command: &[&str]) -> String {
        let answer = self.try_cli(command);
        let refused = ["ERR", "WRONGTYPE", "Could not connect"].iter().any(|word| answer.starts_with(word));
        assert!(!refused, "{command:?}: {answer}");
        answer
    }

    fn try_cli(&self, command: &[&str]) -> String {
        // It waits for a Redis that hangs for ever.
        let mut cli = Command::new("timeout");
        cli.arg("10").arg(program::packaged("redis-cli")).arg("-h").arg(self.host.to_string()).args(command);
        let output = cli.output().expect("redis-cli can be started");
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).trim_end().to_owned()
    }

    /// Every key that matches.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        self.cli(&["--raw", "KEYS", pattern]).lines().map(str::to_owned).collect()
    }

    /// Kills it, as a crash would; what it has not saved is gone.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Stops it where it is: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.program.as_ref().expect("it runs").signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.program.as_ref().expect("it runs").signal(rustix::process::Signal::CONT);
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("redis.log")
    }
}
