//! A socket that tells when bytes come, writes interim responses (see `interim`) between what hyper writes, and is closed
//! gently: dropped while the client may still be sending, it reads on for a moment. Closing at once would reset the
//! connection, and the client could lose the answer that it has not read yet (RFC 9112 §9.6).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::pace::{Farewell, Seen};

/// How long a connection that we have ended is read on.
const LINGER: Duration = Duration::from_secs(1);

/// What a client is told whose head does not come to its end (RFC 9110 §15.5.9); hyper would close without a word.
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

pub(super) struct Socket {
    /// Taken by `drop` only.
    open: Option<(TcpStream, OwnedSemaphorePermit)>,
    seen: Arc<Seen>,
    /// Interim responses that have begun to be written: nothing else may come in between.
    interim: Bytes,
    /// The client has ended the connection, or it is broken: there is nobody to be gentle with.
    over: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, permit: OwnedSemaphorePermit, seen: Arc<Seen>) -> Self {
        Self { open: Some((stream, permit)), seen, interim: Bytes::new(), over: false }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.open.as_mut().expect("the stream is there until the socket is dropped").0)
    }

    fn written(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.seen.writing(result.is_pending());
        self.over |= matches!(result, Poll::Ready(Err(_)));
        result
    }

    /// Takes the interim responses that wait. Only when hyper holds nothing that it has not written yet.
    fn take_interim(&mut self, cx: &Context<'_>) {
        if self.seen.interim.waits() {
            self.interim = self.seen.interim.take();
            // The answer may be waiting for exactly this.
            cx.waker().wake_by_ref();
        }
    }

    fn write_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let head = self.interim.clone();
            let result = self.stream().poll_write(cx, &head);
            match ready!(self.written(result))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.interim.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(self.stream().poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.seen.bytes();
        } else {
            // hyper never reads into an empty buffer: nothing read is the end, or an error.
            self.over = true;
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.write_interim(cx))?;
        let result = self.stream().poll_write(cx, data);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_interim(cx))?;
        let result = self.stream().poll_write_vectored(cx, data);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper calls it when it has nothing left to write, and only then: what it has been given before is with the
    /// kernel, and an answer that it has not been given cannot be begun.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_interim(cx))?;
        self.take_interim(cx);
        ready!(self.write_interim(cx))?;
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some((stream, permit)) = self.open.take() else { return };
        let farewell = self.seen.farewell();
        if farewell == Farewell::Reset {
            // Fails on a dead socket only, which does not end in good order anyway.
            let _ = stream.set_zero_linger();
        }
        if self.over || matches!(farewell, Farewell::None | Farewell::Reset) {
            return;
        }
        // Without a runtime the process is ending: then nobody can be gentle.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(take_leave(stream, permit, farewell));
        }
    }
}

/// The place of the connection is held until it is gone: lingering counts against the limit of connections.
async fn take_leave(mut stream: TcpStream, _place: OwnedSemaphorePermit, farewell: Farewell) {
    let say_and_read_on = async {
        if farewell == Farewell::TooSlow {
            stream.write_all(REQUEST_TIMEOUT).await?;
        }
        stream.shutdown().await?;
        let mut discarded = [0; 4096];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    // However it ends, the connection is gone afterwards.
    let _ = timeout(LINGER, say_and_read_on).await;
}
