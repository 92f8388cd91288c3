//! Both protocols on one address, told apart by path and form.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::post,
};
use http::StatusCode;

use crate::{
    otlp_grpc, otlp_http,
    receiver::Receiver,
    signal::{Logs, Metrics, Signal, Traces},
};

/// The service of every connection.
pub(crate) fn routes(receiver: Arc<Receiver>) -> Router {
    let router = signal::<Metrics>(signal::<Logs>(signal::<Traces>(Router::new())));
    router.fallback(unknown).with_state(receiver)
}

fn signal<S: Signal>(router: Router<Arc<Receiver>>) -> Router<Arc<Receiver>> {
    router.route(S::HTTP_PATH, post(otlp_http::export::<S>)).route(S::GRPC_PATH, post(otlp_grpc::export::<S>))
}

async fn unknown(request: Request) -> Response {
    if otlp_grpc::is_grpc(request.headers()) {
        return otlp_grpc::unimplemented();
    }
    (StatusCode::NOT_FOUND, "OTLP is at /v1/traces, /v1/logs and /v1/metrics\n").into_response()
}
