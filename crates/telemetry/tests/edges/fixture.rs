//! Requests, scripted bodies and services, and what was recorded.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use serde_json::Value;
use telemetry::{Peer, ServerBody, ServerLayer, testing::RecordedSpan};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

/// A request of a trace of its own, from a peer that is believed.
pub(crate) struct Asked {
    pub(crate) request: Request<()>,
    pub(crate) trace: String,
}

pub(crate) fn get(uri: &str) -> Asked {
    asked("GET", uri)
}

pub(crate) fn asked(method: &str, uri: &str) -> Asked {
    telemetry::testing::capture();
    let (traceparent, trace) = telemetry::testing::traceparent();
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "localhost:8080")
        .header("traceparent", traceparent)
        .body(())
        .unwrap();
    request.extensions_mut().insert(peer("127.0.0.1:40000"));
    Asked { request, trace }
}

pub(crate) fn peer(address: &str) -> Peer {
    Peer(address.parse::<SocketAddr>().unwrap())
}

/// The layer as a service uses it, around one handler.
pub(crate) fn server<B, F, R>(
    handler: impl FnMut(Request<B>) -> F,
) -> impl Service<Request<B>, Response = Response<ServerBody<R>>, Error = Infallible>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    R: Body<Data = Bytes>,
{
    ServerLayer::new("cache", "loopback".parse().unwrap()).layer(service_fn(handler))
}

/// A service that answers every request with this.
pub(crate) async fn answer<R>(request: Request<()>, response: Response<R>) -> Response<ServerBody<R>>
where
    R: Body<Data = Bytes>,
{
    let mut response = Some(response);
    let service = server(move |_| {
        let response = response.take().expect("asked once");
        async move { Ok(response) }
    });
    let Ok(response) = service.oneshot(request).await;
    response
}

#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
pub(crate) struct Broken;

/// One thing that a body does when it is polled.
#[derive(Debug)]
pub(crate) enum Step {
    Data(&'static str),
    Trailers,
    /// For good.
    Stall,
    Fail,
    Panic,
}

/// A body that does what its script says, and at the end says what it was told to say.
pub(crate) struct Scripted {
    steps: VecDeque<Step>,
    /// Says by itself that it is over, as soon as it is; else its reader must ask once more.
    pub(crate) says_its_end: bool,
    pub(crate) length: Option<u64>,
    /// Runs when the body is dropped.
    pub(crate) at_drop: Option<Box<dyn FnOnce() + Send>>,
}

pub(crate) fn script(steps: impl IntoIterator<Item = Step>) -> Scripted {
    Scripted { steps: steps.into_iter().collect(), says_its_end: false, length: None, at_drop: None }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.steps.pop_front() {
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data.into())))),
            Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Step::Stall) => {
                self.steps.push_front(Step::Stall);
                Poll::Pending
            }
            Some(Step::Fail) => Poll::Ready(Some(Err(Broken))),
            Some(Step::Panic) => panic!("a body's own fault"),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.says_its_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if let Some(run) = self.at_drop.take() {
            run();
        }
    }
}

/// Polls a future or a body once.
pub(crate) fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(std::task::Waker::noop()))
}

pub(crate) async fn frame<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
) -> Option<Result<Frame<Bytes>, B::Error>> {
    body.frame().await
}

/// The only line of a trace.
pub(crate) fn line(trace: &str) -> Value {
    let mut lines = telemetry::testing::lines(trace);
    assert_eq!(lines.len(), 1, "one line a request: {lines:#?}");
    lines.remove(0)
}

/// The only span of a trace.
pub(crate) fn span(trace: &str) -> RecordedSpan {
    let mut spans = telemetry::testing::spans(trace);
    assert_eq!(spans.len(), 1, "one span a request: {spans:#?}");
    spans.remove(0)
}

/// Neither span nor line is there: the request goes on.
pub(crate) fn goes_on(trace: &str) -> bool {
    telemetry::testing::spans(trace).is_empty() && telemetry::testing::lines(trace).is_empty()
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}
