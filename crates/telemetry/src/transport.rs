//! One OTLP message over the wire, by gRPC or by HTTP, once; and what became of it.
//!
//! The stock exporters (`opentelemetry-otlp`) are not used: they hide the outcome in a text, try again by themselves
//! and forget what a receiver accepted only in part, so that loss could neither be counted nor told from delay.
//! Promises: the outcome is what the protocol says it is (OTLP specification, *Failures*). Refuses: trying again.

use std::{convert::Infallible, io::Write as _, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{Method, Request, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tonic::{
    Code, Status,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use crate::{
    endpoint::{Destination, Protocol},
    exception::Exception,
};

/// The most that is read of a receiver's answer.
const ANSWER_BYTES: usize = 64 * 1024;
/// However long a receiver asks us to wait, after this we ask again.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("throughline-otlp/", env!("CARGO_PKG_VERSION"));

/// The three services answer in the same shape (`partial_success`: how many were rejected, and why), so one type reads all.
type Answer = ExportTraceServiceResponse;

/// What became of one message.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Taken, except for so many items.
    Accepted { rejected: u64, why: String },
    /// Refused for good: sending it again would change nothing.
    Refused(String),
    /// Not now: the receiver is away, busy or too slow. It may ask for patience.
    Later { why: String, after: Option<Duration> },
}

/// The way to one destination.
#[derive(Debug)]
pub(crate) struct Transport {
    wire: Wire,
    timeout: Duration,
}

#[derive(Debug)]
enum Wire {
    Grpc { client: tonic::client::Grpc<Channel>, path: PathAndQuery, metadata: MetadataMap },
    Http { client: Client<HttpConnector, Full<Bytes>>, destination: Destination },
}

impl Transport {
    /// Connects with the first message, inside a Tokio runtime.
    pub(crate) fn new(destination: &Destination) -> Self {
        let wire = match destination.protocol {
            Protocol::Grpc => grpc(destination),
            Protocol::HttpProtobuf => {
                let client = Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .build(HttpConnector::new());
                Wire::Http { client, destination: destination.clone() }
            }
        };
        Transport { wire, timeout: destination.timeout }
    }

    pub(crate) async fn send(&mut self, message: Bytes) -> Outcome {
        let sent = async {
            match &mut self.wire {
                Wire::Grpc { client, path, metadata } => {
                    send_grpc(client, path.clone(), metadata.clone(), message).await
                }
                Wire::Http { client, destination } => send_http(client, destination, message).await,
            }
        };
        match tokio::time::timeout(self.timeout, sent).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Outcome::Later { why: elapsed.to_string(), after: None },
        }
    }
}

fn grpc(destination: &Destination) -> Wire {
    let endpoint = Endpoint::from(destination.endpoint.clone())
        .connect_timeout(destination.timeout)
        .user_agent(USER_AGENT)
        .expect("the user agent is a constant without control characters");
    let mut client = tonic::client::Grpc::new(endpoint.connect_lazy());
    if destination.gzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    let metadata = MetadataMap::from_headers(destination.headers.iter().cloned().collect());
    Wire::Grpc { client, path: PathAndQuery::from_static(destination.signal.grpc_path()), metadata }
}

async fn send_grpc(
    client: &mut tonic::client::Grpc<Channel>,
    path: PathAndQuery,
    metadata: MetadataMap,
    message: Bytes,
) -> Outcome {
    // Connecting is part of it: a receiver that is away fails here.
    if let Err(error) = client.ready().await {
        return Outcome::Later { why: Exception::of(&error).message, after: None };
    }
    let request = tonic::Request::from_parts(metadata, tonic::Extensions::new(), message);
    match client.unary(request, path, EncodedMessages).await {
        Ok(answer) => accepted(answer.into_inner()),
        Err(status) => grpc_outcome(&status),
    }
}

/// OTLP/gRPC, *Failures*: which codes may be tried again. A status with a source was made on this side: the
/// connection broke.
fn grpc_outcome(status: &Status) -> Outcome {
    let why = grpc_reason(status);
    let broken = std::error::Error::source(status).is_some();
    let later = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // Only where the receiver says that it will recover.
        Code::ResourceExhausted => names_retry_info(status.details()),
        _ => broken,
    };
    if later { Outcome::Later { why, after: None } } else { Outcome::Refused(why) }
}

/// Not the status's own text, which tells its message and its cause a second time, as Rust writes them.
fn grpc_reason(status: &Status) -> String {
    let said = match std::error::Error::source(status) {
        Some(cause) => Exception::of(cause).message,
        None => status.message().to_owned(),
    };
    if said.is_empty() { format!("{:?}", status.code()) } else { format!("{:?}: {said}", status.code()) }
}

/// Whether `google.rpc.RetryInfo` is among the details; how long it asks for is covered by our own back-off.
fn names_retry_info(details: &[u8]) -> bool {
    const NAME: &[u8] = b"google.rpc.RetryInfo";
    details.windows(NAME.len()).any(|window| window == NAME)
}

