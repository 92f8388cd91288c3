//! Serving HTTP: one acceptor on the control runtime, N threads each with a runtime of its own.
//!
//! Accepted sockets go to the threads in turn and stay there: nothing of a connection ever crosses threads. Every
//! connection holds a permit of its listener; all permits back means that all connections have ended.

/// The loop that accepts, within the limit of connections.
mod accept;
/// One connection: limits of time, the peer, the end in good order.
mod connection;
/// Where a connection stands: idle, reading a head, or serving.
mod pace;
/// A socket as hyper wants it, that is closed without taking the last answer with it.
mod socket;
/// The threads that serve.
mod threads;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use bytes::Bytes;
use http_body::Body;
use hyper::{Request, Response, body::Incoming};
use tokio::{
    net::TcpSocket,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

use crate::{Draining, Limits};
use accept::Acceptor;
use threads::Threads;

/// As many connections as the kernel may hold for us until they are accepted.
const BACKLOG: u32 = 4096;

/// A connection on its way from the acceptor to its thread.
pub(crate) struct Accepted {
    listener: usize,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// Serves one accepted connection; made inside its thread, once a thread.
type Serve = Box<dyn Fn(Accepted)>;

/// A bound socket and what is served there.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    endpoint: Endpoint,
}

/// What a listener's connections share; outlives its socket, which is closed when draining begins.
struct Endpoint {
    /// One permit a connection.
    places: Arc<Semaphore>,
    limits: Arc<Limits>,
    make: Box<dyn Fn(usize) -> Serve + Send + Sync>,
}

impl Listener {
    /// Binds exclusively: a second process on the same address fails, also one of ours (no `SO_REUSEPORT`).
    pub(crate) fn bind<M, S, R>(
        address: SocketAddr,
        limits: Limits,
        h2: bool,
        draining: Draining,
        make: M,
    ) -> io::Result<Self>
    where
        M: Fn(usize) -> S + Send + Sync + 'static,
        S: tower_service::Service<Request<Incoming>, Response = Response<R>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let socket = bind(address)?;
        let limits = Arc::new(limits);
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            endpoint: Endpoint {
                places: Arc::new(Semaphore::new(limits.max_connections as usize)),
                limits: limits.clone(),
                make: Box::new(move |thread| {
                    let service = make(thread);
                    let connections = connection::Connections::new(limits.clone(), draining.clone());
                    Box::new(move |accepted| connections.serve(accepted, service.clone(), h2))
                }),
            },
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds a listening socket, for ourselves alone; non-blocking.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Binds although connections of a former process are still in TIME_WAIT; not beside a living listener.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Everything that serves public traffic; dropping it cuts what is still open.
pub(crate) struct Serving {
    endpoints: Arc<Vec<Endpoint>>,
    acceptors: JoinSet<()>,
    draining: Draining,
    threads: Threads,
}

impl Serving {
    /// Starts the threads, waits until each has made its services, and begins to accept.
    pub(crate) async fn start(
        listeners: Vec<Listener>,
        threads: usize,
        draining: &Draining,
    ) -> io::Result<Self> {
        let (sockets, endpoints): (Vec<_>, Vec<_>) =
            listeners.into_iter().map(|listener| (listener.socket, listener.endpoint)).unzip();
        let endpoints = Arc::new(endpoints);
        let threads = Threads::start(threads, &endpoints).await?;
        let mut acceptors = JoinSet::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            let acceptor = Acceptor::new(socket, index, &endpoints[index], threads.hand_over())?;
            acceptors.spawn(acceptor.run(draining.clone()));
        }
        Ok(Self { endpoints, acceptors, draining: draining.clone(), threads })
    }

    /// Waits until what is in flight has ended. The acceptors end by themselves once draining has begun.
    pub(crate) async fn drained(&mut self) {
        debug_assert!(self.draining.is_draining());
        while self.acceptors.join_next().await.is_some() {}
        for endpoint in self.endpoints.iter() {
            let all = endpoint.limits.max_connections;
            // It fails only for a closed semaphore, and nobody closes these.
            let _ = endpoint.places.acquire_many(all).await;
        }
    }

    /// How many connections are open; each acceptor's place for whoever comes next counts as long as it accepts.
    pub(crate) fn open_connections(&self) -> usize {
        let open = |endpoint: &Endpoint| {
            endpoint.limits.max_connections as usize - endpoint.places.available_permits()
        };
        self.endpoints.iter().map(open).sum()
    }

    /// Ends the threads, and with them what has not ended by itself.
    pub(crate) async fn stop(self) {
        let Self { acceptors, threads, .. } = self;
        // The acceptors hold the threads' senders: a thread ends when the last one is gone.
        drop(acceptors);
        threads.stop().await;
    }
}

#[cfg(test)]
mod tests;
