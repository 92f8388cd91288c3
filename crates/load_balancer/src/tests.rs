//! The whole edge, between raw sockets and scripted replicas.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use telemetry::{Peer, testing};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::ServiceBuilder;
use upstream::{Upstream, testing::Replica};

use crate::{Settings, layers, proxy::Edge, via::Pseudonym};

/// Which replica a key is sent to.
mod balance;
/// Bodies, both ways.
mod bodies;
/// Heads: what is passed on, stamped, refused.
mod heads;
/// Spans and lines.
mod traces;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// A load balancer on a port of its own; gone, with its connections, when dropped.
struct Lb {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Lb {
    async fn before(replicas: &[&Replica], flags: &[&str]) -> Lb {
        let urls: Vec<String> = replicas.iter().map(|replica| replica.url()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Lb::on(listener, &urls.join(","), flags).await
    }

    async fn on(listener: TcpListener, urls: &str, flags: &[&str]) -> Lb {
        testing::capture();
        let line = ["lb", "--upstream", urls].into_iter().chain(flags.iter().copied());
        let settings = Flags::parse_from(line).settings;
        let address = listener.local_addr().unwrap();
        let upstream = Upstream::start(settings.next_hop()).await.unwrap();
        let edge = Edge { trusted: settings.trusted_peers, pseudonym: Pseudonym::of(fastrand::u64(..)) };
        let (client, limits) = (upstream.client(), settings.limits);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let service = ServiceBuilder::new()
                    .map_request(move |mut request: http::Request<_>| {
                        request.extensions_mut().insert(Peer(peer));
                        request
                    })
                    .service(layers(&edge, client.clone(), &limits));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                connections.spawn(serving);
            }
        });
        Lb { address, task }
    }

    /// Sends bytes and returns what comes back until the connection ends or the answer is whole.
    async fn say(&self, bytes: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// A request with these fields.
    async fn ask(&self, method: &str, target: &str, fields: &[&str]) -> Answer {
        self.say(&head(method, target, fields)).await
    }
}

impl Drop for Lb {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn head(method: &str, target: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n")
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
    /// Whether the connection ended before the answer was whole.
    cut: bool,
}

impl Answer {
    async fn read(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        let mut cut = false;
        let (head, body) = loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && (cut || is_whole(head, body))
            {
                break (head.to_owned(), body.to_owned());
            }
            assert!(!cut, "no answer, only {text:?}");
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut bytes));
            cut = read.await.expect("an answer within ten seconds").unwrap_or(0) == 0;
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Answer { status, head, body, cut }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn trace_id(&self) -> String {
        self.field("x-trace-id").expect("every answer names its trace").to_owned()
    }

    /// The line `request` of this answer's request.
    async fn line(&self) -> serde_json::Value {
        line(self.trace_id(), "request").await
    }
}

fn is_whole(head: &str, body: &str) -> bool {
    let head = head.to_ascii_lowercase();
    match head.split_once("content-length: ") {
        Some((_, length)) => length.lines().next().and_then(|length| length.parse().ok()) == Some(body.len()),
        None => head.contains(" 204 ") || body.ends_with("0\r\n\r\n"),
    }
}

/// Waiting for telemetry blocks a thread, so not one that the test runs on.
async fn line(trace_id: String, message: &'static str) -> serde_json::Value {
    tokio::task::spawn_blocking(move || testing::wait_for_line(&trace_id, message)).await.unwrap()
}

async fn span(trace_id: &str, name: &'static str) -> testing::RecordedSpan {
    let trace_id = trace_id.to_owned();
    tokio::task::spawn_blocking(move || testing::wait_for_span(&trace_id, name)).await.unwrap()
}
