//! OTLP/gRPC: one unary call a signal, gzip or not.
//!
//! `INVALID_ARGUMENT` for what is malformed, `RESOURCE_EXHAUSTED` for what is too large (neither comes again),
//! `UNAVAILABLE` where the lines could not be written: the sender tries again (OTLP, "Failures").

use std::{future::ready, marker::PhantomData, sync::Arc};

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use prost::Message as _;
use tonic::{
    Status,
    codec::{CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::Grpc,
};

use crate::{
    malformed::Malformed,
    receiver::{Receiver, Refusal},
    signal::Signal,
};

/// Answers one export.
pub(crate) async fn export<S: Signal>(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    if !is_grpc(request.headers()) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let mut grpc = Grpc::new(Codec::<S>(PhantomData))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(receiver.largest);
    let accept = tower::service_fn(move |request: tonic::Request<S::Request>| {
        let accepted = receiver.accept::<S>(request.into_inner());
        ready(
            accepted
                .map(|()| tonic::Response::new(S::Response::default()))
                .map_err(|refusal| status(&refusal)),
        )
    });
    let mut response = grpc.unary(accept, request).await;
    // tonic says OUT_OF_RANGE of a message that is too large, which tells an OTLP sender to send it again.
    if response.headers().get(Status::GRPC_STATUS).is_some_and(|status| status == "11") {
        response.headers_mut().insert(Status::GRPC_STATUS, HeaderValue::from_static("8"));
    }
    response.map(axum::body::Body::new)
}

/// Whether a request is a call, whatever its message's form.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The answer to a call of what is not there.
pub(crate) fn unimplemented() -> Response {
    Status::unimplemented("only the export calls of OTLP are served here").into_http::<axum::body::Body>()
}

fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Malformed(malformed) => Status::invalid_argument(malformed.told()),
        Refusal::Unwritten(error) => Status::unavailable(error.to_string()),
    }
}

/// Protobuf, whose errors are the sender's: the stock codec calls them `INTERNAL`.
struct Codec<S>(PhantomData<S>);

impl<S: Signal> tonic::codec::Codec for Codec<S> {
    type Encode = S::Response;
    type Decode = S::Request;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }
    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<S: Signal> Encoder for Codec<S> {
    type Item = S::Response;
    type Error = Status;

    fn encode(&mut self, response: S::Response, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        response.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<S: Signal> Decoder for Codec<S> {
    type Item = S::Request;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<S::Request>, Status> {
        match S::Request::decode(message) {
            Ok(request) => Ok(Some(request)),
            Err(error) => Err(Status::invalid_argument(Malformed::from(error).told())),
        }
    }
}
