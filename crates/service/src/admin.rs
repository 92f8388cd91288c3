//! `/healthz` and `/readyz`, on an address of their own and on the control runtime: they answer however busy the
//! threads that serve are. What else an operator may have done, each program says by [`crate::Life::operate`].
//!
//! Promises: an operation is for this machine alone, whatever the address: another's is refused, and so is a browser's
//! page, which could be anybody's.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::Draining;

/// A condition that cannot be judged within this time is not met.
const QUICK: Duration = Duration::from_secs(1);

/// A client that keeps silent for this long is let go.
const SILENCE: Duration = Duration::from_secs(30);

/// Bytes of what an operator may say.
const LONGEST: usize = 64 << 10;

type Run = Box<dyn Fn(Bytes) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Something that an operator may have done.
pub(crate) struct Operation {
    pub(crate) path: &'static str,
    pub(crate) run: Run,
}

/// All that the address answers by.
pub(crate) struct Admin {
    pub(crate) readiness: Readiness,
    pub(crate) operations: Vec<Operation>,
}

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Something that must hold for the process to be ready.
pub(crate) struct Condition {
    pub(crate) what: &'static str,
    pub(crate) check: Check,
}

/// What `/readyz` asks.
pub(crate) struct Readiness {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) draining: Draining,
}

impl Readiness {
    /// What is missing, one line each; empty means ready.
    async fn missing(&self) -> Vec<String> {
        let draining = self.draining.is_draining().then(|| "draining".to_owned());
        let judged = self.conditions.iter().map(|condition| async {
            let outcome = match tokio::time::timeout(QUICK, (condition.check)()).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => Err(format!("not known within {} s", QUICK.as_secs())),
            };
            outcome.err().map(|why| format!("{}: {why}", condition.what))
        });
        draining.into_iter().chain(join_all(judged).await.into_iter().flatten()).collect()
    }
}

/// Answers for ever.
pub(crate) async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let admin = admin.clone();
                let service = service_fn(move |request| answer(request, peer, admin.clone()));
                let mut http1 = http1::Builder::new();
                http1.timer(TokioTimer::new()).header_read_timeout(SILENCE);
                // How such a connection ends is nobody's business.
                tokio::spawn(async move { _ = http1.serve_connection(TokioIo::new(stream), service).await });
            }
            // Most often no file descriptor is left: trying at once would only keep the core busy.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    admin: Arc<Admin>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut allow = "GET, HEAD";
    let operation = admin.operations.iter().find(|one| one.path == request.uri().path());
    let (status, text) = match request.uri().path() {
        "/healthz" | "/readyz" if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned())
        }
        "/healthz" => (StatusCode::OK, "alive\n".to_owned()),
        "/readyz" => match admin.readiness.missing().await {
            missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
            missing => (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n"),
        },
        _ => match operation {
            Some(operation) => {
                allow = "POST";
                operate(operation, request, peer).await
            }
            None => {
                let paths = admin.operations.iter().map(|operation| operation.path);
                let paths: Vec<&str> = ["/healthz", "/readyz"].into_iter().chain(paths).collect();
                (StatusCode::NOT_FOUND, format!("not found: ask {}\n", paths.join(" or ")))
            }
        },
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static(allow));
    }
    Ok(response)
}

async fn operate(
    operation: &Operation,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> (StatusCode, String) {
    if let Some((status, why)) = refusal(request.method(), request.headers(), peer) {
        return (status, format!("{why}\n"));
    }
    let body = match Limited::new(request.into_body(), LONGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return (StatusCode::BAD_REQUEST, format!("cannot read the body: {error}\n")),
    };
    match (operation.run)(body).await {
        Ok(text) => (StatusCode::OK, text + "\n"),
        Err(text) => (StatusCode::BAD_REQUEST, text + "\n"),
    }
}

/// Why a request has no operation run.
fn refusal(method: &Method, headers: &HeaderMap, peer: SocketAddr) -> Option<(StatusCode, &'static str)> {
    if !peer.ip().to_canonical().is_loopback() {
        return Some((StatusCode::FORBIDDEN, "only from this machine, by its loopback address"));
    }
    // Browsers send it with every POST, also with one to an address of this machine.
    if headers.contains_key(header::ORIGIN) {
        return Some((StatusCode::FORBIDDEN, "not from a page in a browser"));
    }
    (method != Method::POST).then_some((StatusCode::METHOD_NOT_ALLOWED, "only POST"))
}

/// Binds the admin address, for ourselves alone.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::from_std(crate::http::bind(address)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_for_this_machine_and_for_no_page() {
        let check = |method: Method, origin: Option<&'static str>, peer: &str, expected: Option<u16>| {
            let mut headers = HeaderMap::new();
            headers.extend(origin.map(|origin| (header::ORIGIN, header::HeaderValue::from_static(origin))));
            let refused =
                refusal(&method, &headers, peer.parse().unwrap()).map(|(status, _)| status.as_u16());
            assert_eq!(refused, expected, "{method} {origin:?} {peer}");
        };
        check(Method::POST, None, "127.0.0.1:5", None);
        check(Method::POST, None, "[::1]:5", None);
        check(Method::POST, None, "[::ffff:127.0.0.1]:5", None);
        for peer in ["10.0.0.1:5", "172.17.0.1:5", "[::ffff:10.0.0.1]:5", "[fe80::1]:5"] {
            check(Method::POST, None, peer, Some(403));
        }
        check(Method::POST, Some("http://127.0.0.1:9901"), "127.0.0.1:5", Some(403));
        check(Method::POST, Some("null"), "127.0.0.1:5", Some(403));
        check(Method::GET, None, "127.0.0.1:5", Some(405));
    }
}
