//! The bounds of a public listener.
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Every bound has a flag and a safe default; flattened into each program's own settings.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// Largest request body in bytes (413 beyond it)
    #[arg(long, env = "THROUGHLINE_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 10 << 20)]
    pub max_body_bytes: u64,
    // … --max-header-bytes 64 KiB (431), --max-uri-bytes 8 KiB (414), --header-timeout 10 s (408), --body-idle-timeout 30 s,
    //   --keep-alive-timeout 60 s, --max-connections 10,000
}

/// Answers 414 by itself; wraps the request's body so that reading past the limit, or idling, is an error. Inside the server layer.
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
/// [`LimitsLayer`]'s service: `Service<Request<B>>` over an inner `Service<Request<LimitedBody<B>>>`. A declared length beyond
/// the limit is answered 413 at once. The response body is `Either<inner's, Full<Bytes>>` (http_body_util).
#[derive(Clone, Debug)]
pub struct Limited<S> {
    #[allow(dead_code)]
    inner: S,
    #[allow(dead_code)]
    limits: Limits,
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
    pub struct LimitedBody<B> { #[pin] inner: B }
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
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        todo!()
    }
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
