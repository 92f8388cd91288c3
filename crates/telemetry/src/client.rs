//! The layer around every request that a service sends: one CLIENT span an attempt.
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
/// Which attempt this is; put it into the request's extensions before the client layer.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The replica's name as written down: `127.0.0.1:9000`.
    pub replica: Arc<str>,
    /// `server.address`.
    pub host: Arc<str>,
    /// `server.port`.
    pub port: u16,
    /// 0 for the first attempt: `http.request.resend_count` is written from 1 on.
    pub resend_count: u32,
    /// Why there is a further attempt.
    pub retry_reason: Option<&'static str>,
}
/// An error's low-cardinality `error.type`.
pub trait ErrorType: std::error::Error + 'static {
    /// `connect`, `timeout`, …
    fn error_type(&self) -> &'static str;
}
/// Injects the trace and records span and metrics, to the answer's last frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientLayer;
impl<S> tower_layer::Layer<S> for ClientLayer {
    type Service = Client<S>;
    fn layer(&self, inner: S) -> Client<S> {
        Client { inner }
    }
}
/// [`ClientLayer`]'s service.
#[derive(Clone, Debug)]
pub struct Client<S> {
    inner: S,
}
impl<S, B, R> tower_service::Service<Request<B>> for Client<S>
where
    S: tower_service::Service<Request<B>, Response = Response<R>>,
    S::Error: ErrorType,
    S::Future: Send + 'static,
    R: Body<Data = Bytes>,
{
    type Response = Response<ClientBody<R>>;
    type Error = S::Error;
    // The real one is a named future: no box.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }
    fn call(&mut self, _request: Request<B>) -> Self::Future {
        todo!()
    }
}
pin_project_lite::pin_project! {
    /// An answer's body that ends the attempt's span and metrics with its last frame.
    pub struct ClientBody<R> { #[pin] inner: R }
}
impl<R: Body<Data = Bytes>> Body for ClientBody<R> {
    type Data = Bytes;
    type Error = R::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        self.project().inner.poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
