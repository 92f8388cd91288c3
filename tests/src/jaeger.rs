//! A real Jaeger, and what its HTTP API tells of a trace.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use http::Method;
use serde_json::Value;

use crate::{
    Client,
    program::{self, Program},
};

/// A Jaeger with its traces in memory; gone when dropped.
#[derive(Debug)]
pub struct Jaeger {
    host: Ipv4Addr,
    output: PathBuf,
    program: Option<Program>,
}

/// What a trace view shows of a span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownSpan {
    /// 16 hex digits.
    pub id: String,
    /// Of its parent; empty for a root.
    pub parent: String,
    /// `service.name`.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `server`, `client`, …
    pub kind: String,
    /// Trace ids and span ids of its links.
    pub links: Vec<(String, String)>,
}

impl Jaeger {
    /// One that is not running yet; what it says goes into `directory`.
    pub fn new(directory: &Path) -> Jaeger {
        Jaeger { host: program::own_address(), output: directory.join("jaeger.log"), program: None }
    }

    /// Starts it and waits until it can serve. It remembers nothing of an earlier run.
    ///
    /// # Panics
    /// When it is not installed, or not ready within half a minute, with what it said.
    pub async fn start(&mut self) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/jaeger.yaml");
        let mut program = Program::start(&program::built("jaeger-2.13.0/jaeger"), &self.output, |command| {
            // Its own traces are of no interest here.
            command.arg("--config").arg(config).env("OTEL_TRACES_SAMPLER", "always_off");
            command.env("LISTEN_HOST", self.host.to_string());
        });
        program.answers(self.address(13133), "/status", &self.output).await;
        self.program = Some(program);
    }

    /// Its OTLP/HTTP endpoint, whether it runs or not.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address(4318))
    }

    /// The spans that it shows of a trace; none if it does not know it.
    ///
    /// # Errors
    /// What it answered instead, or why it did not.
    pub async fn trace(&self, trace_id: &str) -> Result<BTreeSet<ShownSpan>, String> {
        trace(self.address(16686), trace_id).await
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.host, port))
    }
}

/// [`Jaeger::trace`] of any Jaeger, by the address of its query API.
///
/// # Errors
/// What it answered instead, or why it did not.
pub async fn trace(api: SocketAddr, trace_id: &str) -> Result<BTreeSet<ShownSpan>, String> {
    let client = Client::new(api);
    let request = client.request(Method::GET, &format!("/api/traces/{trace_id}"), &[], "");
    let answer = client.try_send(request).await.map_err(|error| format!("{error:#}"))?;
    match answer.status.as_u16() {
        200 => {}
        404 => return Ok(BTreeSet::new()),
        _ => return Err(format!("{answer:?}")),
    }
    let answer = answer.json();
    let trace = &answer["data"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = |span: &Value| {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let is_parent = |one: &&Value| one["refType"] == "CHILD_OF" && one["traceID"] == trace_id;
        let references = list(&span["references"]);
        let parent = references.iter().find(is_parent);
        let links = references.iter().filter(|one| !is_parent(one));
        let process = text(&span["processID"]);
        let kind = list(&span["tags"]).into_iter().find(|tag| tag["key"] == "span.kind");
        ShownSpan {
            id: text(&span["spanID"]),
            parent: parent.map(|one| text(&one["spanID"])).unwrap_or_default(),
            service: text(&trace["processes"][process]["serviceName"]),
            name: text(&span["operationName"]),
            kind: kind.map_or("internal".to_owned(), |tag| text(&tag["value"])),
            links: links.map(|one| (text(&one["traceID"]), text(&one["spanID"]))).collect(),
        }
    };
    Ok(trace["spans"].as_array().into_iter().flatten().map(shown).collect())
}
