//! What a client got: a head, then a body, and what the cache told about it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use telemetry::testing::RecordedSpan;
use tokio::time::timeout;

use super::{PATIENCE, until};

/// An answer whose body has not been read. Dropped, its connection is closed.
pub(crate) struct Opened {
    pub(crate) response: Response<Incoming>,
    pub(crate) trace_id: String,
    _connection: OnDrop,
    _sender: SendRequest<Full<Bytes>>,
}

/// A connection that is closed when dropped.
struct OnDrop(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Opened {
    pub(crate) fn new(
        response: Response<Incoming>,
        trace_id: String,
        connection: tokio::task::JoinHandle<Result<(), hyper::Error>>,
        sender: SendRequest<Full<Bytes>>,
    ) -> Opened {
        Opened { response, trace_id, _connection: OnDrop(connection), _sender: sender }
    }

    /// This cache's member of `Cache-Status`.
    pub(crate) fn member(&self) -> &str {
        let last = self.response.headers().get_all("cache-status").iter().next_back();
        last.map_or("none", |value| value.to_str().expect("text"))
    }

    /// Closes the connection, and waits until the cache has noticed.
    pub(crate) async fn leave(self) {
        let trace_id = self.trace_id.clone();
        drop(self);
        line_of(&trace_id).await;
    }

    /// Reads it to its end, or to where it breaks off.
    pub(crate) async fn whole(mut self) -> Got {
        let mut body = Vec::new();
        let mut broken = false;
        while let Some(frame) =
            timeout(PATIENCE, self.response.body_mut().frame()).await.expect("more of the body in time")
        {
            match frame {
                Ok(frame) => body.extend_from_slice(frame.data_ref().expect("no trailers")),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        Got {
            status: self.response.status(),
            fields: self.response.headers().clone(),
            body: body.into(),
            broken,
            trace_id: self.trace_id.clone(),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) broken: bool,
    pub(crate) trace_id: String,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().expect("text"))
    }

    /// All lines of a field.
    pub(crate) fn lines(&self, name: &'static str) -> Vec<&str> {
        let name = HeaderName::from_static(name);
        self.fields.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }

    /// This cache's member of `Cache-Status`.
    pub(crate) fn member(&self) -> &str {
        self.lines("cache-status").last().copied().unwrap_or("none")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.member().starts_with("cache; hit")
    }

    /// The cache's span of this request, once it has ended.
    pub(crate) async fn span(&self) -> RecordedSpan {
        let find = || {
            let spans = telemetry::testing::spans(&self.trace_id);
            spans.into_iter().find(|span| span.kind == "SERVER")
        };
        until(|| format!("spans {:?}", telemetry::testing::spans(&self.trace_id)), || find().is_some()).await;
        find().expect("just seen")
    }

    /// The cache's line of this request.
    pub(crate) async fn line(&self) -> serde_json::Value {
        line_of(&self.trace_id).await
    }
}

async fn line_of(trace_id: &str) -> serde_json::Value {
    let find = || telemetry::testing::lines(trace_id).into_iter().find(|line| line["message"] == "request");
    until(|| format!("lines {:?}", telemetry::testing::lines(trace_id)), || find().is_some()).await;
    find().expect("just seen")
}
