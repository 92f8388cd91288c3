//! This cache's member of `Cache-Status` (RFC 9211): what it did with one request.

use std::fmt::{self, Write};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// `Cache-Status`.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// Not one this cache answers at all.
    Bypass,
    /// Its method is always written through.
    Method,
    /// Nothing is stored for its target.
    UriMiss,
    /// Nothing that it selects.
    VaryMiss,
    /// It asks for something fresher than what is stored.
    Request,
    /// What is stored is stale.
    Stale,
}

impl Forward {
    /// Its token.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Forward::Bypass => "bypass",
            Forward::Method => "method",
            Forward::UriMiss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Request => "request",
            Forward::Stale => "stale",
        }
    }
}

/// One member; the cache's name is `cache`. `key` is never said: it may hold what is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// Answered from the store, by what stays fresh for `ttl` seconds; `detail` says what permitted it where that is negative.
    Hit { ttl: i64, detail: Option<&'static str> },
    Forwarded {
        why: Forward,
        /// The next hop's status, where there was an answer.
        status: Option<StatusCode>,
        stored: bool,
        /// Answered all the same by what is stored, which was fresh until so many seconds ago, and what permitted it.
        stale: Option<(i64, &'static str)>,
        /// `Some(true)`: answered by another request's fetch. `Some(false)`: waited for one in vain.
        collapsed: Option<bool>,
    },
}

impl Member {
    /// A request that went forward and was not stored.
    pub(crate) fn forwarded(why: Forward, status: Option<StatusCode>) -> Member {
        Member::Forwarded { why, status, stored: false, stale: None, collapsed: None }
    }

    /// Adds it after those of the caches nearer to the origin.
    pub(crate) fn append(&self, fields: &mut HeaderMap) {
        let mut text = String::with_capacity(64);
        // Writing into a String cannot fail.
        let _ = write!(text, "{self}");
        if let Ok(value) = HeaderValue::try_from(text) {
            fields.append(CACHE_STATUS, value);
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cache")?;
        match self {
            Member::Hit { ttl, detail } => {
                write!(f, "; hit; ttl={ttl}")?;
                detail.map_or(Ok(()), |detail| write!(f, "; detail={detail}"))
            }
            Member::Forwarded { why, status, stored, stale, collapsed } => {
                write!(f, "; fwd={}", why.word())?;
                if let Some(status) = status {
                    write!(f, "; fwd-status={}", status.as_u16())?;
                }
                if *stored {
                    f.write_str("; stored")?;
                }
                if let Some((ttl, detail)) = stale {
                    write!(f, "; ttl={ttl}; detail={detail}")?;
                }
                match collapsed {
                    Some(true) => f.write_str("; collapsed"),
                    Some(false) => f.write_str("; collapsed=?0"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_structured_field() {
        let check = |member: Member, expected: &str| assert_eq!(member.to_string(), expected);
        check(Member::Hit { ttl: 30, detail: None }, "cache; hit; ttl=30");
        check(Member::Hit { ttl: -3, detail: Some("x") }, "cache; hit; ttl=-3; detail=x");
        let stale = Member::Forwarded {
            why: Forward::Stale,
            status: Some(StatusCode::BAD_GATEWAY),
            stored: false,
            stale: Some((-3, "stale-if-error")),
            collapsed: None,
        };
        check(stale, "cache; fwd=stale; fwd-status=502; ttl=-3; detail=stale-if-error");
        check(Member::forwarded(Forward::Bypass, None), "cache; fwd=bypass");
        check(
            Member::forwarded(Forward::Method, Some(StatusCode::CREATED)),
            "cache; fwd=method; fwd-status=201",
        );
        let miss = |stored, collapsed| Member::Forwarded {
            why: Forward::UriMiss,
            status: Some(StatusCode::OK),
            stored,
            stale: None,
            collapsed,
        };
        check(miss(true, None), "cache; fwd=uri-miss; fwd-status=200; stored");
        check(miss(false, Some(true)), "cache; fwd=uri-miss; fwd-status=200; collapsed");
        check(miss(false, Some(false)), "cache; fwd=uri-miss; fwd-status=200; collapsed=?0");
    }

    #[test]
    fn a_member_follows_those_nearer_to_the_origin() {
        let mut fields = crate::tests::fields(&[("cache-status", "inner; hit")]);
        Member::Hit { ttl: 1, detail: None }.append(&mut fields);
        assert_eq!(
            fields,
            crate::tests::fields(&[("cache-status", "inner; hit"), ("cache-status", "cache; hit; ttl=1")])
        );
    }
}
