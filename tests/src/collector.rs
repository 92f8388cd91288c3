//! The real OpenTelemetry Collector on this repository's `otel-collector.yaml`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::program::{self, Program};

/// A Collector with a directory of its own; killed when dropped.
#[derive(Debug)]
pub struct Collector {
    host: Ipv4Addr,
    directory: PathBuf,
    jaeger_endpoint: String,
    program: Option<Program>,
}

impl Collector {
    /// Starts one that keeps its files in `directory` and sends traces to `jaeger_endpoint`, and waits until it can serve.
    ///
    /// # Panics
    /// When it is not installed, or not ready within half a minute, with what it said.
    pub async fn start(directory: &Path, jaeger_endpoint: &str) -> Collector {
        let mut collector = Collector {
            host: program::own_address(),
            directory: directory.to_owned(),
            jaeger_endpoint: jaeger_endpoint.to_owned(),
            program: None,
        };
        collector.start_again().await;
        collector
    }

    /// Starts it where it was, on what it left behind.
    ///
    /// # Panics
    /// Like [`Collector::start`].
    pub async fn start_again(&mut self) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-collector.yaml");
        let output = self.directory.join("collector.log");
        let mut program = Program::start(&program::built("otelcol-0.145.0/otelcol"), &output, |command| {
            command.arg("--config").arg(config).env("LISTEN_HOST", self.host.to_string());
            command.env("TELEMETRY_DIRECTORY", self.files());
            command.env("QUEUE_DIRECTORY", self.directory.join("queue"));
            command.env("JAEGER_ENDPOINT", &self.jaeger_endpoint);
        });
        program.answers(self.address(13133), "/", &output).await;
        self.program = Some(program);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it has not ended within half a minute.
    pub async fn stop(&mut self) {
        if let Some(program) = self.program.take() {
            program.stop().await;
        }
    }

    /// The directory of its files.
    pub fn files(&self) -> PathBuf {
        self.directory.join("telemetry")
    }

    /// Its OTLP/gRPC endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address(4317))
    }

    /// Where it takes OTLP/HTTP.
    pub fn http(&self) -> SocketAddr {
        self.address(4318)
    }

    /// Where Prometheus reads it.
    pub fn metrics(&self) -> SocketAddr {
        self.address(8889)
    }

    /// Where Prometheus reads how the Collector itself is.
    pub fn own_metrics(&self) -> SocketAddr {
        self.address(8888)
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.host, port))
    }
}
