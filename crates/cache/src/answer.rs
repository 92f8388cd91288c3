//! Responses made of what is stored or has come.
//!
//! Promises: each says in `Cache-Status` what was done, and in `Via` that it came through here; what comes out of the
//! store or a shared fetch has its `Age`.

use std::{ops::Range, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response::Parts};
use http_body_util::Full;
use telemetry::Problem;
use upstream::{Ambiguity, PROXY_STATUS, proxy_status};

use crate::{
    asked::Asked,
    body::AnswerBody,
    cache_status::Member,
    entry::{Entry, Head},
    flight::Passenger,
    range::{self, Wanted},
    storing::with_date,
    validate, via,
};

/// Fields that are added to the stored ones: `Age`, `Via`, `Cache-Status`, `Content-Range`, three of the trace's.
const ADDED: usize = 7;

/// From an entry; 304 where the client's condition says so, without a body for HEAD.
pub(crate) fn from_entry(
    asked: &Asked,
    entry: &Entry,
    now: SystemTime,
    member: Member,
) -> Response<AnswerBody> {
    let (fields, length) = (entry.head.fields.to_map(ADDED), entry.length());
    if asked.ranged && entry.head.status == StatusCode::OK && !is_not_modified(asked, &entry.head, &fields) {
        match range::wanted(&asked.fields, &fields, length) {
            Wanted::Whole => {}
            Wanted::Part(part) => return from_part(entry, fields, &part, now, member),
            Wanted::Nothing => return not_satisfiable(length, member),
        }
    }
    let body = AnswerBody::stored(entry.body.clone(), length);
    from_head(asked, &entry.head, fields, now, member, Some(length), body)
}

/// RFC 9110 §15.3.7.
fn from_part(
    entry: &Entry,
    fields: HeaderMap,
    part: &Range<u64>,
    now: SystemTime,
    member: Member,
) -> Response<AnswerBody> {
    let length = part.end - part.start;
    let mut fields = with_length(fields, Some(length));
    fields.insert(header::CONTENT_RANGE, range::content_range(Some(part), entry.length()));
    fields.insert(header::AGE, age(&entry.head, now));
    sign(StatusCode::PARTIAL_CONTENT, &mut fields, member);
    let body = AnswerBody::stored(range::cut(&entry.body, part), length);
    respond(StatusCode::PARTIAL_CONTENT, fields, body)
}

/// RFC 9110 §15.5.17.
fn not_satisfiable(length: u64, member: Member) -> Response<AnswerBody> {
    let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE).detail("There are no such bytes.");
    let range = range::content_range(None, length);
    own(problem.header(header::CONTENT_RANGE, range).response(), member)
}

fn age(head: &Head, now: SystemTime) -> HeaderValue {
    HeaderValue::from(head.freshness().age(now).unwrap_or_default().as_secs())
}

/// From a fetch that another request has started, as it comes.
pub(crate) fn from_flight(
    asked: &Asked,
    head: &Head,
    passenger: Passenger,
    now: SystemTime,
    member: Member,
) -> Response<AnswerBody> {
    let fields = head.fields.to_map(ADDED);
    let length = declared(&fields);
    from_head(asked, head, fields, now, member, length, AnswerBody::flight(passenger, length))
}

fn from_head(
    asked: &Asked,
    head: &Head,
    fields: HeaderMap,
    now: SystemTime,
    member: Member,
    length: Option<u64>,
    body: AnswerBody,
) -> Response<AnswerBody> {
    let not_modified = is_not_modified(asked, head, &fields);
    let (status, mut fields, body) = if not_modified {
        (StatusCode::NOT_MODIFIED, validate::not_modified_fields(fields), AnswerBody::own(Full::default()))
    } else if asked.head {
        (head.status, with_length(fields, length), AnswerBody::own(Full::default()))
    } else {
        (head.status, fields, body)
    };
    fields.insert(header::AGE, age(head, now));
    sign(status, &mut fields, member);
    respond(status, fields, body)
}

