//! The bounds of a public listener, and the layer that keeps those that a request itself can break: 414 for its
//! target, 413 for its body (declared or as it comes), an error for a body that stands still.
//!
//! The bounds of a connection (header block and time, idle time, their number) are kept in `http`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use telemetry::{Problem, Scope};
use tokio::time::{Instant, Sleep, sleep};

use crate::{parse_duration, parse_number};

/// Every bound has a flag and a safe default; flattened into each program's own settings.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Largest request body in bytes (413 beyond it)
    #[arg(long, env = "THROUGHLINE_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 10 << 20,
          value_parser = parse_number(0_u64..=1 << 40))]
    pub max_body_bytes: u64,
    /// Largest request line and header block in bytes (431 beyond it)
    #[arg(long, env = "THROUGHLINE_MAX_HEADER_BYTES", value_name = "BYTES", default_value_t = 64 << 10,
          value_parser = parse_number(1024_u32..=1 << 20))]
    pub max_header_bytes: u32,
    /// Longest request target in bytes (414 beyond it)
    #[arg(long, env = "THROUGHLINE_MAX_URI_BYTES", value_name = "BYTES", default_value_t = 8 << 10,
          value_parser = parse_number(16_u32..=65_534))]
    pub max_uri_bytes: u32,
    /// How long a request's header block may take from its first byte to its last (408 beyond it)
    #[arg(long, env = "THROUGHLINE_HEADER_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub header_timeout: Duration,
    /// How long a request's body may stand still (408 beyond it)
    #[arg(long, env = "THROUGHLINE_BODY_IDLE_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub body_idle_timeout: Duration,
    /// How long a connection may wait for its next request
    #[arg(long, env = "THROUGHLINE_KEEP_ALIVE_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub keep_alive_timeout: Duration,
    /// Connections served at a time; those beyond wait to be accepted
    #[arg(long, env = "THROUGHLINE_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 10_000,
          value_parser = parse_number(1_u32..=1_000_000))]
    pub max_connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 << 20,
            max_header_bytes: 64 << 10,
            max_uri_bytes: 8 << 10,
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(60),
            max_connections: 10_000,
        }
    }
}

/// Answers 414 and 413 by itself; wraps the request's body so that reading past the limit, or idling, is an error.
/// Inside the server layer: what it refuses has a span and a line like everything else.
#[derive(Clone, Debug)]
pub struct LimitsLayer {
    limits: Limits,
}

impl LimitsLayer {
    /// Keeps these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

impl<S> tower_layer::Layer<S> for LimitsLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limits: self.limits.clone() }
    }
}

/// [`LimitsLayer`]'s service: `Service<Request<B>>` over an inner `Service<Request<LimitedBody<B>>>`. A declared
/// length beyond the limit is answered 413 at once.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    limits: Limits,
}

impl<S, B, R> tower_service::Service<Request<B>> for Limited<S>
where
    S: tower_service::Service<Request<LimitedBody<B>>, Response = Response<R>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = Infallible;
    type Future = LimitedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.limits.refusal(&request) {
            Some((kind, problem)) => {
                if let Some(scope) = Scope::current() {
                    scope.error_type(kind);
                    scope.refused();
                }
                LimitedFuture { inner: None, refusal: Some(problem.response()) }
            }
            None => {
                let request = request.map(|body| LimitedBody::new(body, &self.limits));
                LimitedFuture { inner: Some(self.inner.call(request)), refusal: None }
            }
        }
    }
}

impl Limits {
    /// Why a request is not let in, if it is not: `error.type` and what to answer.
    fn refusal<B: Body>(&self, request: &Request<B>) -> Option<(&'static str, Problem)> {
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.max_uri_bytes as usize {
            let text = format!("The request's target is longer than {} bytes.", self.max_uri_bytes);
            return Some(("target_too_long", Problem::new(StatusCode::URI_TOO_LONG).detail(text)));
        }
        if request.body().size_hint().lower() > self.max_body_bytes {
            let text = format!("The request's body is larger than {} bytes.", self.max_body_bytes);
            return Some(("body_too_large", Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(text)));
        }
        None
    }
}

pin_project_lite::pin_project! {
    /// [`Limited`]'s answer: the inner service's, or a refusal before the inner service saw the request.
    #[derive(Debug)]
    pub struct LimitedFuture<F> {
        #[pin]
        inner: Option<F>,
        refusal: Option<Response<Full<Bytes>>>,
    }
}

impl<F, R> Future for LimitedFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Either<R, Full<Bytes>>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(Ok(match this.inner.as_pin_mut() {
            Some(inner) => ready!(inner.poll(cx))?.map(Either::Left),
            None => this.refusal.take().expect("a future is not polled after its end").map(Either::Right),
        }))
    }
}

/// Why a request's body could not be read to its end. Programs map it to their answer: 413, 408, or the client has left.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// 413.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge {
        #[doc = "The bound."]
        limit: u64,
    },
    /// 408.
    #[error("the request's body stood still for {seconds} s")]
    Idle {
        #[doc = "The bound."]
        seconds: u64,
    },
    /// The client broke off.
    #[error("cannot read the request's body")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pin_project_lite::pin_project! {
    /// A request body within limits.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        inner: B,
        limit: u64,
        left: u64,
        idle: Duration,
        // Made when the body is first waited for; boxed because a timer cannot be moved and bodies are.
        timer: Option<Pin<Box<Sleep>>>,
        waiting: bool,
    }
}

impl<B> LimitedBody<B> {
    fn new(inner: B, limits: &Limits) -> Self {
        let limit = limits.max_body_bytes;
        Self { inner, limit, left: limit, idle: limits.body_idle_timeout, timer: None, waiting: false }
    }
}

impl<B> Body for LimitedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.project();
        let Poll::Ready(frame) = this.inner.poll_frame(cx) else {
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(*this.idle)));
            if !std::mem::replace(this.waiting, true) {
                timer.as_mut().reset(Instant::now() + *this.idle);
            }
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(RequestBodyError::Idle { seconds: this.idle.as_secs() })));
        };
        *this.waiting = false;
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => {
                        *this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(RequestBodyError::TooLarge { limit: *this.limit })),
                }
            }
            Some(Err(error)) => Some(Err(RequestBodyError::Broken(error.into()))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
