//! Refusals: every answer that is not what was asked for, as `application/problem+json` (RFC 9457).
//!
//! Promises: a client learns what it can change; what went wrong inside goes to the request's line, with its causes.

use std::error::Error;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use service::RequestBodyError;
use telemetry::{Problem, Scope};

/// How long a client that was refused for want of a database shall wait, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// 400
    #[error("{0}")]
    Malformed(String),
    /// 404
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// 405
    #[error("the method is not one of {0}")]
    Method(&'static str),
    /// 412
    #[error("the booking is not in the state that the request's conditions name")]
    Precondition,
    /// 413 or 408 or, for a client that has left, nobody's.
    #[error("the body cannot be read")]
    Body(#[source] RequestBodyError),
    /// 415
    #[error("the body must be `{accepted}`")]
    MediaType {
        /// The one media type that is read here.
        accepted: &'static str,
        /// `Accept-Post` or `Accept-Patch`, where there is one.
        told_in: Option<HeaderName>,
    },
    /// 415
    #[error("the body must not be encoded")]
    Encoding,
    /// 422
    #[error("`{field}` {reason}")]
    Invalid {
        /// The member's name, as it came.
        field: String,
        /// `must not be empty`
        reason: String,
    },
    /// 404, 409, 422, 500 and 503
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Refusal {
    /// 422, naming the field.
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    fn problem(&self) -> Problem {
        let detail = |status| Problem::new(status).detail(self.to_string());
        match self {
            Refusal::Malformed(_) => detail(StatusCode::BAD_REQUEST),
            Refusal::NoSuchPath => detail(StatusCode::NOT_FOUND),
            Refusal::Method(allow) => {
                detail(StatusCode::METHOD_NOT_ALLOWED).header(header::ALLOW, HeaderValue::from_static(allow))
            }
            Refusal::Precondition => detail(StatusCode::PRECONDITION_FAILED),
            Refusal::Body(RequestBodyError::TooLarge { .. }) => detail(StatusCode::PAYLOAD_TOO_LARGE),
            Refusal::Body(RequestBodyError::Idle { .. }) => detail(StatusCode::REQUEST_TIMEOUT),
            Refusal::Body(RequestBodyError::Broken(_)) => detail(StatusCode::BAD_REQUEST),
            Refusal::MediaType { accepted, told_in } => {
                let accepted = HeaderValue::from_static(accepted);
                let problem = detail(StatusCode::UNSUPPORTED_MEDIA_TYPE);
                match told_in {
                    Some(name) => problem.header(name.clone(), accepted),
                    None => problem.header(header::ACCEPT, accepted),
                }
            }
            Refusal::Encoding => detail(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            Refusal::Invalid { field, .. } => {
                detail(StatusCode::UNPROCESSABLE_ENTITY).with("field", field.as_str())
            }
            Refusal::Store(error) => of_store(error),
        }
    }
}

fn of_store(error: &store::Error) -> Problem {
    use store::Error;
    let detail = |status| Problem::new(status).detail(error.to_string());
    match error {
        Error::NotFound | Error::NoSuchTask | Error::NoSuchWebhook => detail(StatusCode::NOT_FOUND),
        Error::Overlap | Error::KeyRunning | Error::TooManyWebhooks | Error::TaskState { .. } => {
            detail(StatusCode::CONFLICT)
        }
        Error::KeyReused => detail(StatusCode::UNPROCESSABLE_ENTITY).with("field", "Idempotency-Key"),
        Error::Exhausted { .. } | Error::Unavailable { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail("the database cannot be reached in time; try again")
            .header(header::RETRY_AFTER, RETRY_AFTER),
        Error::Internal { .. } => Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
            .detail("something is wrong here, not with the request; its trace id helps to find what"),
    }
}

/// What the request's line says of what went wrong inside.
fn tell(error: &store::Error) {
    let Some(scope) = Scope::current() else { return };
    match error {
        store::Error::Exhausted { .. } => {
            scope.refused();
            scope.error("pool_exhausted", error);
        }
        store::Error::Unavailable { .. } => scope.error("database_unavailable", error),
        store::Error::Internal { .. } => scope.error("database_error", error),
        _ => {}
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Refusal::Store(error) = &self {
            tell(error);
        }
        self.problem().response().map(Body::new)
    }
}

/// What broke a body, found in the chain of what axum makes of it.
impl From<axum::Error> for Refusal {
    fn from(error: axum::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(one) = cause {
            match one.downcast_ref::<RequestBodyError>() {
                Some(RequestBodyError::TooLarge { limit }) => {
                    return Refusal::Body(RequestBodyError::TooLarge { limit: *limit });
                }
                Some(RequestBodyError::Idle { seconds }) => {
                    return Refusal::Body(RequestBodyError::Idle { seconds: *seconds });
                }
                _ => cause = one.source(),
            }
        }
        Refusal::Body(RequestBodyError::Broken(error.into_inner()))
    }
}
