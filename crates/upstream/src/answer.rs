//! The body of an answer, streamed from its replica.
//!
//! Promises: only when its last byte has been read does its connection go back to the pool; broken off by either side
//! or standing still for too long, the connection is closed and the reader told, so that nobody takes a part for the
//! whole.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use telemetry::ClientBody;
use tokio::time::{Instant, Sleep};

use crate::{
    pool::{Connection, Pool},
    visit::Visit,
};

pin_project_lite::pin_project! {
    /// The body of an answer, streamed; ends the attempt's span, frees the replica's place and returns the connection
    /// to the pool at its end. Dropped before, it closes the connection.
    pub struct Body {
        #[pin]
        inner: ClientBody<Answer>,
    }
}

/// The replica broke off its answer.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection ended, or what came was not the rest of the body.
    #[error("the answer's body broke off")]
    BrokeOff(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("the answer's body stood still for {} s", .0.as_secs_f64())]
    StoodStill(Duration),
}

/// In a response's extensions: nothing but the end of the connection says where its body ends, so that one cut off
/// looks whole (RFC 9112 §8). Such an answer may be passed on, and not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndsByClose;

impl Body {
    pub(crate) fn new(inner: ClientBody<Answer>) -> Body {
        Body { inner }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("remaining", &self.size_hint()).finish()
    }
}

/// The body as the attempt sees it, within the attempt's span.
pub(crate) struct Answer {
    incoming: Incoming,
    /// What is held until the last byte: afterwards nothing.
    held: Option<Held>,
    idle: Duration,
    /// Runs only while the replica is waited for.
    standstill: Option<Pin<Box<Sleep>>>,
    /// Whether anything came since `standstill` was set.
    moved: bool,
}

struct Held {
    connection: Connection,
    pool: Arc<Pool>,
    visit: Visit,
}

impl Answer {
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        pool: Arc<Pool>,
        visit: Visit,
        idle: Duration,
    ) -> Answer {
        let held = Some(Held { connection, pool, visit });
        let mut answer = Answer { incoming, held, idle, standstill: None, moved: true };
        if answer.incoming.is_end_stream() {
            answer.finish();
        }
        answer
    }

    /// The last byte has been read.
    fn finish(&mut self) {
        if let Some(Held { connection, pool, visit }) = self.held.take() {
            pool.put(visit.replica.address, connection);
        }
    }

    fn break_off(&mut self, error: BodyError) -> BodyError {
        if let Some(mut held) = self.held.take() {
            held.visit.failed();
            if let Some(scope) = held.visit.scope() {
                scope.error("upstream_body", &error);
            }
        }
        error
    }

    fn poll_standstill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = || Instant::now() + self.idle;
        let sleep = self.standstill.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until())));
        if std::mem::take(&mut self.moved) {
            sleep.as_mut().reset(until());
        }
        sleep.as_mut().poll(cx)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.moved = true;
                if self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(self.break_off(BodyError::BrokeOff(error)))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_standstill(cx).map(|()| {
                let idle = self.idle;
                Some(Err(self.break_off(BodyError::StoodStill(idle))))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
