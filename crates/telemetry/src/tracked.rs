//! A body that knows when its message has ended: at its last frame, on an error, on a panic, or because its reader
//! left. Both edges end their spans by it.
//!
//! Promises: the end is told exactly once, after the inner body is gone, so that what its `Drop` accounts for is in.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use opentelemetry::ContextGuard;

/// `error.type` of a message whose code panicked, and of one whose body failed for a reason that nobody told.
pub(crate) const PANIC: &str = "panic";
pub(crate) const BROKEN_BODY: &str = "response_body";

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Whole.
    Complete,
    /// Its body failed.
    Broken,
    /// What made it panicked.
    Panicked,
    /// Whoever waited for it left before its end.
    Dropped,
}

impl Outcome {
    /// Of a message that is dropped without an end.
    pub(crate) fn of_drop() -> Outcome {
        if std::thread::panicking() { Outcome::Panicked } else { Outcome::Dropped }
    }
}

/// What ends with a message; ends once, whatever is said later.
pub(crate) trait Ending {
    /// Makes the message's context the current one.
    fn attach(&self) -> ContextGuard;
    /// The message has ended.
    fn end(&mut self, outcome: Outcome);
}

pin_project_lite::pin_project! {
    /// A body whose end ends `E`.
    pub(crate) struct Tracked<R, E>
    where
        E: Ending,
    {
        #[pin]
        slot: Slot<R>,
        ending: E,
        sent: u64,
        declared: Option<u64>,
    }

    impl<R, E> PinnedDrop for Tracked<R, E>
    where
        E: Ending,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let reached = this.declared.is_some_and(|declared| *this.sent >= declared);
            close(this.slot, this.ending, if reached { Outcome::Complete } else { Outcome::of_drop() });
        }
    }
}

pin_project_lite::pin_project! {
    #[project = SlotProjection]
    pub(crate) enum Slot<R> {
        // The body of the layer's inner service.
        Inner { #[pin] body: R },
        // A body of our own: the answer to a panic.
        Own { body: Full<Bytes> },
        // Ended, or never to be read. What such a body says of its size still makes headers (a HEAD's Content-Length).
        Gone { size: SizeHint, is_empty: bool },
    }
}

impl<R: Body<Data = Bytes>, E: Ending> Tracked<R, E> {
    /// A body with the head it belongs to. `is_read`: whether messages of this kind have a body at all; one that has
    /// none, or is empty, has ended with its head.
    pub(crate) fn new(slot: Slot<R>, headers: &HeaderMap, is_read: bool, ending: E) -> Self {
        let (size, is_empty) = (slot.size_hint(), slot.is_end_stream());
        let declared = declared_length(headers).or(size.exact());
        let mut tracked = Tracked { slot, ending, sent: 0, declared };
        if !is_read || is_empty {
            let attached = tracked.ending.attach();
            tracked.slot = Slot::Gone { size, is_empty };
            drop(attached);
            tracked.ending.end(Outcome::Complete);
        }
        tracked
    }

    pub(crate) fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let mut this = self.project();
        let attached = this.ending.attach();
        // The panic goes on to the caller: nobody sees what it may have left half done.
        let polled = catch_unwind(AssertUnwindSafe(|| this.slot.as_mut().poll_frame(cx)));
        drop(attached);
        let panic = match polled {
            Ok(polled) => {
                let frame = ready!(polled);
                match &frame {
                    None => close(this.slot, this.ending, Outcome::Complete),
                    Some(Err(_)) => close(this.slot, this.ending, Outcome::Broken),
                    Some(Ok(frame)) => {
                        *this.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                        if this.slot.is_end_stream() {
                            close(this.slot, this.ending, Outcome::Complete);
                        }
                    }
                }
                return Poll::Ready(frame);
            }
            Err(panic) => panic,
        };
        close(this.slot, this.ending, Outcome::Panicked);
        resume_unwind(panic)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.slot.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.slot.size_hint()
    }
}

impl<R: Body<Data = Bytes>> Slot<R> {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project() {
            SlotProjection::Inner { body } => body.poll_frame(cx),
            SlotProjection::Own { body } => {
                let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else { return Poll::Pending };
                Poll::Ready(frame.map(|frame| match frame {
                    Ok(frame) => Ok(frame),
                    Err(never) => match never {},
                }))
            }
            SlotProjection::Gone { .. } => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Slot::Inner { body } => body.is_end_stream(),
            Slot::Own { body } => body.is_end_stream(),
            Slot::Gone { is_empty, .. } => *is_empty,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Slot::Inner { body } => body.size_hint(),
            Slot::Own { body } => body.size_hint(),
            Slot::Gone { size, .. } => *size,
        }
    }
}

/// Whether a message has a body to be read (RFC 9110 §6.4.1). A 101 hands the connection over: no more of the message.
pub(crate) fn has_body(is_head: bool, status: StatusCode) -> bool {
    !is_head
        && !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
}

/// The inner body goes first, within its context, and then the end is told.
fn close<R, E: Ending>(mut slot: Pin<&mut Slot<R>>, ending: &mut E, outcome: Outcome) {
    if !matches!(*slot, Slot::Gone { .. }) {
        let attached = ending.attach();
        slot.set(Slot::Gone { size: SizeHint::with_exact(0), is_empty: true });
        drop(attached);
    }
    ending.end(outcome);
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
