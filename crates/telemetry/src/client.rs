//! The layer around every request that a service sends: one CLIENT span an attempt, the metrics, and the trace on the
//! request's headers.
//!
//! Promises: each once an attempt, ended at the answer's last frame, on an error, or when whoever asked stops waiting
//! (`error.type=cancelled`). A time-out that should be told as one belongs inside this layer, as an error.
//! Refuses: retrying, logging, and the request's [`Scope`](crate::Scope): who makes attempts tells it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use self::attempting::Attempting;
use crate::{
    propagate,
    tracked::{Ending as _, Slot, Tracked},
};

/// An attempt from its beginning to its end, as span and metrics.
mod attempting;

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

/// In a request's extensions: its URL's path and query are told nobody, as they may be the secret that lets in whoever
/// knows them (a capability URL). `url.full` holds `/REDACTED` for them.
#[derive(Clone, Copy, Debug)]
pub struct SecretTarget;

/// An error's low-cardinality `error.type`.
pub trait ErrorType: std::error::Error + 'static {
    /// `connect`, `timeout`, …
    fn error_type(&self) -> &'static str;
}

/// Injects the trace and records span and metrics, to the answer's last frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientLayer;

impl<S> Layer<S> for ClientLayer {
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

impl<S, B, R> Service<Request<B>> for Client<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: ErrorType,
    R: Body<Data = Bytes>,
{
    type Response = Response<ClientBody<R>>;
    type Error = S::Error;
    type Future = ClientFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let attempting = Attempting::begin(&request);
        propagate::inject(attempting.context(), request.headers_mut());
        let attached = attempting.attach();
        let inner = self.inner.call(request);
        drop(attached);
        ClientFuture { inner: Some(inner), attempting: Some(attempting) }
    }
}

pin_project_lite::pin_project! {
    /// [`Client`]'s future.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ClientFuture<F> {
        // `None` once the answer's head or an error is out.
        #[pin]
        inner: Option<F>,
        // Likewise; the answer's body has it from then on.
        attempting: Option<Attempting>,
    }

    impl<F> PinnedDrop for ClientFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(attempting) = this.attempting {
                // First the inner future, while the span is its context; then `attempting` ends by its own `Drop`.
                let attached = attempting.attach();
                this.inner.set(None);
                drop(attached);
            }
        }
    }
}

impl<F, R, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
    E: ErrorType,
{
    type Output = Result<Response<ClientBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut attempting = this.attempting.take().expect("a future is not polled after it was ready");
        let attached = attempting.attach();
        let polled = this.inner.as_mut().as_pin_mut().map_or(Poll::Pending, |inner| inner.poll(cx));
        let Poll::Ready(answered) = polled else {
            drop(attached);
            *this.attempting = Some(attempting);
            return Poll::Pending;
        };
        this.inner.set(None);
        drop(attached);
        Poll::Ready(match answered {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                attempting.answered(parts.status, parts.version);
                let is_read = attempting.has_body(parts.status);
                let inner = Tracked::new(Slot::Inner { body }, &parts.headers, is_read, attempting);
                Ok(Response::from_parts(parts, ClientBody { inner }))
            }
            Err(error) => {
                attempting.failed(&error);
                Err(error)
            }
        })
    }
}

pin_project_lite::pin_project! {
    /// An answer's body that ends the attempt's span and metrics with its last frame.
    pub struct ClientBody<R> {
        #[pin]
        inner: Tracked<R, Attempting>,
    }
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
