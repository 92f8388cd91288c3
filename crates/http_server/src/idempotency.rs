//! `Idempotency-Key`: a request that a client may send again without its effect happening twice.
//!
//! The key is taken as it stands, one to 255 visible ASCII characters, quotes and all.

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, request::Parts};

use crate::refusal::Refusal;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST: usize = 255;

/// The key of a request, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl IdempotencyKey {
    fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let malformed = || {
            Refusal::Malformed(format!(
                "`Idempotency-Key` must be one to {LONGEST} visible ASCII characters, once"
            ))
        };
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let fits = (1..=LONGEST).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        if values.next().is_some() || !fits {
            return Err(malformed());
        }
        // Visible ASCII is text.
        value.to_str().map(|key| Self(Some(key.to_owned()))).map_err(|_| malformed())
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::read(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii() {
        #[track_caller]
        fn check(values: &[&str], expected: Option<Option<&str>>) {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let read = IdempotencyKey::read(&headers).ok();
            assert_eq!(read, expected.map(|key| IdempotencyKey(key.map(str::to_owned))), "{values:?}");
        }
        check(&[], Some(None));
        check(&["a"], Some(Some("a")));
        check(
            &["\"8e03978e-40d5-43dd-bc93-6894a57f9324\""],
            Some(Some("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")),
        );
        check(&[&"k".repeat(255)], Some(Some(&"k".repeat(255))));
        check(&[&"k".repeat(256)], None);
        check(&[""], None);
        check(&["a b"], None);
        check(&["ä"], None);
        check(&["a", "a"], None);
    }
}
