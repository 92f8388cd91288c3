//! From a request's head to its trace, its scope and the attributes of its span.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, Request, header::USER_AGENT};
use opentelemetry::{
    Context, KeyValue, StringValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _, TraceState, Tracer as _},
};

use super::{ServerLayer, ending::Running};
use crate::{
    Extracted, Peer, Scope, TrustedPeers, edge, extract,
    instruments::SCHEME,
    names,
    propagate::{BAGGAGE, TRACEPARENT, TRACESTATE},
    request::Told,
    start::tracer,
    traceparent,
};

/// Attributes of most SERVER spans, with those of their end: so many do not allocate twice.
const ATTRIBUTES: usize = 20;

/// Begins a request: believes its trace or starts one, and takes away what a stranger said of it.
pub(super) fn begin<B>(layer: &ServerLayer, request: &mut Request<B>) -> Running {
    let peer = request.extensions().get::<Peer>().copied();
    let is_believed = peer.is_some_and(|peer| layer.trusted.trusts(peer.0.ip()));
    let ancestry = Ancestry::of(request.headers_mut(), is_believed);
    let parent = ancestry.parent;
    let method = edge::method(request.method());
    let path: Arc<str> = edge::path(request.uri()).into();

    let mut attributes = attributes(&layer.trusted, request, peer, is_believed, &path);
    attributes.extend(ancestry.refused.map(|why| KeyValue::new(names::TRACEPARENT, why)));
    let mut builder = SpanBuilder::from_name(edge::span_word(method))
        .with_kind(SpanKind::Server)
        .with_attributes(attributes);
    if let Some(caller) = ancestry.link {
        builder.links = Some(vec![Link::new(caller, Vec::new(), 0)]);
    }
    let started_at = SystemTime::now();
    builder.start_time = Some(started_at);
    // A new trace's ids are random: so is the SDK's generator.
    let is_random = parent
        .as_ref()
        .is_none_or(|parent| (parent.trace_flags() & traceparent::RANDOM) == traceparent::RANDOM);
    let parent = match parent {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    let span = tracer().build_with_context(builder, &parent);
    let scope = Scope::new(
        edge::METHODS[method],
        path,
        Told::new(span, layer.is_proxy, layer.has_database),
        is_random,
    );
    Running::new(layer, scope, method, edge::version(request.version()), started_at)
}

/// What comes of a caller's context.
#[derive(Default)]
struct Ancestry {
    /// The parent that is believed.
    parent: Option<SpanContext>,
    /// The caller's context that is only linked to.
    link: Option<SpanContext>,
    /// Why the caller's trace does not go on, where it had one.
    refused: Option<&'static str>,
}

impl Ancestry {
    /// Headers that are not to be used by anything further in are removed.
    fn of(headers: &mut HeaderMap, is_believed: bool) -> Self {
        let extracted = extract(headers);
        if !is_believed {
            headers.remove(BAGGAGE);
        }
        if let Extracted::Parent(parent) = extracted {
            if is_believed {
                return Self { parent: Some(parent), ..Self::default() };
            }
            headers.remove(TRACEPARENT);
            headers.remove(TRACESTATE);
            return Self { link: Some(without_state(&parent)), refused: Some("untrusted"), parent: None };
        }
        headers.remove(TRACESTATE);
        if extracted == Extracted::Absent {
            return Self::default();
        }
        headers.remove(TRACEPARENT);
        Self { refused: Some("malformed"), ..Self::default() }
    }
}

fn without_state(span: &SpanContext) -> SpanContext {
    SpanContext::new(span.trace_id(), span.span_id(), span.trace_flags(), true, TraceState::NONE)
}

fn attributes<B>(
    trusted: &TrustedPeers,
    request: &Request<B>,
    peer: Option<Peer>,
    is_believed: bool,
    path: &Arc<str>,
) -> Vec<KeyValue> {
    let (headers, uri) = (request.headers(), request.uri());
    let mut list = Vec::with_capacity(ATTRIBUTES);
    let mut add = |name, value: opentelemetry::Value| list.push(KeyValue::new(name, value));

    add(names::HTTP_REQUEST_METHOD, edge::METHODS[edge::method(request.method())].into());
    if let Some(original) = edge::method_original(request.method()) {
        add(names::HTTP_REQUEST_METHOD_ORIGINAL, original.into());
    }
    add(names::URL_SCHEME, SCHEME.into());
    add(names::URL_PATH, StringValue::from(path.clone()).into());
    if let Some(query) = edge::query(uri) {
        add(names::URL_QUERY, query.into());
    }
    if let Some((host, port)) = edge::host(uri, headers) {
        add(names::SERVER_ADDRESS, host.to_owned().into());
        if let Some(port) = port {
            add(names::SERVER_PORT, i64::from(port).into());
        }
    }
    if let Some(Peer(address)) = peer {
        let text: StringValue = Arc::<str>::from(address.ip().to_canonical().to_string()).into();
        let told = if is_believed { edge::forwarded_client(headers, |ip| trusted.trusts(ip)) } else { None };
        let client = told.map_or_else(|| text.clone(), |client| client.to_string().into());
        add(names::CLIENT_ADDRESS, client.into());
        add(names::NETWORK_PEER_ADDRESS, text.into());
        add(names::NETWORK_PEER_PORT, i64::from(address.port()).into());
    }
    add(names::NETWORK_PROTOCOL_VERSION, edge::version(request.version()).into());
    if let Some(agent) = headers.get(USER_AGENT).and_then(edge::header_text) {
        add(names::USER_AGENT_ORIGINAL, agent.into());
    }
    list
}
