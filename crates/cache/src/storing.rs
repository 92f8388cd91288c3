//! Whether an answer may be stored, and what is kept of it (RFC 9111 §3).
//!
//! Promises: only what is fresh or can be validated is stored, and never what is meant for one user, unless a policy says so.
//! Refuses: judging bodies, which only [`crate::fetch`] sees.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::{
    asked::Asked,
    cache_control::{self, CacheControl},
    freshness::Freshness,
    groups::{self, Group},
    key::Key,
    language,
    policy::Policy,
    vary::{self, Selection, Vary},
};

/// Fields that belong to one exchange or one hop and are never stored: what RFC 9111 §3.1 names, and what our own
/// services make anew for every request.
const NOT_STORED: [HeaderName; 12] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("traceresponse"),
    HeaderName::from_static("x-trace-id"),
];

/// Why an answer is not stored; the word is that of `throughline.cache.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request was HEAD.
    Method,
    /// The request says `no-store`.
    RequestNoStore,
    /// Not final, partial, or not to be stored without understanding it (206, 304, `must-understand`).
    Status,
    /// `no-store`, or a `Cache-Control` in which it may hide.
    NoStore,
    /// `private`, with or without field names.
    Private,
    /// The request carried `Authorization` and the answer does not permit it (RFC 9111 §3.5).
    Authorization,
    /// `Set-Cookie`: meant for one user, whatever else it says.
    SetCookie,
    /// No other request can select it.
    Vary,
    /// It says nothing of its lifetime.
    Freshness,
    /// Stale at once, and nothing to validate it by.
    Useless,
    /// Nothing says where its body ends: cut off, it would look whole (RFC 9112 §8).
    Unframed,
    /// Larger than `--max-object-bytes`.
    TooLarge,
    /// Too many others are being stored right now.
    NoRoom,
}

impl Refusal {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Refusal::Method => "method",
            Refusal::RequestNoStore => "request-no-store",
            Refusal::Status => "status",
            Refusal::NoStore => "no-store",
            Refusal::Private => "private",
            Refusal::Authorization => "authorization",
            Refusal::SetCookie => "set-cookie",
            Refusal::Vary => "vary",
            Refusal::Freshness => "freshness",
            Refusal::Useless => "useless",
            Refusal::Unframed => "unframed",
            Refusal::TooLarge => "too-large",
            Refusal::NoRoom => "no-room",
        }
    }
}

/// What storing an answer needs to know besides its fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storable {
    pub(crate) freshness: Freshness,
    pub(crate) selection: Selection,
    /// It may also answer requests with `Authorization` (RFC 9111 §3.5).
    pub(crate) for_authorized: bool,
    /// It falls with any of these (RFC 9875).
    pub(crate) groups: Box<[Group]>,
}

/// Decides on a whole answer to `asked`; the times are those of sending the request and receiving the head.
pub(crate) fn may_store(
    asked: &Asked,
    policy: Policy,
    status: StatusCode,
    fields: &HeaderMap,
    requested: SystemTime,
    received: SystemTime,
) -> Result<Storable, Refusal> {
    let control = cache_control::of_answer(fields);
    if asked.head {
        return Err(Refusal::Method);
    }
    if asked.control.no_store || asked.control.malformed {
        return Err(Refusal::RequestNoStore);
    }
    may_be_kept(&control, policy, status, fields)?;
    let for_authorized = is_for_authorized(&control);
    if asked.authorized && !for_authorized {
        return Err(Refusal::Authorization);
    }
    let Vary::Fields(names) = vary::read(fields) else {
        return Err(Refusal::Vary);
    };
    let guesses = guesses(&control, policy, status);
    let freshness =
        Freshness::of(&control, fields, guesses, requested, received).ok_or(Refusal::Freshness)?;
    if !freshness.is_fresh(received) && !has_validator(fields) {
        return Err(Refusal::Useless);
    }
    let groups = groups::of_answer(&asked.key, fields);
    let selection = Selection::of(names, &asked.fields).speaking(spoken(policy, fields));
    Ok(Storable { freshness, selection, for_authorized, groups })
}

