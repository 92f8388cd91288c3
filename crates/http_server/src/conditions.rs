//! Conditional requests (RFC 9110 §13): whether a request goes on, given the entity tag of what is there now.
//!
//! There are no dates: without a `Last-Modified`, conditions on dates are passed over (§13.1.3, §13.1.4).

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, Method, header, request::Parts};

use crate::refusal::Refusal;

/// The conditions of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    safe: bool,
}

/// What the conditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request goes on.
    Met,
    /// 304: the client has it already.
    NotModified,
    /// 412.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// With its quotes.
    opaque: String,
}

impl Conditions {
    pub(crate) fn read(method: &Method, headers: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self {
            if_match: tags(headers, header::IF_MATCH)?,
            if_none_match: tags(headers, header::IF_NONE_MATCH)?,
            safe: method.is_safe(),
        })
    }

    /// In the order of RFC 9110 §13.2.2; `etag` is strong, with its quotes.
    pub(crate) fn verdict(&self, etag: &str) -> Verdict {
        let none_match = self.if_none_match.as_ref();
        if self.if_match.as_ref().is_some_and(|tags| !tags.hold(etag, Comparison::Strong)) {
            Verdict::Failed
        } else if none_match.is_some_and(|tags| tags.hold(etag, Comparison::Weak)) {
            if self.safe { Verdict::NotModified } else { Verdict::Failed }
        } else {
            Verdict::Met
        }
    }

    /// For a write: it goes on, or 412.
    pub(crate) fn require(&self, etag: &str) -> Result<(), Refusal> {
        match self.verdict(etag) {
            Verdict::Met => Ok(()),
            Verdict::NotModified | Verdict::Failed => Err(Refusal::Precondition),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::read(&parts.method, &parts.headers)
    }
}

/// RFC 9110 §8.8.3.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

impl Tags {
    fn hold(&self, etag: &str, comparison: Comparison) -> bool {
        match self {
            Tags::Any => true,
            Tags::These(tags) => {
                tags.iter().any(|tag| tag.opaque == etag && (comparison == Comparison::Weak || !tag.weak))
            }
        }
    }
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, Refusal> {
    let malformed = || Refusal::Malformed(format!("`{name}` must be `*` or a list of entity tags"));
    let mut lines = Vec::new();
    for value in headers.get_all(&name) {
        // Beyond ASCII an entity tag is none of ours, but it is one.
        lines.push(String::from_utf8_lossy(value.as_bytes()));
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let all = lines.join(",");
    if all.trim() == "*" {
        return Ok(Some(Tags::Any));
    }
    list(&all).map(|tags| Some(Tags::These(tags))).ok_or_else(malformed)
}

/// `#entity-tag`: a tag may hold commas, and a list empty elements (§5.6.1.2).
fn list(text: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(tags);
        }
        let (weak, tag) = match rest.strip_prefix("W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        let end = tag.strip_prefix('"')?.find('"')? + 2;
        let (opaque, after) = tag.split_at(end);
        if opaque.contains(|c: char| c == ' ' || c.is_ascii_control()) {
            return None;
        }
        tags.push(Tag { weak, opaque: opaque.to_owned() });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const ETAG: &str = "\"3\"";

    fn verdict(method: Method, given: &[(&'static str, &str)]) -> Option<Verdict> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Conditions::read(&method, &headers).ok().map(|conditions| conditions.verdict(ETAG))
    }

    #[track_caller]
    fn check(method: Method, given: &[(&'static str, &str)], expected: Option<Verdict>) {
        assert_eq!(verdict(method.clone(), given), expected, "{method} {given:?}");
    }

    #[test]
    fn if_match_compares_strongly() {
        check(Method::PUT, &[], Some(Verdict::Met));
        check(Method::PUT, &[("if-match", "\"3\"")], Some(Verdict::Met));
        check(Method::PUT, &[("if-match", "\"2\", \"3\"")], Some(Verdict::Met));
        check(Method::PUT, &[("if-match", "\"2\""), ("if-match", "\"3\"")], Some(Verdict::Met));
        check(Method::PUT, &[("if-match", "*")], Some(Verdict::Met));
        check(Method::PUT, &[("if-match", "\"2\"")], Some(Verdict::Failed));
        check(Method::PUT, &[("if-match", "W/\"3\"")], Some(Verdict::Failed));
        check(Method::PUT, &[("if-match", "\"2,\"3\"")], None);
        check(Method::GET, &[("if-match", "\"2\"")], Some(Verdict::Failed));
    }

    #[test]
    fn if_none_match_compares_weakly_and_answers_reads_with_304() {
        check(Method::GET, &[("if-none-match", "\"3\"")], Some(Verdict::NotModified));
        check(Method::HEAD, &[("if-none-match", "W/\"3\"")], Some(Verdict::NotModified));
        check(Method::GET, &[("if-none-match", "*")], Some(Verdict::NotModified));
        check(Method::GET, &[("if-none-match", "\"a,b\", \"3\"")], Some(Verdict::NotModified));
        check(Method::GET, &[("if-none-match", "\"2\"")], Some(Verdict::Met));
        check(Method::PUT, &[("if-none-match", "*")], Some(Verdict::Failed));
        check(Method::DELETE, &[("if-none-match", "\"3\"")], Some(Verdict::Failed));
        check(Method::GET, &[("if-match", "\"2\""), ("if-none-match", "\"3\"")], Some(Verdict::Failed));
    }

    #[test]
    fn what_is_no_list_of_entity_tags_is_refused() {
        for value in ["", ",", "3", "\"3", "3\"", "w/\"3\"", "\"3\" \"4\"", "\"a b\"", "*, \"3\"", "\"3\"x"] {
            check(Method::GET, &[("if-match", value)], None);
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "[ -~]{0,40}") {
            verdict(Method::GET, &[("if-match", &value), ("if-none-match", &value)]);
        }
    }
}
