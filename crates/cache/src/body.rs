//! The body of an answer: from the store, from a flight, straight from the origin, or our own.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::{
    entry::Pieces,
    flight::{BrokeOff, Passenger},
};

pin_project_lite::pin_project! {
    /// A body as this cache sends it.
    #[derive(Debug)]
    pub struct AnswerBody {
        #[pin]
        kind: Kind,
    }
}

pin_project_lite::pin_project! {
    // What passes through is boxed so that the others, hits above all, are small.
    #[project = KindProjected]
    #[derive(Debug)]
    enum Kind {
        Stored { chunks: Pieces, next: usize, left: u64 },
        Flight { passenger: Passenger, left: Option<u64> },
        Passed { body: Pin<Box<upstream::Body>> },
        Own { #[pin] body: Full<Bytes> },
    }
}

/// An answer could not be sent to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The fetch that it comes from broke off; its own request tells why.
    #[error("the shared fetch broke off")]
    Shared(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The origin broke off.
    #[error("the origin broke off its answer")]
    Origin(#[source] upstream::BodyError),
}

impl AnswerBody {
    /// Whole, from the store.
    pub(crate) fn stored(chunks: Pieces, length: u64) -> AnswerBody {
        AnswerBody { kind: Kind::Stored { chunks, next: 0, left: length } }
    }

    /// As it arrives; `length` where it is known.
    pub(crate) fn flight(passenger: Passenger, length: Option<u64>) -> AnswerBody {
        AnswerBody { kind: Kind::Flight { passenger, left: length } }
    }

    /// Passed through.
    pub(crate) fn passed(body: upstream::Body) -> AnswerBody {
        AnswerBody { kind: Kind::Passed { body: Box::pin(body) } }
    }

    /// Our own, or none.
    pub(crate) fn own(body: Full<Bytes>) -> AnswerBody {
        AnswerBody { kind: Kind::Own { body } }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project().kind.project() {
            KindProjected::Stored { chunks, next, left } => {
                let chunk = chunks.get(*next).cloned();
                *next += 1;
                *left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
            KindProjected::Flight { passenger, left } => {
                let chunk = std::task::ready!(Pin::new(passenger).poll_chunk(cx));
                if let (Some(Ok(chunk)), Some(left)) = (&chunk, left) {
                    *left = left.saturating_sub(chunk.len() as u64);
                }
                let shared = |broke_off: BrokeOff| BodyError::Shared(broke_off.into());
                Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data).map_err(shared)))
            }
            KindProjected::Passed { body } => {
                let frame = body.as_mut().poll_frame(cx);
                frame.map(|frame| frame.map(|frame| frame.map_err(BodyError::Origin)))
            }
            KindProjected::Own { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Stored { left, .. } => *left == 0,
            Kind::Flight { left, .. } => *left == Some(0),
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Own { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Stored { left, .. } => SizeHint::with_exact(*left),
            Kind::Flight { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
            Kind::Passed { body } => body.size_hint(),
            Kind::Own { body } => body.size_hint(),
        }
    }
}
