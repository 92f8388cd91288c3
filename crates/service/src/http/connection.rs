//! One connection, from its acceptance to its end: hyper serves, this keeps the time, knows the peer, ends the
//! connection in good order when the process drains, and says what hyper refuses by itself. An answer waits until the
//! interim responses that came before it (see `interim`) are with the socket.
//!
//! A client that ends its side while its request is being served counts as one that has left (hyper's `half_close` is
//! off): its request is cancelled, and with it what was asked of the next hop.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use telemetry::Peer;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};
use tower::util::Oneshot;

use super::{
    Accepted,
    pace::{Cut, Farewell, Pace, Phase, Seen, Step},
    socket::Socket,
};
use crate::{Draining, Limits};

/// Serves connections of one listener on one thread.
pub(super) struct Connections {
    limits: Arc<Limits>,
    draining: Draining,
    http1: http1::Builder,
    both: auto::Builder<TokioExecutor>,
}

impl Connections {
    pub(super) fn new(limits: Arc<Limits>, draining: Draining) -> Self {
        let header_bytes = limits.max_header_bytes as usize;
        let buffer = header_bytes.max(64 << 10);
        let mut http1 = http1::Builder::new();
        // The time is kept here: see `pace`.
        http1.header_read_timeout(None).max_header_size(header_bytes).max_buf_size(buffer);
        let mut both = auto::Builder::new(TokioExecutor::new());
        both.http1().header_read_timeout(None).max_buf_size(buffer);
        both.http2().timer(TokioTimer::new()).max_header_list_size(limits.max_header_bytes);
        Self { limits, draining, http1, both }
    }

    /// Serves on the current thread's runtime; returns at once.
    pub(super) fn serve<S, R>(&self, accepted: Accepted, service: S, h2: bool)
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<R>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Accepted { stream, peer, permit, .. } = accepted;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, error.r#type = "accept", "cannot serve a connection");
                return;
            }
        };
        let seen = Arc::new(Seen::default());
        let socket = TokioIo::new(Socket::new(stream, permit, seen.clone()));
        let observed = Observed { inner: service, peer: Peer(peer), seen: seen.clone() };
        let course = Course { seen, peer, limits: self.limits.clone(), draining: self.draining.clone() };
        if h2 {
            tokio::spawn(course.run(self.both.serve_connection(socket, observed).into_owned()));
        } else {
            tokio::spawn(course.run(self.http1.serve_connection(socket, observed)));
        }
    }
}

/// What a connection's end depends on.
struct Course {
    seen: Arc<Seen>,
    peer: SocketAddr,
    limits: Arc<Limits>,
    draining: Draining,
}

impl Course {
    async fn run<C>(self, connection: C)
    where
        C: GracefulConnection,
        C::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        match self.end_of(connection).await {
            Ok(Ok(())) | Err(Cut::Overdue) => {}
            Ok(Err(error)) => report(self.peer, self.seen.phase(), &*error.into()),
            Err(Cut::HeadTooSlow) => refuse(self.peer, "head_timeout", None),
        }
    }

    /// Drives the connection to its own end, or to the point where it must be cut.
    async fn end_of<C: GracefulConnection>(&self, connection: C) -> Result<Result<(), C::Error>, Cut> {
        let mut connection = std::pin::pin!(connection);
        let mut pace = Pace::new(Instant::now());
        let mut timer = std::pin::pin!(sleep_until(Instant::now() + self.limits.keep_alive_timeout));
        let mut draining = std::pin::pin!(self.draining.begun());
        let mut registered = false;
        std::future::poll_fn(|cx| {
            // Once only: a task's waker stays the same, and the flag tells the rest.
            if !std::mem::replace(&mut registered, true) {
                self.seen.interim.wake_by(cx.waker());
                let _ = draining.as_mut().poll(cx);
            }
            let mut fired = false;
            loop {
                // Before hyper goes on, so that an answer begun from now on says `connection: close`. What is idle is
                // asked afterwards: its next request may be here already.
                if self.draining.is_draining()
                    && self.seen.phase() == Phase::Serving
                    && pace.step(&self.seen, true, false, &self.limits, Instant::now) == Step::AskToEnd
                {
                    connection.as_mut().graceful_shutdown();
                }
                if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Ok(end));
                }
                let draining = self.draining.is_draining();
                match pace.step(&self.seen, draining, fired, &self.limits, Instant::now) {
                    Step::Wait(None) => return Poll::Pending,
                    Step::Wait(Some(deadline)) => {
                        if timer.deadline() > deadline || timer.is_elapsed() {
                            timer.as_mut().reset(deadline);
                        }
                        ready!(timer.as_mut().poll(cx));
                        fired = true;
                    }
                    Step::AskToEnd => connection.as_mut().graceful_shutdown(),
                    Step::Cut(cut) => return Poll::Ready(Err(cut)),
                }
            }
        })
        .await
    }
}

