//! A replica that does what a test tells it, byte by byte, and remembers what it was asked.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Writes this; the connection stays open for the next request.
    Answer(String),
    /// Writes this and closes the connection.
    Last(String),
    /// Answers nothing and keeps the connection open.
    Freeze,
}

/// A request as it came in, body included as far as `Content-Length` declares it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The how-manieth connection, from 0.
    pub connection: usize,
    /// The how-manieth request of all, from 0.
    pub nth: usize,
    /// Request line and fields.
    pub head: String,
    /// What followed.
    pub body: String,
}

/// What a replica has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every request whose head came in.
    pub asked: Vec<Asked>,
    /// Connections accepted.
    pub accepted: usize,
    /// Connections that the other side has closed.
    pub closed: usize,
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

/// A replica on a port of its own; gone, with its connections, when dropped.
#[derive(Debug)]
pub struct Replica {
    address: SocketAddr,
    seen: watch::Sender<Seen>,
    task: JoinHandle<()>,
}

impl Replica {
    /// Starts one that follows `script`.
    pub async fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Replica {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let seen = watch::Sender::new(Seen::default());
        let task = tokio::spawn(accept(listener, Arc::new(script), seen.clone()));
        Replica { address, seen, task }
    }

    /// One that answers every request with 200 and this body.
    pub async fn saying(body: &'static str) -> Replica {
        Replica::start(move |_| Act::Answer(ok(body))).await
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As an `--upstream`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has seen.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until it has seen what is expected, for at most ten seconds.
    pub async fn until(&self, expected: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(10), seen.wait_for(expected)).await;
        match waited {
            Ok(Ok(seen)) => seen.clone(),
            _ => panic!("the replica at {} saw no more than {:#?}", self.address, self.seen()),
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole answer: 200 with this body and its length.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A whole answer without a body.
pub fn status(status: u16, fields: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n{fields}\r\n")
}

async fn accept(listener: TcpListener, script: Arc<Script>, seen: watch::Sender<Seen>) {
    // Connections end with this task: a replica that is dropped is gone at once.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _peer)) = listener.accept().await else { return };
        let mut connection = 0;
        seen.send_modify(|seen| {
            connection = seen.accepted;
            seen.accepted += 1;
        });
        let (script, seen) = (script.clone(), seen.clone());
        connections.spawn(async move {
            if serve(stream, connection, &*script, &seen).await.is_none() {
                seen.send_modify(|seen| seen.closed += 1);
            }
        });
    }
}

/// `None` when the other side closed the connection.
async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: &Script,
    seen: &watch::Sender<Seen>,
) -> Option<()> {
    let mut unread = Vec::new();
    loop {
        let head = read_until(&mut stream, &mut unread, |bytes| {
            bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4)
        })
        .await?;
        let length = declared_length(&head);
        let body =
            read_until(&mut stream, &mut unread, |bytes| (bytes.len() >= length).then_some(length)).await?;
        let mut asked = Asked { connection, nth: 0, head, body };
        seen.send_modify(|seen| {
            asked.nth = seen.asked.len();
            seen.asked.push(asked.clone());
        });
        match script(&asked) {
            Act::Answer(answer) => stream.write_all(answer.as_bytes()).await.ok()?,
            Act::Last(answer) => {
                stream.write_all(answer.as_bytes()).await.ok()?;
                return Some(());
            }
            Act::Freeze => {
                read_until(&mut stream, &mut unread, |_| None).await?;
            }
        }
    }
}

/// Takes as many bytes from the stream as `end` says, once it says so.
async fn read_until(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    end: impl Fn(&[u8]) -> Option<usize>,
) -> Option<String> {
    loop {
        if let Some(end) = end(unread) {
            let rest = unread.split_off(end);
            let taken = std::mem::replace(unread, rest);
            return Some(String::from_utf8_lossy(&taken).into_owned());
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

fn declared_length(head: &str) -> usize {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.rfind(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}
