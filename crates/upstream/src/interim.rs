//! Interim responses (1xx, RFC 9110 §15.2): a replica's are told, one by one as they come, to whoever a request names.
//!
//! Promises: no hop-by-hop field among them. 100 is told as any other (`Expect` never reaches a replica: nobody waits for
//! it); 101 is an answer, and refused as one. Refuses: waiting for whoever is told, and remembering: those
//! of an attempt that fails have been told when the next one begins.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode};

use crate::{fields, request_body::RequestBody};

/// Who is told, in a request's extensions.
#[derive(Clone)]
pub(crate) struct OnInterim(Arc<Tell>);

type Tell = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

/// Has `tell` told each interim response to `request`, until [`Client::send`](crate::Client::send) has its answer or
/// its failure, and perhaps a moment longer when it gives an attempt up.
pub fn on_interim<B>(
    request: &mut Request<B>,
    tell: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
) {
    request.extensions_mut().insert(OnInterim(Arc::new(tell)));
}

impl OnInterim {
    /// Listens to the attempt that `request` is about to make.
    pub(crate) fn listen(&self, request: &mut Request<RequestBody>) {
        let told = self.clone();
        hyper::ext::on_informational(request, move |response| {
            let mut headers = response.headers().clone();
            fields::strip_interim(&mut headers);
            (told.0)(response.status(), &headers);
        });
    }
}
