//! The layer around every request that a service serves: its trace, its SERVER span, its metrics, its line `request`
//! and what its response says of them.
//!
//! Promises: each of these once a request, whatever becomes of it: a whole answer, a broken one, a panic (answered
//! 500), a client that leaves. No box, and no Tokio: it works in any executor.
//! Refuses: deciding anything about the answer. Read on in [`arrival`], [`head`] and [`ending`], in this order.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use self::ending::Running;
use crate::{
    Problem, TrustedPeers,
    tracked::{Ending as _, Slot, Tracked},
};

/// From a request's head to its trace, its scope and the attributes of its span.
mod arrival;
/// From what was told and how it ended to the span's end, the metrics and the line.
mod ending;
/// What a response says of its trace and of the time taken.
mod head;

/// Gives every request its span, its metrics, its line `request` and its response headers; outermost of all layers.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    service: &'static str,
    logger: &'static str,
    trusted: TrustedPeers,
    is_proxy: bool,
    has_database: bool,
}

impl ServerLayer {
    /// `service` is the service's name as in `Server-Timing`; `trusted` decides whose trace goes on.
    pub fn new(service: &'static str, trusted: TrustedPeers) -> Self {
        // Loggers are compared and filtered as names that live as long as the process. A process makes a handful of layers.
        let logger = Box::leak(format!("{service}::request").into_boxed_str());
        Self { service, logger, trusted, is_proxy: false, has_database: false }
    }

    /// At a proxy: every line has the fields of one, also a refusal's, which never comes as far as a replica or a cache.
    #[must_use]
    pub fn of_proxy(self) -> Self {
        Self { is_proxy: true, ..self }
    }

    /// Over a database: every line says how long it waited for it, also when it never asked.
    #[must_use]
    pub fn over_database(self) -> Self {
        Self { has_database: true, ..self }
    }
}

impl<S> Layer<S> for ServerLayer {
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

impl<S, B, R> Service<Request<B>> for Server<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ServerBody<R>>;
    type Error = Infallible;
    type Future = ServerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let running = arrival::begin(&self.layer, &mut request);
        let attached = running.attach();
        // The inner service may be left half changed by a panic; its next call shows, and is caught in the same way.
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        drop(attached);
        ServerFuture { inner, running: Some(running) }
    }
}

pin_project_lite::pin_project! {
    /// [`Server`]'s future.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ServerFuture<F> {
        // `None`: the call panicked before there was a future, or the response is out.
        #[pin]
        inner: Option<F>,
        // `None`: the response is out, and its body has it.
        running: Option<Running>,
    }

    impl<F> PinnedDrop for ServerFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(running) = this.running {
                // First the inner future, so that what its `Drop` tells the scope is in; then `running` ends by its own.
                let attached = running.attach();
                this.inner.set(None);
                drop(attached);
            }
        }
    }
}

impl<F, R> Future for ServerFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ServerBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut running = this.running.take().expect("a future is not polled after it was ready");
        let attached = running.attach();
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => catch_unwind(AssertUnwindSafe(|| inner.poll(cx))),
            None => Err(Box::new(()) as Box<dyn Any + Send>),
        };
        let response = match polled {
            Ok(Poll::Pending) => {
                drop(attached);
                *this.running = Some(running);
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(response))) => response.map(|body| Slot::Inner { body }),
            // The panic hook has told of it, with its place.
            Err(_) => {
                running.panicked();
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR).response().map(|body| Slot::Own { body })
            }
        };
        this.inner.set(None);
        drop(attached);
        Poll::Ready(Ok(head::finish(running, response)))
    }
}

pin_project_lite::pin_project! {
    /// A response body that ends the request's span, metrics and line with its last frame.
    pub struct ServerBody<R> {
        #[pin]
        inner: Tracked<R, Running>,
    }
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