/// From the leader's own fetch, as it comes.
pub(crate) fn from_fetch(
    asked: &Asked,
    parts: Parts,
    head: &Head,
    passenger: Passenger,
    member: Member,
) -> Response<AnswerBody> {
    let length = declared(&parts.headers);
    let body = AnswerBody::flight(passenger, length);
    let not_modified = asked.conditional && is_not_modified(asked, head, &head.fields.to_map(0));
    let (status, headers, body) = if not_modified {
        let fields = validate::not_modified_fields(parts.headers);
        (StatusCode::NOT_MODIFIED, fields, AnswerBody::own(Full::default()))
    } else {
        (parts.status, parts.headers, body)
    };
    finish(status, headers, body, head.freshness().received, member)
}

/// What the origin answered, passed through.
pub(crate) fn from_origin(
    response: Response<upstream::Body>,
    now: SystemTime,
    member: Member,
) -> Response<AnswerBody> {
    let (parts, body) = response.into_parts();
    finish(parts.status, parts.headers, AnswerBody::passed(body), now, member)
}

/// Our own.
pub(crate) fn own(response: Response<Full<Bytes>>, member: Member) -> Response<AnswerBody> {
    let (parts, body) = response.into_parts();
    let mut fields = parts.headers;
    member.append(&mut fields);
    respond(parts.status, fields, AnswerBody::own(body))
}

/// RFC 9111 §5.2.1.7.
pub(crate) fn only_if_cached(member: Member) -> Response<AnswerBody> {
    let detail = "Nothing usable is stored, and the request forbids asking for it.";
    own(Problem::new(StatusCode::GATEWAY_TIMEOUT).detail(detail).response(), member)
}

/// A proxy in front of one origin is no tunnel to others (RFC 9110 §9.3.6).
pub(crate) fn no_tunnel() -> Response<AnswerBody> {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED).detail("This service is no tunnel.");
    let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    problem.header(header::ALLOW, allow).response().map(AnswerBody::own)
}

/// A request that the origin could read in another way than we do is not passed on; nor is what follows it read.
pub(crate) fn ambiguous(ambiguity: Ambiguity) -> Response<AnswerBody> {
    let said = proxy_status::own_answer("cache", "http_request_error", None);
    let problem = Problem::new(ambiguity.status()).detail(ambiguity.detail()).header(PROXY_STATUS, said);
    problem.header(header::CONNECTION, HeaderValue::from_static("close")).response().map(AnswerBody::own)
}

/// A fetch that ended without a word: its runtime is going away, or it panicked.
pub(crate) fn lost(member: Member) -> Response<AnswerBody> {
    own(
        Problem::new(StatusCode::BAD_GATEWAY).detail("The fetch for this request was lost.").response(),
        member,
    )
}

fn finish(
    status: StatusCode,
    mut fields: HeaderMap,
    body: AnswerBody,
    received: SystemTime,
    member: Member,
) -> Response<AnswerBody> {
    with_date(&mut fields, received);
    sign(status, &mut fields, member);
    respond(status, fields, body)
}

/// Says that an answer came through here and what was done about it.
fn sign(status: StatusCode, fields: &mut HeaderMap, member: Member) {
    via(fields);
    proxy_status::note_received("cache", status, fields);
    member.append(fields);
}

fn respond(status: StatusCode, fields: HeaderMap, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// Only a 200 is conditional (RFC 9110 §13.2.1).
fn is_not_modified(asked: &Asked, head: &Head, fields: &HeaderMap) -> bool {
    asked.conditional
        && head.status == StatusCode::OK
        && validate::is_not_modified(&asked.fields, fields, head.freshness().received)
}

/// What GET would say of its body.
fn with_length(mut fields: HeaderMap, length: Option<u64>) -> HeaderMap {
    if let Some(length) = length {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    fields
}

fn declared(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
