//! Request bodies: one JSON object, of the media type that its method takes.
//!
//! A member may stand there once: of two with one name every reader picks its own (RFC 8259 §4), so both are refused.

use std::fmt;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use http::{HeaderMap, HeaderName, header};
use http_body_util::BodyExt as _;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::refusal::Refusal;

/// The media type of bookings.
pub(crate) const JSON: &str = "application/json";
/// RFC 7396.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// The members of a JSON object, in their order, none twice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Members(pub(crate) Vec<(String, Value)>);

/// A body for `POST`.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) members: Members,
    /// SHA-256 of the bytes.
    pub(crate) hash: [u8; 32],
}

/// A body for `PUT`.
#[derive(Debug)]
pub(crate) struct Put(pub(crate) Members);

/// A body for `PATCH`.
#[derive(Debug)]
pub(crate) struct Patch(pub(crate) Members);

impl<S: Sync> FromRequest<S> for Posted {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let bytes = read(request, JSON, Some(HeaderName::from_static("accept-post"))).await?;
        Ok(Posted { members: Members::parse(&bytes)?, hash: Sha256::digest(&bytes).into() })
    }
}

impl<S: Sync> FromRequest<S> for Put {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        Members::parse(&read(request, JSON, None).await?).map(Put)
    }
}

impl<S: Sync> FromRequest<S> for Patch {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let bytes = read(request, MERGE_PATCH, Some(HeaderName::from_static("accept-patch"))).await?;
        Members::parse(&bytes).map(Patch)
    }
}

impl Members {
    /// Reads one JSON object.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(bytes)
            .map_err(|error| Refusal::Malformed(format!("the body cannot be read as a JSON object: {error}")))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.iter().any(|(seen, _)| *seen == name) {
                        return Err(A::Error::custom(format_args!("`{name}` is there twice")));
                    }
                    // Eight members are known: what is longer is refused anyway, and searching it would take too long.
                    if members.len() > 64 {
                        return Err(A::Error::custom("too many members"));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

async fn read(
    request: Request,
    accepted: &'static str,
    told_in: Option<HeaderName>,
) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    if !is_identity(&parts.headers) {
        return Err(Refusal::Encoding);
    }
    if !is(&parts.headers, accepted) {
        return Err(Refusal::MediaType { accepted, told_in });
    }
    Ok(body.collect().await?.to_bytes())
}

fn is_identity(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// JSON is UTF-8 (RFC 8259 §8.1): a `charset` may say so, and nothing else.
fn is(headers: &HeaderMap, accepted: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(accepted)
        && parts.filter(|parameter| !parameter.is_empty()).all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_as_http_writes_it() {
        #[track_caller]
        fn check(content_type: &str, expected: bool) {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(is(&headers, JSON), expected, "{content_type}");
        }
        check("application/json", true);
        check("Application/JSON; charset=utf-8", true);
        check("application/json;charset=\"UTF-8\"", true);
        check("application/json; charset=latin1", false);
        check("application/json; profile=x", false);
        check("application/jsonx", false);
        check("text/json", false);
        check("", false);
    }

    #[test]
    fn an_object_is_read_and_anything_else_refused() {
        #[track_caller]
        fn check(text: &str, expected: Option<&[&str]>) {
            let read = Members::parse(text.as_bytes()).ok();
            let names =
                read.as_ref().map(|members| members.0.iter().map(|(name, _)| name.as_str()).collect());
            assert_eq!(names, expected.map(<[_]>::to_vec), "{text}");
        }
        check("{}", Some(&[]));
        check(r#" {"b":1,"a":{"c":[]}} "#, Some(&["b", "a"]));
        check(r#"{"a":1,"a":1}"#, None);
        check(r#"{"a":1,"\u0061":2}"#, None);
        check("", None);
        check("{} {}", None);
        check("[]", None);
        check("null", None);
        check(r#"{"a":"\ud800"}"#, None);
        check(&format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200)), None);
    }
}