async fn send_http(
    client: &Client<HttpConnector, Full<Bytes>>,
    destination: &Destination,
    message: Bytes,
) -> Outcome {
    let mut request = Request::new(Full::new(message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = destination.endpoint.clone();
    let headers = request.headers_mut();
    headers.extend(destination.headers.iter().cloned());
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/x-protobuf"));
    headers.insert(header::USER_AGENT, header::HeaderValue::from_static(USER_AGENT));
    if destination.gzip {
        headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        let body = std::mem::take(request.body_mut()).collect().await;
        let body = body.unwrap_or_else(|never: Infallible| match never {}).to_bytes();
        *request.body_mut() = Full::new(gzipped(&body));
    }
    let response = match client.request(request).await {
        Ok(response) => response,
        Err(error) => return Outcome::Later { why: Exception::of(&error).message, after: None },
    };
    let (head, body) = response.into_parts();
    let body = match Limited::new(body, ANSWER_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if head.status.is_success() => {
            return Outcome::Later { why: Exception::of(&*error).message, after: None };
        }
        // The status says it all; the text would only have explained it.
        Err(_) => Bytes::new(),
    };
    http_outcome(head.status, head.headers.get(header::RETRY_AFTER), &body)
}

/// OTLP/HTTP, *Failures*: which statuses may be tried again.
fn http_outcome(status: StatusCode, retry_after: Option<&header::HeaderValue>, body: &[u8]) -> Outcome {
    let why = || format!("HTTP {status}");
    match status.as_u16() {
        200..=299 => match Answer::decode(body) {
            Ok(answer) => accepted(answer),
            // A 2xx is an acceptance whatever its body.
            Err(_) => Outcome::Accepted { rejected: 0, why: String::new() },
        },
        429 | 502 | 503 | 504 => {
            let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            let after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PATIENCE));
            Outcome::Later { why: why(), after }
        }
        _ => Outcome::Refused(why()),
    }
}

fn accepted(answer: Answer) -> Outcome {
    let partial = answer.partial_success.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0);
    Outcome::Accepted { rejected, why: partial.error_message }
}

fn gzipped(body: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory does not fail").into()
}

/// Passes messages through that are encoded already, so that one encoding serves every attempt.
#[derive(Clone, Copy, Debug)]
struct EncodedMessages;

impl Codec for EncodedMessages {
    type Encode = Bytes;
    type Decode = Answer;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for EncodedMessages {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for EncodedMessages {
    type Item = Answer;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Answer>, Status> {
        let answer = Answer::decode(from.copy_to_bytes(from.remaining()));
        answer.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_codes_say_what_may_be_tried_again() {
        let check = |status: Status, later: bool| {
            let outcome = grpc_outcome(&status);
            assert_eq!(matches!(outcome, Outcome::Later { .. }), later, "{outcome:?}");
        };
        check(Status::unavailable("the disk is full"), true);
        check(Status::deadline_exceeded(""), true);
        check(Status::aborted(""), true);
        check(Status::invalid_argument(""), false);
        check(Status::unauthenticated(""), false);
        check(Status::unimplemented(""), false);
        check(Status::internal("made there"), false);
        check(Status::from_error(Box::new(std::io::Error::other("connection reset"))), true);
        check(Status::resource_exhausted("too large"), false);
        let details = Bytes::from_static(b"\x12(type.googleapis.com/google.rpc.RetryInfo");
        check(Status::with_details(Code::ResourceExhausted, "quota", details), true);
    }

    #[test]
    fn a_grpc_reason_is_told_once() {
        let refused = std::io::Error::other("connection refused");
        let table = [
            (Status::unavailable("the disk is full"), "Unavailable: the disk is full"),
            (Status::aborted(""), "Aborted"),
            (Status::from_error(Box::new(refused)), "Unknown: connection refused"),
        ];
        for (status, expected) in table {
            assert_eq!(grpc_reason(&status), expected);
        }
    }

    #[test]
    fn http_statuses_say_what_may_be_tried_again() {
        let check = |status: u16, retry_after: Option<&'static str>, expected: Outcome| {
            let status = StatusCode::from_u16(status).expect("a status");
            let retry_after = retry_after.map(header::HeaderValue::from_static);
            assert_eq!(http_outcome(status, retry_after.as_ref(), b""), expected);
        };
        let later = |why: &str, after| Outcome::Later { why: why.to_owned(), after };
        check(200, None, Outcome::Accepted { rejected: 0, why: String::new() });
        check(503, Some("2"), later("HTTP 503 Service Unavailable", Some(Duration::from_secs(2))));
        check(429, Some("soon"), later("HTTP 429 Too Many Requests", None));
        check(502, None, later("HTTP 502 Bad Gateway", None));
        check(500, None, Outcome::Refused("HTTP 500 Internal Server Error".to_owned()));
        check(400, None, Outcome::Refused("HTTP 400 Bad Request".to_owned()));
        check(302, None, Outcome::Refused("HTTP 302 Found".to_owned()));
    }
}