/// What another cache has stored for `key`, under this one's rules and policy: `age` old at `received`, and `delay` in
/// coming from the origin. The refusal says why this cache would not have stored it.
pub(crate) fn may_restore(
    key: &Key,
    policy: Policy,
    (status, fields): (StatusCode, &HeaderMap),
    selection: Selection,
    (age, delay): (Duration, Duration),
    received: SystemTime,
) -> Result<Storable, Refusal> {
    let control = cache_control::of_answer(fields);
    may_be_kept(&control, policy, status, fields)?;
    let guesses = guesses(&control, policy, status);
    let freshness = Freshness::of(&control, fields, guesses, received, received).ok_or(Refusal::Freshness)?;
    // Its `Date` says at least how old it is, should Redis's clock have been set back.
    let initial_age = age.max(freshness.initial_age);
    let freshness = Freshness { initial_age, response_delay: delay, ..freshness };
    let groups = groups::of_answer(key, fields);
    let selection = selection.speaking(spoken(policy, fields));
    Ok(Storable { freshness, selection, for_authorized: is_for_authorized(&control), groups })
}

fn spoken(policy: Policy, fields: &HeaderMap) -> Option<String> {
    if policy.language_aware { language::spoken(fields) } else { None }
}

/// What says of an answer alone, whoever asked for it, that it must not be kept.
fn may_be_kept(
    control: &CacheControl,
    policy: Policy,
    status: StatusCode,
    fields: &HeaderMap,
) -> Result<(), Refusal> {
    if !is_whole(status) || control.must_understand && !is_understood(status) {
        return Err(Refusal::Status);
    }
    if control.no_store || control.malformed {
        return Err(Refusal::NoStore);
    }
    if control.private {
        return Err(Refusal::Private);
    }
    if fields.contains_key(header::SET_COOKIE) && !policy.store_set_cookie {
        return Err(Refusal::SetCookie);
    }
    Ok(())
}

/// RFC 9111 §3.5.
fn is_for_authorized(control: &CacheControl) -> bool {
    control.public || control.s_maxage.is_some() || control.must_revalidate
}

/// RFC 9111 §4.2.2.
fn guesses(control: &CacheControl, policy: Policy, status: StatusCode) -> bool {
    policy.heuristic_freshness && (is_heuristically_cacheable(status) || control.public)
}

/// The fields to store: copied, so that an entry holds nothing of the buffer they were read into, without those of
/// one hop or one exchange, and with the `Date` that a recipient must add (RFC 9110 §6.6.1).
pub(crate) fn kept_fields(fields: &HeaderMap, received: SystemTime) -> HeaderMap {
    let listed: Vec<&str> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    let mut kept = HeaderMap::with_capacity(fields.keys_len() + 1);
    for (name, value) in fields {
        let of_the_hop = listed.iter().any(|listed| name.as_str().eq_ignore_ascii_case(listed));
        if of_the_hop || NOT_STORED.contains(name) {
            continue;
        }
        if let Ok(copy) = http::HeaderValue::from_bytes(value.as_bytes()) {
            kept.append(name.clone(), copy);
        }
    }
    with_date(&mut kept, received);
    kept
}

/// RFC 9110 §6.6.1: who receives an answer without `Date` adds one.
pub(crate) fn with_date(fields: &mut HeaderMap, received: SystemTime) {
    if !fields.contains_key(header::DATE)
        && let Ok(now) = httpdate::fmt_http_date(received).parse()
    {
        fields.insert(header::DATE, now);
    }
}

/// Final, and neither a part (206) nor a word about another answer (304). `Content-Range` means nothing elsewhere
/// (RFC 9110 §14.4).
fn is_whole(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
        && status != StatusCode::PARTIAL_CONTENT
        && status != StatusCode::NOT_MODIFIED
}

