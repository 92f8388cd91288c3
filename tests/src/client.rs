//! An HTTP client that remembers nothing between requests: each has a connection of its own, so that a test says
//! itself what is reused.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::eventually;

/// Sends requests to one address.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr) -> Client {
        Client { address }
    }

    /// GET.
    ///
    /// # Panics
    /// Like [`Client::send`].
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, &[], "")).await
    }

    /// GET with headers of one's own.
    ///
    /// # Panics
    /// Like [`Client::send`].
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::GET, path, headers, "")).await
    }

    /// POST of a JSON body.
    ///
    /// # Panics
    /// Like [`Client::send`].
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(self.request(Method::POST, path, &headers, &body.to_string())).await
    }

    /// Waits until a worker has confirmed the booking at `path`, asking past every cache.
    ///
    /// # Panics
    /// When none does within ten seconds.
    pub async fn until_confirmed(&self, path: &str) {
        eventually(&format!("{path} is confirmed"), async || {
            let answer = self.get_with(path, &[("cache-control", "no-store")]).await;
            if answer.json()["status"] == "confirmed" { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }

    /// A request to be sent with [`Client::send`] or [`Client::try_send`].
    pub fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Request<Full<Bytes>> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a test's request is valid")
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Panics
    /// When there is no whole answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let told = format!("{} {}", request.method(), request.uri());
        self.try_send(request).await.unwrap_or_else(|error| panic!("{told}: {error:#}"))
    }

    /// Sends a request; an answer that does not come or breaks off is an error.
    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        driving.abort();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Answer {
    /// A header as text; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `x-trace-id`.
    ///
    /// # Panics
    /// When it is missing or not 32 hex digits: every response of ours carries one.
    pub fn trace_id(&self) -> String {
        let id = self.header("x-trace-id");
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "x-trace-id is `{id}`: {self:?}"
        );
        id.to_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
