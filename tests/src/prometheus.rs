//! A real Prometheus that reads a Collector.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use http::Method;
use serde_json::Value;

use crate::{
    Client, Collector,
    program::{self, Program},
};

/// A Prometheus with a directory of its own; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    host: Ipv4Addr,
    _program: Program,
}

impl Prometheus {
    /// Starts one that reads `collector` every second, and waits until it can serve.
    ///
    /// # Panics
    /// When it is not installed, or not ready within half a minute, with what it said.
    pub async fn start(directory: &Path, collector: &Collector) -> Prometheus {
        let host = program::own_address();
        let config = directory.join("prometheus.yml");
        // As docker-compose.yml has it, but for the times.
        let text = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: throughline\n    honor_labels: true\n    \
             static_configs: [{{ targets: ['{}'] }}]\n  - job_name: otel-collector\n    \
             static_configs: [{{ targets: ['{}'] }}]\n",
            collector.metrics(),
            collector.own_metrics()
        );
        std::fs::write(&config, text).expect("the directory is there");
        let output = directory.join("prometheus.log");
        let mut program = Program::start(&program::packaged("prometheus"), &output, |command| {
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", directory.join("prometheus").display()));
            command.arg(format!("--web.listen-address={host}:9090"));
            command.arg("--enable-feature=exemplar-storage");
        });
        program.answers(SocketAddr::from((host, 9090)), "/-/ready", &output).await;
        Prometheus { host, _program: program }
    }

    /// `GET /api/v1/{path}`: its `data`.
    ///
    /// # Errors
    /// What it answered instead, or why it did not.
    pub async fn api(&self, path: &str) -> Result<Value, String> {
        let client = Client::new(SocketAddr::from((self.host, 9090)));
        let request = client.request(Method::GET, &format!("/api/v1/{path}"), &[], "");
        let answer = client.try_send(request).await.map_err(|error| format!("{error:#}"))?;
        if answer.status != 200 {
            return Err(format!("{path}: {answer:?}"));
        }
        Ok(answer.json()["data"].clone())
    }
}
