//! A client and its replicas over real sockets.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without has failed it")]

use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use upstream::{Client, Failure, Settings, Upstream, testing::Replica};

/// Connections: reused, replaced, closed.
mod connections;
/// What is answered when there is no answer.
mod failures;
/// Who is left alone, and until when.
mod health;
/// What comes before an answer.
mod interim;
/// Second attempts, and none.
mod retries;
/// The wait queue.
mod waiting;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// An upstream of these replicas, with further flags.
async fn upstream(replicas: &[&Replica], flags: &[&str]) -> std::sync::Arc<Upstream> {
    let addresses: Vec<String> = replicas.iter().map(|replica| replica.url()).collect();
    let addresses = addresses.join(",");
    let line = ["test", "--upstream", &addresses].into_iter().chain(flags.iter().copied());
    Upstream::start(Flags::parse_from(line).settings).await.unwrap()
}

async fn client(replicas: &[&Replica], flags: &[&str]) -> Client {
    upstream(replicas, flags).await.client()
}

fn request(method: Method, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri("/thing").header("host", "example.com");
    request.header("content-length", body.len()).body(Full::from(body)).unwrap()
}

/// The body of the answer to a request, or why there is none.
async fn ask(client: &Client, method: Method, body: &'static str) -> Result<String, Failure> {
    Ok(text(client.send(request(method, body), None).await?).await)
}

async fn text(response: Response<upstream::Body>) -> String {
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Nothing here may hang.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("ended within ten seconds")
}
