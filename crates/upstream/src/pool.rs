//! The idle connections of one thread to each replica, and how a new one is made.
//!
//! Promises: what is handed out was open and quiet a moment ago, the most recently used first; at most so many are
//! kept to each replica, none longer than the bound. Refuses: knowing whether an answer was read to its end, which is
//! what makes a connection fit for return (see `answer`).

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::request_body::RequestBody;

/// The longest head of an answer, and how much of a body is read ahead of its reader.
const BUFFER: usize = 64 * 1024;

/// A connection that takes one request at a time.
pub(crate) type Connection = SendRequest<RequestBody>;

/// The idle connections of one thread, by replica; the most recently used at the end.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<SocketAddr, Vec<Idle>>>,
    most: usize,
    keep: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect")]
    Io(#[source] io::Error),
    #[error("no connection in time")]
    TooLong,
    #[error("the new connection broke")]
    Handshake(#[source] hyper::Error),
}

impl Pool {
    /// Keeps at most `most` idle connections to each replica, none longer than `keep`. Must be called within the
    /// runtime that the connections will live on.
    pub(crate) fn new(most: usize, keep: Duration) -> Arc<Pool> {
        let pool = Arc::new(Pool { idle: Mutex::default(), most, keep });
        tokio::spawn(sweep(Arc::downgrade(&pool), keep));
        pool
    }

    /// The idle connection that was used last.
    pub(crate) fn take(&self, to: SocketAddr, now: Instant) -> Option<Connection> {
        let mut idle = self.idle();
        let stack = idle.get_mut(&to)?;
        while let Some(Idle { connection, since }) = stack.pop() {
            if connection.is_ready() && now.saturating_duration_since(since) < self.keep {
                return Some(connection);
            }
        }
        None
    }

    /// Takes back a connection whose answer has been read to its end; it is kept once it is ready again.
    pub(crate) fn put(self: Arc<Self>, to: SocketAddr, mut connection: Connection) {
        if connection.is_ready() {
            self.keep(to, connection);
        } else if !connection.is_closed() {
            tokio::spawn(async move {
                if connection.ready().await.is_ok() {
                    self.keep(to, connection);
                }
            });
        }
    }

    fn keep(&self, to: SocketAddr, connection: Connection) {
        let since = Instant::now();
        let mut idle = self.idle();
        let stack = idle.entry(to).or_default();
        if stack.len() < self.most {
            stack.push(Idle { connection, since });
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Idle>>> {
        // A stack of connections is whole after every step: a panic elsewhere spoils nothing.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what has been idle for too long, for as long as the pool is there.
async fn sweep(pool: Weak<Pool>, keep: Duration) {
    loop {
        tokio::time::sleep(keep / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        pool.idle().retain(|_, stack| {
            stack.retain(|idle| {
                !idle.connection.is_closed() && now.saturating_duration_since(idle.since) < keep
            });
            !stack.is_empty()
        });
    }
}

/// Opens a connection; it is driven on the current runtime until it closes.
pub(crate) async fn connect(to: SocketAddr, within: Duration) -> Result<Connection, ConnectError> {
    let stream = tokio::time::timeout(within, TcpStream::connect(to))
        .await
        .map_err(|_elapsed| ConnectError::TooLong)?
        .map_err(ConnectError::Io)?;
    stream.set_nodelay(true).map_err(ConnectError::Io)?;
    let (connection, driver) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ConnectError::Handshake)?;
    tokio::spawn(async move {
        // Whoever has a request on this connection is told the same error; without one nobody needs it.
        let _ended = driver.await;
    });
    Ok(connection)
}
