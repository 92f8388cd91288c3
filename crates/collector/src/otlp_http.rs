//! OTLP/HTTP: `POST /v1/traces`, `/v1/logs`, `/v1/metrics`; protobuf or JSON, gzip or not; answered in the request's
//! own form, errors as a `google.rpc.Status` (OTLP, "OTLP/HTTP Response").
//!
//! 400 for what is malformed, 408 for what does not end, 413 for what is too large, 415 for another form, and 503 with `Retry-After` where the
//! lines could not be written: the sender tries again.

use std::{io::Read as _, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;

use crate::{
    json,
    malformed::Malformed,
    receiver::{Receiver, Refusal},
    signal::Signal,
};

/// Seconds after which a sender shall try again.
const RETRY: HeaderValue = HeaderValue::from_static("1");

/// Answers one export.
pub(crate) async fn export<S: Signal>(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let Some(form) = Form::of(request.headers()) else {
        return Failure::Form("`Content-Type` must be `application/x-protobuf` or `application/json`")
            .told(Form::Json);
    };
    match receive::<S>(&receiver, form, request).await {
        Ok(()) => form.answer(StatusCode::OK, S::Response::default().encode_to_vec(), b"{}".to_vec()),
        Err(failure) => failure.told(form),
    }
}

async fn receive<S: Signal>(receiver: &Receiver, form: Form, request: Request) -> Result<(), Failure> {
    let (head, body) = request.into_parts();
    let gzip = is_gzip(&head.headers)?;
    let body = read(body, receiver.largest).await?;
    let body = if gzip { gunzip(&body, receiver.largest)? } else { body };
    let request = match form {
        Form::Protobuf => S::Request::decode(body).map_err(Malformed::from)?,
        Form::Json => S::from_json(&body)?,
    };
    Ok(receiver.accept::<S>(request)?)
}

/// How a message is written down.
#[derive(Clone, Copy)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim();
        match kind {
            _ if kind.eq_ignore_ascii_case("application/x-protobuf") => Some(Self::Protobuf),
            _ if kind.eq_ignore_ascii_case("application/json") => Some(Self::Json),
            _ => None,
        }
    }

    fn answer(self, status: StatusCode, protobuf: Vec<u8>, json: Vec<u8>) -> Response {
        let (kind, body) = match self {
            Self::Protobuf => ("application/x-protobuf", protobuf),
            Self::Json => ("application/json", json),
        };
        (status, [(CONTENT_TYPE, kind)], Body::from(body)).into_response()
    }
}

/// Why a request was not accepted.
enum Failure {
    Refused(Refusal),
    TooLarge(usize),
    Form(&'static str),
    /// The body stood still for too long; or the sender broke off, and then nobody reads the answer.
    Unended,
}

impl<E: Into<Refusal>> From<E> for Failure {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

/// The body of an error: the fields of `google.rpc.Status` that OTLP uses.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Failure {
    fn told(self, form: Form) -> Response {
        let (status, code, message) = match self {
            Self::Refused(Refusal::Malformed(malformed)) => {
                (StatusCode::BAD_REQUEST, tonic::Code::InvalidArgument, malformed.told())
            }
            Self::Refused(Refusal::Unwritten(error)) => {
                (StatusCode::SERVICE_UNAVAILABLE, tonic::Code::Unavailable, error.to_string())
            }
            Self::TooLarge(largest) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                tonic::Code::ResourceExhausted,
                format!("the request is larger than {largest} bytes"),
            ),
            Self::Form(message) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, tonic::Code::InvalidArgument, message.to_owned())
            }
            Self::Unended => (
                StatusCode::REQUEST_TIMEOUT,
                tonic::Code::Cancelled,
                "the request did not come to its end".to_owned(),
            ),
        };
        let told = Status { code: code as i32, message };
        let mut response = form.answer(status, told.encode_to_vec(), told.json());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY);
        }
        response
    }
}

impl Status {
    fn json(&self) -> Vec<u8> {
        let mut out = b"{".to_vec();
        json::key(&mut out, "code");
        json::integer(&mut out, self.code);
        json::key(&mut out, "message");
        json::text(&mut out, &self.message);
        out.push(b'}');
        out
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Failure> {
    // Codings are named in either case (RFC 9110 §8.4.1).
    match headers.get(CONTENT_ENCODING).map(|coding| coding.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(Failure::Form("`Content-Encoding` must be `gzip` or absent")),
    }
}

async fn read(body: Body, largest: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, largest).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge(largest)),
        // Why it broke off is of no use to a sender that does not send.
        Err(_) => Err(Failure::Unended),
    }
}

fn gunzip(compressed: &[u8], largest: usize) -> Result<Bytes, Failure> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(compressed)
        .take(largest as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(Malformed::Compression)?;
    if plain.len() > largest { Err(Failure::TooLarge(largest)) } else { Ok(plain.into()) }
}
