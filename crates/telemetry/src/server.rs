//! The layer around every request that a service serves.
use crate::TrustedPeers;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
/// Gives every request its span, its metrics, its line `request` and its response headers; outermost of all layers.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    service: &'static str,
    trusted: TrustedPeers,
}
impl ServerLayer {
    /// `service` is the service's name as in `Server-Timing`; `trusted` decides whose trace goes on.
    pub fn new(service: &'static str, trusted: TrustedPeers) -> Self {
        Self { service, trusted }
    }
}
impl<S> tower_layer::Layer<S> for ServerLayer {
    type Service = Server<S>;
    fn layer(&self, inner: S) -> Server<S> {
        Server { inner, layer: self.clone() }
    }
}
/// [`ServerLayer`]'s service. A panic inside becomes a 500.
#[derive(Clone, Debug)]
pub struct Server<S> {
    inner: S,
    layer: ServerLayer,
}
impl<S, B, R> tower_service::Service<Request<B>> for Server<S>
where
    S: tower_service::Service<Request<B>, Response = Response<R>, Error = Infallible>,
    S::Future: Send + 'static,
    R: Body<Data = Bytes>,
{
    type Response = Response<ServerBody<R>>;
    type Error = Infallible;
    // The real one is a named future: no box.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }
    fn call(&mut self, _request: Request<B>) -> Self::Future {
        let _ = &self.layer.service;
        let _ = &self.layer.trusted;
        todo!()
    }
}
pin_project_lite::pin_project! {
    /// A response body that ends the request's span, metrics and line with its last frame.
    pub struct ServerBody<R> { #[pin] inner: R }
}
impl<R: Body<Data = Bytes>> Body for ServerBody<R> {
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