/// RFC 9110 §15.1.
fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose caching this cache knows the rules of (RFC 9110 §15.1, RFC 9111 §5.2.2.3).
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 302 | 303 | 307 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Whether the origin can be asked to confirm it (RFC 9111 §4.3.1).
pub(crate) fn has_validator(fields: &HeaderMap) -> bool {
    fields.contains_key(header::ETAG) || fields.contains_key(header::LAST_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{asked, at, fields};
    use proptest::prelude::*;

    fn decide_by(
        policy: Policy,
        request: &[(&str, &str)],
        status: u16,
        answer: &[(&str, &str)],
    ) -> Result<Storable, Refusal> {
        let status = StatusCode::from_u16(status).expect("a status");
        let asked = asked(http::Method::GET, "/a", request);
        may_store(&asked, policy, status, &fields(answer), at(1000.0), at(1000.0))
    }

    fn decide(request: &[(&str, &str)], status: u16, answer: &[(&str, &str)]) -> Result<Storable, Refusal> {
        decide_by(Policy::default(), request, status, answer)
    }

    fn check(request: &[(&str, &str)], status: u16, answer: &[(&str, &str)], expected: Result<(), Refusal>) {
        assert_eq!(decide(request, status, answer).map(|_| ()), expected, "{request:?} {status} {answer:?}");
    }

    const FRESH: (&str, &str) = ("cache-control", "max-age=60");

    #[test]
    fn what_is_explicitly_fresh_is_stored() {
        for status in [200, 203, 204, 299, 301, 404, 410, 499, 500, 599] {
            check(&[], status, &[FRESH], Ok(()));
        }
        check(&[], 200, &[("cache-control", "s-maxage=60, max-age=0")], Ok(()));
        check(&[], 200, &[("expires", "Thu, 01 Jan 2037 00:00:00 GMT")], Ok(()));
        check(&[], 200, &[("cache-control", "no-cache"), ("etag", "\"a\"")], Ok(()));
        check(&[], 200, &[("cache-control", "max-age=0"), ("last-modified", "x")], Ok(()));
        check(&[("cookie", "a=b")], 200, &[FRESH], Ok(()));
    }

    #[test]
    fn what_is_not_explicitly_fresh_is_not() {
        check(&[], 200, &[], Err(Refusal::Freshness));
        check(&[], 200, &[("etag", "\"a\"")], Err(Refusal::Freshness));
        check(&[], 200, &[("cache-control", "public")], Err(Refusal::Freshness));
        check(&[], 200, &[("cache-control", "no-cache")], Err(Refusal::Useless));
        check(&[], 200, &[("cache-control", "max-age=0")], Err(Refusal::Useless));
        check(&[], 200, &[FRESH, ("age", "60")], Err(Refusal::Useless));
    }

    #[test]
    fn parts_and_unknown_meanings_are_not_stored() {
        check(&[], 206, &[FRESH], Err(Refusal::Status));
        check(&[], 304, &[FRESH], Err(Refusal::Status));
        check(&[], 101, &[FRESH], Err(Refusal::Status));
        check(&[], 200, &[FRESH, ("content-range", "bytes 0-1/2")], Ok(()));
        check(&[], 299, &[("cache-control", "max-age=60, must-understand")], Err(Refusal::Status));
        check(&[], 200, &[("cache-control", "max-age=60, must-understand")], Ok(()));
        check(&[], 200, &[FRESH, ("vary", "*")], Err(Refusal::Vary));
        check(&[], 200, &[FRESH, ("vary", "a"), ("vary", "*")], Err(Refusal::Vary));
    }

    #[test]
    fn what_is_meant_for_one_user_is_not_stored() {
        check(&[], 200, &[("cache-control", "No-Store,max-age=60")], Err(Refusal::NoStore));
        check(&[], 200, &[FRESH, ("cache-control", "no-store")], Err(Refusal::NoStore));
        check(&[], 200, &[("cache-control", "max-age=60; no-store")], Err(Refusal::NoStore));
        check(&[], 200, &[("cache-control", "PRIVATE, max-age=60")], Err(Refusal::Private));
        check(&[], 200, &[("cache-control", "private=\"a\", max-age=60")], Err(Refusal::Private));
        check(&[], 200, &[("cache-control", "private, s-maxage=60")], Err(Refusal::Private));
        check(&[], 200, &[FRESH, ("set-cookie", "a=b")], Err(Refusal::SetCookie));
        check(
            &[],
            200,
            &[("cache-control", "public, max-age=60"), ("set-cookie", "a")],
            Err(Refusal::SetCookie),
        );
        check(&[("cache-control", "no-store")], 200, &[FRESH], Err(Refusal::RequestNoStore));
        check(&[("cache-control", "a b")], 200, &[FRESH], Err(Refusal::RequestNoStore));
    }

    #[test]
    fn a_policy_may_let_a_lifetime_be_guessed_and_cookies_be_kept() {
        let guesses = Policy { heuristic_freshness: true, ..Policy::default() };
        let check = |policy, status, answer: &[(&str, &str)], expected: Result<(), Refusal>| {
            assert_eq!(decide_by(policy, &[], status, answer).map(|_| ()), expected, "{status} {answer:?}");
        };
        let old = ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT");
        let public = ("cache-control", "public");
        check(Policy::default(), 200, &[old, public], Err(Refusal::Freshness));
        check(guesses, 200, &[public], Err(Refusal::Freshness));
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            check(guesses, status, &[old], Ok(()));
        }
        for status in [201, 202, 302, 307, 403, 502, 503, 599] {
            check(guesses, status, &[old], Err(Refusal::Freshness));
            check(guesses, status, &[old, public], Ok(()));
        }
        let cookies = Policy { store_set_cookie: true, ..Policy::default() };
        check(cookies, 200, &[FRESH, ("set-cookie", "a=b")], Ok(()));
        check(cookies, 200, &[("cache-control", "private"), ("set-cookie", "a=b")], Err(Refusal::Private));
    }

    #[test]
    fn what_is_said_to_caches_like_this_one_goes_before() {
        check(&[], 200, &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")], Ok(()));
        check(&[], 200, &[FRESH, ("cdn-cache-control", "no-store")], Err(Refusal::NoStore));
        check(&[], 200, &[FRESH, ("cdn-cache-control", "private")], Err(Refusal::Private));
        check(&[], 200, &[FRESH, ("cdn-cache-control", "no store")], Ok(()));
    }

    #[test]
    fn authorization_needs_permission() {
        let user = [("authorization", "Basic x")];
        check(&user, 200, &[FRESH], Err(Refusal::Authorization));
        check(&user, 200, &[("cache-control", "max-age=60, public=1")], Err(Refusal::Authorization));
        for permission in ["public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"] {
            check(&user, 200, &[("cache-control", permission)], Ok(()));
        }
        assert!(!decide(&[], 200, &[FRESH]).expect("storable").for_authorized);
    }

    #[test]
    fn fields_of_one_exchange_are_not_kept() {
        let answer = fields(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("x-trace-id", "1"),
            ("server-timing", "db"),
            ("traceresponse", "00"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ]);
        let kept = kept_fields(&answer, at(0.0));
        let expected = [("x-twice", "1"), ("x-twice", "2"), ("date", "Thu, 01 Jan 1970 00:00:00 GMT")];
        assert_eq!(kept, fields(&expected));
    }

    fn directive() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z-]{0,12}",
            "[ -~]{0,30}",
            Just("no-store".into()),
            Just("private=\"x\"".into()),
            Just("x=\"".into()),
            Just("max-age=".into()),
            Just("max-age=5".into()),
            Just("must-understand".into()),
        ]
    }

    proptest! {
        /// Only `public`, `must-revalidate`, `max-age` and `s-maxage` permit anything: whatever else is added to a
        /// `Cache-Control` makes the answer no more storable and no longer fresh than it was.
        #[test]
        fn what_is_unknown_never_permits(
            known in proptest::sample::select(vec!["", "public", "max-age=60", "max-age=60, public", "no-store"]),
            added in directive(),
            own_line in any::<bool>(),
            authorized in any::<bool>(),
        ) {
            let lower = added.to_ascii_lowercase();
            let permits = ["public", "must-revalidate", "s-maxage"].iter().any(|word| lower.contains(word))
                || lower.contains("max-age") && !known.contains("max-age");
            prop_assume!(!permits);
            let request: &[(&str, &str)] = if authorized { &[("authorization", "x")] } else { &[] };
            let joined = format!("{known}, {added}");
            let before = decide(request, 200, &[("cache-control", known)]);
            let after = if own_line {
                decide(request, 200, &[("cache-control", known), ("cache-control", &added)])
            } else {
                decide(request, 200, &[("cache-control", &joined)])
            };
            if let Ok(after) = after {
                let before = before.expect("no more storable than before");
                prop_assert!(after.freshness.lifetime <= before.freshness.lifetime);
            }
        }
    }
}
