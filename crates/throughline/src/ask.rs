//! One request, as a tool asks it: plain HTTP/1.1 on a connection of its own, within a time, a short answer.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// More than any answer to a tool's question.
const LARGEST_BODY: usize = 1 << 20;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Asks `address` (`host:port`) for `path`; everything together takes at most `within`.
pub(crate) async fn get(address: &str, path: &str, within: Duration) -> anyhow::Result<Answer> {
    ask(address, Method::GET, path, None, within).await
}

/// The same with any method, and with a body of JSON where there is one.
pub(crate) async fn ask(
    address: &str,
    method: Method,
    path: &str,
    json: Option<String>,
    within: Duration,
) -> anyhow::Result<Answer> {
    match timeout(within, exchange(address, method, path, json)).await {
        Ok(answer) => answer,
        Err(_elapsed) => anyhow::bail!("no answer from `{address}` within {within:?}"),
    }
}

async fn exchange(address: &str, method: Method, path: &str, json: Option<String>) -> anyhow::Result<Answer> {
    let stream =
        TcpStream::connect(address).await.with_context(|| format!("cannot connect to `{address}`"))?;
    let asking = || format!("cannot ask `{address}` for `{path}`");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.with_context(asking)?;
    // It ends with the sender; what goes wrong on it, the request tells.
    tokio::spawn(async move { _ = connection.await });
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address)
        .header(header::CONNECTION, "close");
    if json.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::<Bytes>::from(json.unwrap_or_default())).with_context(asking)?;
    let (head, body) = sender.send_request(request).await.with_context(asking)?.into_parts();
    let body = Limited::new(body, LARGEST_BODY)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!(error))
        .with_context(asking)?
        .to_bytes();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
