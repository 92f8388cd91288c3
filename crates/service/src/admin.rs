//! `/healthz` and `/readyz`, on an address of their own and on the control runtime: they answer however busy the
//! threads that serve are. What else an operator may ask becomes one more arm of [`answer`].

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{Method, StatusCode, header};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::Draining;

/// A condition that cannot be judged within this time is not met.
const QUICK: Duration = Duration::from_secs(1);

/// A client that keeps silent for this long is let go.
const SILENCE: Duration = Duration::from_secs(30);

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
pub(crate) async fn serve(listener: TcpListener, readiness: Arc<Readiness>) {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let readiness = readiness.clone();
                let service = service_fn(move |request| answer(request, readiness.clone()));
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
    readiness: Arc<Readiness>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/healthz" | "/readyz" if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned())
        }
        "/healthz" => (StatusCode::OK, "alive\n".to_owned()),
        "/readyz" => match readiness.missing().await {
            missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
            missing => (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n"),
        },
        _ => (StatusCode::NOT_FOUND, "not found: ask /healthz or /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

/// Binds the admin address, for ourselves alone.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::from_std(crate::http::bind(address)?)
}