/// Says why hyper gave a connection up, where that is somebody's business. What went wrong while a request was being
/// served is in that request's own line.
fn report(peer: SocketAddr, phase: Phase, error: &(dyn Error + 'static)) {
    match error.downcast_ref::<hyper::Error>() {
        Some(parse) if parse.is_parse_too_large() => refuse(peer, "head_too_large", Some(error)),
        Some(parse) if parse.is_parse() => refuse(peer, "malformed_head", Some(error)),
        Some(cut) if cut.is_incomplete_message() && phase == Phase::Head => {
            refuse(peer, "incomplete_head", Some(error))
        }
        _ => tracing::debug!(peer = %peer, error, "connection broken"),
    }
}

/// Under a trace of its own: there is no request whose trace it could belong to.
fn refuse(peer: SocketAddr, kind: &'static str, error: Option<&(dyn Error + 'static)>) {
    let span = telemetry::Span::internal("unreadable head", Vec::new());
    let _in_its_trace = span.context().clone().attach();
    tracing::warn!(peer = %peer, error.r#type = kind, error, "unreadable head refused");
}

/// Tells the peer to each request, gives it the way for its interim responses, and tells what happens to the
/// connection's [`Seen`].
#[derive(Clone)]
struct Observed<S> {
    inner: S,
    peer: Peer,
    seen: Arc<Seen>,
}

impl<S, R> hyper::service::Service<Request<Incoming>> for Observed<S>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<R>> + Clone,
{
    type Response = Response<ObservedBody<R>>;
    type Error = S::Error;
    type Future = ObservedFuture<Oneshot<S, Request<Incoming>>, R>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_flight = InFlight::new(&self.seen, request.version());
        request.extensions_mut().insert(self.peer);
        if request.version() == http::Version::HTTP_11 {
            request.extensions_mut().insert(self.seen.interim.begin());
        }
        let inner = Oneshot::new(self.inner.clone(), request);
        ObservedFuture { inner, held: None, in_flight: Some(in_flight) }
    }
}

/// A request on its way, until its answer's body is dropped.
struct InFlight {
    seen: Arc<Seen>,
    /// HTTP/1.0 knows no chunks: an answer of unknown length ends with its connection.
    ends_by_close: bool,
}

impl InFlight {
    fn new(seen: &Arc<Seen>, version: http::Version) -> Self {
        seen.request_begins(version);
        Self { seen: seen.clone(), ends_by_close: version == http::Version::HTTP_10 }
    }

    /// The answer broke off.
    fn broke_off(&self) {
        if self.ends_by_close {
            self.seen.take_leave(Farewell::Reset);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.seen.request_ends();
    }
}

pin_project_lite::pin_project! {
    struct ObservedFuture<F, R> {
        #[pin]
        inner: F,
        // The answer, while what has come before it waits to be written.
        held: Option<Box<Response<R>>>,
        in_flight: Option<InFlight>,
    }
}

impl<F, R, E> Future for ObservedFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ObservedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match this.held.take() {
            Some(held) => *held,
            None => ready!(this.inner.poll(cx))?,
        };
        if let Some(InFlight { seen, .. }) = &this.in_flight {
            if seen.interim.waits() {
                // hyper flushes next: then the socket takes what waits, and wakes this task.
                *this.held = Some(Box::new(response));
                return Poll::Pending;
            }
            seen.interim.answered();
        }
        let in_flight = this.in_flight.take();
        Poll::Ready(Ok(response.map(|inner| ObservedBody { inner, in_flight })))
    }
}

pin_project_lite::pin_project! {
    struct ObservedBody<R> {
        #[pin]
        inner: R,
        in_flight: Option<InFlight>,
    }
}

impl<R: Body> Body for ObservedBody<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(Err(_)), Some(in_flight)) = (&frame, &this.in_flight) {
            in_flight.broke_off();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
