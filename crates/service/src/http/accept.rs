//! The loop that accepts: no more connections than the limit, and no error ends it.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::{Accepted, Endpoint, threads::HandOver};
use crate::Draining;

/// What is held back or goes wrong again and again is said at most this often.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How long to wait after an error that will not be gone at once (no more file descriptors).
const BACK_OFF: Duration = Duration::from_millis(100);

pub(super) struct Acceptor {
    socket: tokio::net::TcpListener,
    /// The same socket, to ask it without waiting.
    waiting: TcpListener,
    listener: usize,
    places: Arc<Semaphore>,
    limit: u32,
    threads: HandOver,
    said: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(
        socket: TcpListener,
        listener: usize,
        endpoint: &Endpoint,
        threads: HandOver,
    ) -> io::Result<Self> {
        Ok(Self {
            waiting: socket.try_clone()?,
            socket: tokio::net::TcpListener::from_std(socket)?,
            listener,
            places: endpoint.places.clone(),
            limit: endpoint.limits.max_connections,
            threads,
            said: None,
        })
    }

    /// Accepts until draining begins, then what the kernel has already taken in on our behalf.
    pub(super) async fn run(mut self, draining: Draining) {
        tokio::select! {
            biased;
            () = draining.begun() => {}
            () = self.accept_for_ever() => {}
        }
        self.accept_what_waits();
    }

    async fn accept_for_ever(&mut self) {
        loop {
            let permit = self.place().await;
            match self.socket.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
                Ok((stream, peer)) => self.hand_over(stream, peer, permit),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    if self.may_say() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, error.r#type = "accept", "cannot accept a connection");
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// These clients have been told by the kernel that they are connected: closing the listener would reset them.
    fn accept_what_waits(&mut self) {
        while let Ok(permit) = self.places.clone().try_acquire_owned() {
            match self.waiting.accept() {
                Ok((stream, peer)) => self.hand_over(stream, peer, permit),
                Err(error) if concerns_one_connection(&error) => {}
                // Nothing waits any more, or nothing can be accepted.
                Err(_) => break,
            }
        }
    }

    async fn place(&mut self) -> OwnedSemaphorePermit {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return permit;
        }
        if self.may_say() {
            let connections = i64::from(self.limit);
            tracing::warn!(connections, "connection limit reached: accepting is held back");
        }
        self.places.clone().acquire_owned().await.expect("nobody closes this semaphore")
    }

    fn hand_over(&mut self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // Neither fails on a living socket; on a dead one the first read says so.
        let _ = stream.set_nonblocking(true);
        let _ = stream.set_nodelay(true);
        self.threads.give(Accepted { listener: self.listener, stream, peer, permit });
    }

    fn may_say(&mut self) -> bool {
        let now = Instant::now();
        let may = self.said.is_none_or(|said| now - said >= SAY_EVERY);
        if may {
            self.said = Some(now);
        }
        may
    }
}

/// The client has gone before it was accepted (accept(2) passes such errors on): the next one may be accepted at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
