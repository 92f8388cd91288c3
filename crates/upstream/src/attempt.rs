//! One try of one request on one replica: a connection, the request, the head of the answer.
//!
//! Promises: an error says whether anything was written, and gives the request back if nothing was. A connection that
//! the replica closed while it was idle is replaced by a fresh one without anybody noticing, as long as nothing was
//! written on it.

use std::{
    error::Error,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError};
use telemetry::ErrorType;

use crate::{
    answer::{Answer, EndsByClose},
    fields,
    pool::{self, ConnectError, Connection, Pool},
    request_body::{RequestBody, RequestFault},
    retry::{self, Ended},
    visit::Visit,
};

/// The bounds of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) connect: Duration,
    /// To the head of the answer, from the start or from the last of a streamed request body.
    pub(crate) head: Duration,
    /// Standstill within the body of the answer.
    pub(crate) idle: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(crate) struct AttemptError {
    cause: Cause,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
    /// The request, if nothing of it was written.
    unsent: Option<Box<Request<RequestBody>>>,
}

/// What went wrong, as far as anybody decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cause {
    #[error("the replica refuses connections")]
    Refused,
    #[error("the replica cannot be reached")]
    Unreachable,
    #[error("no connection came about in time")]
    ConnectTimeout,
    #[error("the connection ended before an answer")]
    Lost,
    #[error("no answer in time")]
    TimedOut,
    #[error("the answer cannot be read")]
    Unreadable,
    #[error("the answer switches protocols, unasked")]
    Switched,
    #[error("the answer comes in an unknown transfer coding")]
    Coding,
    #[error("the request's body could not be read")]
    Request,
}

impl AttemptError {
    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }

    /// How the attempt ended, if it might be made again.
    pub(crate) fn ended(&self) -> Option<Ended> {
        match self.cause {
            Cause::Request => None,
            _ if self.unsent.is_some() => Some(Ended::Unsent),
            Cause::Lost => Some(Ended::Lost),
            Cause::TimedOut => Some(Ended::TimedOut),
            _ => Some(Ended::Broken),
        }
    }

    pub(crate) fn take_unsent(&mut self) -> Option<Request<RequestBody>> {
        self.unsent.take().map(|request| *request)
    }

    pub(crate) fn into_source(self) -> Option<Box<dyn Error + Send + Sync>> {
        self.source
    }
}

impl ErrorType for AttemptError {
    fn error_type(&self) -> &'static str {
        match self.cause {
            Cause::Refused | Cause::Unreachable => "connect",
            Cause::ConnectTimeout => "connect_timeout",
            Cause::Lost => "connection_lost",
            Cause::TimedOut => "timeout",
            Cause::Unreadable | Cause::Switched | Cause::Coding => "bad_response",
            Cause::Request => "request_body",
        }
    }
}

/// Makes the attempt.
pub(crate) async fn make(
    pool: Arc<Pool>,
    mut visit: Visit,
    bounds: Bounds,
    request: Request<RequestBody>,
) -> Result<Response<Answer>, AttemptError> {
    match exchange(&pool, &visit, bounds, request).await {
        Ok((response, connection)) => {
            visit.answered(response.status(), response.headers());
            Ok(response.map(|incoming| Answer::new(incoming, connection, pool, visit, bounds.idle)))
        }
        Err(Failed { error, blame }) => {
            if blame {
                visit.failed();
            }
            Err(error)
        }
    }
}

/// An error, and whether the replica is to blame for it.
struct Failed {
    error: AttemptError,
    blame: bool,
}

impl Failed {
    fn new(cause: Cause, source: Option<Box<dyn Error + Send + Sync>>) -> Failed {
        Failed { error: AttemptError { cause, source, unsent: None }, blame: cause != Cause::Request }
    }
}

async fn exchange(
    pool: &Pool,
    visit: &Visit,
    bounds: Bounds,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Connection), Failed> {
    let to = visit.replica.address;
    let mut idle = pool.take(to, visit.started());
    if idle.is_some() && !retry::is_idempotent(request.method()) {
        // Lets the runtime look at its sockets first: a connection that the replica has closed is noticed before a
        // request that cannot be sent twice is written on it.
        tokio::task::yield_now().await;
    }
    let (mut response, connection) = loop {
        let reused = idle.is_some();
        let mut connection = match idle.take() {
            Some(connection) => connection,
            None => match pool::connect(to, bounds.connect).await {
                Ok(connection) => connection,
                Err(error) => return Err(unreached(error, request)),
            },
        };
        match head(&mut connection, request, visit.started(), bounds.head).await? {
            Ok(response) => break (response, connection),
            Err(mut refused) => match refused.take_message() {
                Some(unsent) if reused => request = unsent,
                Some(unsent) => {
                    let mut failed = Failed::new(Cause::Lost, Some(refused.into_error().into()));
                    failed.error.unsent = Some(Box::new(unsent));
                    return Err(failed);
                }
                None => return Err(unanswered(refused.into_error(), reused)),
            },
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failed::new(Cause::Switched, None));
    }
    // Whatever the replica speaks, the answer goes on in our own version (RFC 9110 §2.5).
    *response.version_mut() = Version::HTTP_11;
    if !response.body().is_end_stream() && !fields::is_framed(response.headers()) {
        response.extensions_mut().insert(EndsByClose);
    }
    if !fields::strip_response(response.headers_mut()) {
        return Err(Failed::new(Cause::Coding, None));
    }
    Ok((response, connection))
}

type Head = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Sends the request and waits for the head of its answer. A streamed body that is still moving puts the bound off.
async fn head(
    connection: &mut Connection,
    request: Request<RequestBody>,
    started: Instant,
    within: Duration,
) -> Result<Head, Failed> {
    let progress = request.body().progress();
    let mut answer = std::pin::pin!(connection.try_send_request(request));
    let mut until = started + within;
    loop {
        if let Ok(head) = tokio::time::timeout_at(until.into(), &mut answer).await {
            return Ok(head);
        }
        match progress.as_ref().and_then(|progress| progress.last()) {
            Some(moved) if moved + within > until => until = moved + within,
            _ => return Err(Failed::new(Cause::TimedOut, None)),
        }
    }
}

fn unreached(error: ConnectError, request: Request<RequestBody>) -> Failed {
    let cause = match &error {
        ConnectError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => Cause::Refused,
        ConnectError::TooLong => Cause::ConnectTimeout,
        ConnectError::Io(_) | ConnectError::Handshake(_) => Cause::Unreachable,
    };
    let mut failed = Failed::new(cause, Some(error.into()));
    failed.error.unsent = Some(Box::new(request));
    failed
}

/// Something was written and no answer came. On a reused connection it is likely that the replica had closed it for
/// being idle: no fault of its health.
fn unanswered(error: hyper::Error, reused: bool) -> Failed {
    let cause = if request_fault(&error).is_some() {
        Cause::Request
    } else if error.is_parse() {
        Cause::Unreadable
    } else {
        Cause::Lost
    };
    let blame = cause == Cause::Unreadable || (cause == Cause::Lost && !reused);
    Failed { blame, ..Failed::new(cause, Some(error.into())) }
}

/// The fault of the request's own body, if that is what an error comes from.
pub(crate) fn request_fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a RequestFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref() {
            return Some(fault);
        }
        next = error.source();
    }
    None
}
