//! One service as a process of its own, beside a system or without one.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{System, eventually_within, throughline};

/// A running service; killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    listening: Value,
}

impl Service {
    /// `throughline ROLE ARGUMENTS…`, on a port that the system chooses, telling `system`'s collector.
    ///
    /// # Panics
    /// When it does not listen within ten seconds, with what it said.
    pub async fn start(role: &str, arguments: &[&str], system: &System) -> Service {
        Service::begin(role, arguments, &[], &system.otlp_endpoint()).await
    }

    /// [`Service::start`] with variables in its environment.
    ///
    /// # Panics
    /// Like [`Service::start`].
    pub async fn start_with(
        role: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
        system: &System,
    ) -> Service {
        Service::begin(role, arguments, variables, &system.otlp_endpoint()).await
    }

    /// [`Service::start`] with any OTLP endpoint, one that nobody serves included.
    ///
    /// # Panics
    /// When it does not listen within ten seconds, with what it said.
    pub async fn start_alone(role: &str, arguments: &[&str], otlp_endpoint: &str) -> Service {
        Service::begin(role, arguments, &[], otlp_endpoint).await
    }

    async fn begin(
        role: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
        otlp_endpoint: &str,
    ) -> Service {
        // A worker serves nothing.
        let listen: &[&str] = if role == "worker" { &[] } else { &["--listen", "127.0.0.1:0"] };
        let mut child = Command::new(throughline())
            .args([role, "--otlp-endpoint", otlp_endpoint])
            .args(listen)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stdout = child.stdout.take().expect("its standard output is piped");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(line);
            }
        });
        let mut service = Service { child, lines, listening: Value::Null };
        service.listening = service.line("listening").await;
        service
    }

    /// Where it serves.
    ///
    /// # Panics
    /// When its line `listening` does not say so.
    pub fn address(&self) -> SocketAddr {
        let text = self.listening["address"].as_str().unwrap_or_default();
        text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.listening))
    }

    /// What it has written on its standard output.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// The first line with this message, once it is there.
    ///
    /// # Panics
    /// When it does not come within ten seconds.
    pub async fn line(&self, message: &str) -> Value {
        eventually_within(Duration::from_secs(10), &format!("the line `{message}`"), async || {
            let lines = self.lines();
            lines.iter().find(|line| line["message"] == message).cloned().ok_or_else(|| format!("{lines:#?}"))
        })
        .await
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to stop and waits for its exit.
    ///
    /// # Panics
    /// When it has not ended within half a minute.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for its exit.
    ///
    /// # Panics
    /// Like [`Service::stop`].
    pub async fn ended(&mut self) -> ExitStatus {
        eventually_within(Duration::from_secs(30), "the service ends", async || {
            self.child.try_wait().expect("a child can be waited for").ok_or("still running")
        })
        .await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
