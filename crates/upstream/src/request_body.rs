//! The body of a request on its way to a replica: kept whole where it is small and its length is known, so that it can
//! be sent again; streamed otherwise.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

/// Bodies up to this length are kept whole.
const KEPT: u64 = 64 * 1024;

/// Why the body of a request could not be read to its end, as far as it decides what is answered. Whoever reads from
/// clients maps its own errors to this (`map_err`).
#[derive(Debug, thiserror::Error)]
pub enum RequestFault {
    /// 413.
    #[error("the request's body is too large")]
    TooLarge(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// 408.
    #[error("the request's body did not come in time")]
    TooSlow(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client broke off, or what it sent is no body.
    #[error("the request's body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Infallible> for RequestFault {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A body to send.
pub(crate) enum RequestBody {
    /// Whole, perhaps empty, and repeatable.
    Kept(Option<Bytes>),
    /// Passing through.
    Streamed(Pin<Box<dyn Body<Data = Bytes, Error = RequestFault> + Send>>, Arc<Progress>),
}

/// What the sender of a streamed body has done: how long to wait for an answer counts from there.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<Instant>>);

impl Progress {
    /// When the last frame was read, if any was.
    pub(crate) fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl RequestBody {
    /// Takes over a request's body; a small one of declared length is read whole here.
    pub(crate) async fn take<B>(body: B) -> Result<RequestBody, RequestFault>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<RequestFault>,
    {
        if body.is_end_stream() {
            return Ok(RequestBody::Kept(None));
        }
        match body.size_hint().exact() {
            Some(length) if length <= KEPT => {
                let whole = body.collect().await.map_err(Into::into)?;
                Ok(RequestBody::Kept(Some(whole.to_bytes())))
            }
            _ => {
                let body = Box::pin(body.map_err(Into::into));
                Ok(RequestBody::Streamed(body, Arc::default()))
            }
        }
    }

    /// The same body once more, if it is kept.
    pub(crate) fn again(&self) -> Option<RequestBody> {
        match self {
            RequestBody::Kept(bytes) => Some(RequestBody::Kept(bytes.clone())),
            RequestBody::Streamed(..) => None,
        }
    }

    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            RequestBody::Kept(_) => None,
            RequestBody::Streamed(_, progress) => Some(progress.clone()),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestFault>>> {
        match self.get_mut() {
            RequestBody::Kept(bytes) => Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            RequestBody::Streamed(body, progress) => {
                let frame = body.as_mut().poll_frame(cx);
                if frame.is_ready() {
                    progress.note();
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Kept(bytes) => bytes.is_none(),
            RequestBody::Streamed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Kept(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            RequestBody::Streamed(body, _) => body.size_hint(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestBody::Kept(bytes) => write!(f, "Kept({} bytes)", bytes.as_ref().map_or(0, Bytes::len)),
            RequestBody::Streamed(..) => f.write_str("Streamed"),
        }
    }
}
