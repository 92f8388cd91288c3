//! Why there is no answer from behind, and what is answered instead (DESIGN.md, "Answers a proxy makes itself").

use std::{error::Error, io};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use telemetry::{Problem, Scope};

use crate::{
    attempt::{self, AttemptError, Cause},
    proxy_status::{self, PROXY_STATUS},
    queue::Full as QueueFull,
    request_body::RequestFault,
};

/// Seconds after which it is worth asking again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why there is no answer; says what to answer instead.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Failure {
    kind: Kind,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Kind {
    #[error("no replica is known")]
    NoReplica,
    #[error("every replica is busy")]
    Full,
    #[error("no answer before the deadline")]
    Deadline,
    #[error("{0}")]
    Attempt(Cause),
    #[error("the request's body is too large")]
    TooLarge,
    #[error("the request's body did not come in time")]
    TooSlow,
    #[error("the client broke off its request")]
    ClientGone,
    #[error("the request's body is malformed")]
    Malformed,
}

/// What is said about a kind.
struct Answer {
    status: StatusCode,
    /// `error.type`.
    error_type: &'static str,
    /// RFC 9209 §2.3.
    proxy_error: &'static str,
    /// For the client: no internals.
    detail: &'static str,
}

impl Failure {
    /// 503, 502, 504 (or 413, 408, when the request's own body was at fault) as problem+json, with `Proxy-Status`
    /// (RFC 9209) under this proxy's name and `Retry-After` where due; tells the current scope `error.type` and
    /// whether it was a refusal.
    pub fn response(&self, proxy: &'static str) -> Response<Full<Bytes>> {
        let answer = self.kind.answer();
        if let Some(scope) = Scope::current() {
            scope.error(answer.error_type, self);
            if self.is_refusal() {
                scope.refused();
            }
        }
        let mut problem = Problem::new(answer.status).detail(answer.detail);
        let said = proxy_status::own_answer(proxy, answer.proxy_error, Some(&self.to_string()));
        problem = problem.header(PROXY_STATUS, said);
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            problem = problem.header(header::RETRY_AFTER, RETRY_AFTER);
        }
        problem.response()
    }

    /// `error.type`.
    pub fn error_type(&self) -> &'static str {
        self.kind.answer().error_type
    }

    /// Whether the request never reached a replica that could have answered (stale-if-error and the like care).
    pub fn is_unreachable(&self) -> bool {
        self.kind.answer().status == StatusCode::SERVICE_UNAVAILABLE
    }

    pub(crate) fn no_replica() -> Failure {
        Failure { kind: Kind::NoReplica, source: None }
    }

    pub(crate) fn deadline() -> Failure {
        Failure { kind: Kind::Deadline, source: None }
    }

    pub(crate) fn full(full: QueueFull) -> Failure {
        Failure { kind: Kind::Full, source: Some(full.into()) }
    }

    pub(crate) fn attempt(error: AttemptError) -> Failure {
        let cause = error.cause();
        let source = error.into_source();
        let fault = source.as_deref().and_then(|source| attempt::request_fault(source)).map(Kind::of);
        Failure { kind: fault.unwrap_or(Kind::Attempt(cause)), source }
    }

    pub(crate) fn request(fault: RequestFault) -> Failure {
        Failure { kind: Kind::of(&fault), source: Some(fault.into()) }
    }

    /// Refused because something was full, as opposed to failed.
    fn is_refusal(&self) -> bool {
        matches!(self.kind, Kind::Full | Kind::TooLarge)
    }
}

impl Kind {
    fn of(fault: &RequestFault) -> Kind {
        match fault {
            RequestFault::TooLarge(_) => Kind::TooLarge,
            RequestFault::TooSlow(_) => Kind::TooSlow,
            RequestFault::Broken(source) if is_malformed(&**source) => Kind::Malformed,
            RequestFault::Broken(_) => Kind::ClientGone,
        }
    }

    fn answer(self) -> Answer {
        use StatusCode as S;
        let (status, error_type, proxy_error, detail) = match self {
            Kind::NoReplica => (
                S::SERVICE_UNAVAILABLE,
                "no_replica",
                "destination_unavailable",
                "The service behind this proxy is not there.",
            ),
            Kind::Full => (
                S::SERVICE_UNAVAILABLE,
                "queue_full",
                "connection_limit_reached",
                "The service behind this proxy is busy.",
            ),
            Kind::Attempt(Cause::Refused) => {
                (S::SERVICE_UNAVAILABLE, "connect", "connection_refused", UNREACHABLE)
            }
            Kind::Attempt(Cause::Unreachable) => {
                (S::SERVICE_UNAVAILABLE, "connect", "destination_unavailable", UNREACHABLE)
            }
            Kind::Attempt(Cause::ConnectTimeout) => {
                (S::SERVICE_UNAVAILABLE, "connect_timeout", "connection_timeout", UNREACHABLE)
            }
            Kind::Attempt(Cause::Lost) => {
                (S::BAD_GATEWAY, "connection_lost", "connection_terminated", BROKEN)
            }
            Kind::Attempt(Cause::Unreadable) => {
                (S::BAD_GATEWAY, "bad_response", "http_protocol_error", BROKEN)
            }
            Kind::Attempt(Cause::Switched) => (S::BAD_GATEWAY, "bad_response", "http_upgrade_failed", BROKEN),
            Kind::Attempt(Cause::Coding) => {
                (S::BAD_GATEWAY, "bad_response", "http_response_transfer_coding", BROKEN)
            }
            Kind::Attempt(Cause::TimedOut) | Kind::Deadline => (
                S::GATEWAY_TIMEOUT,
                "timeout",
                "http_response_timeout",
                "The service behind this proxy did not answer in time.",
            ),
            Kind::TooLarge => (
                S::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "http_request_error",
                "The request's body is too large.",
            ),
            Kind::TooSlow => (
                S::REQUEST_TIMEOUT,
                "body_timeout",
                "http_request_error",
                "The request's body did not come in time.",
            ),
            Kind::Malformed => {
                (S::BAD_REQUEST, "malformed_body", "http_request_error", "The request's body cannot be read.")
            }
            Kind::ClientGone | Kind::Attempt(Cause::Request) => {
                (S::BAD_REQUEST, "client_closed", "http_request_error", "The request's body broke off.")
            }
        };
        Answer { status, error_type, proxy_error, detail }
    }
}

/// Whether what came is no body (broken chunks, which the HTTP library reports as invalid input), rather than too
/// little of one.
fn is_malformed(error: &(dyn Error + 'static)) -> bool {
    let kind = error.downcast_ref().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
        || error.source().is_some_and(is_malformed)
}

const UNREACHABLE: &str = "The service behind this proxy cannot be reached.";
const BROKEN: &str = "The service behind this proxy gave no proper answer.";
