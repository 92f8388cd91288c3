//! The head of an answer that is stored or being stored.
//!
//! Promises: small, whatever it says (a million of them are kept), and cheap to clone. It never changes; what a 304
//! updates is a new one.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
use telemetry::SpanContext;

use super::{BLOCK, fields::Fields};
use crate::{
    asked::Asked,
    freshness::Freshness,
    groups::{Group, MEMBER},
    storing::{Storable, has_validator},
    vary::Selection,
};

/// The head of a stored answer, or of one that is being stored.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// As they are stored: without those of one hop or one exchange, with `Date`.
    pub(crate) fields: Fields,
    freshness: Packed,
    for_authorized: bool,
    seldom: Option<Box<Seldom>>,
    filled_by: Filler,
}

/// What most answers do not have, where one of it is had.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seldom {
    selection: Selection,
    /// Each once.
    groups: Box<[Group]>,
}

impl Head {
    /// `filled_by` is the SERVER span of the request whose fetch brought it.
    pub(crate) fn new(
        status: StatusCode,
        fields: HeaderMap,
        storable: Storable,
        filled_by: SpanContext,
    ) -> Head {
        let Storable { freshness, selection, for_authorized, groups } = storable;
        let seldom = Seldom { selection, groups };
        Head {
            status,
            fields: Fields::of(&fields),
            freshness: Packed::of(freshness),
            for_authorized,
            seldom: (seldom != Seldom::default()).then(|| Box::new(seldom)),
            filled_by: Filler::of(&filled_by),
        }
    }

    /// This one with fields that a 304 has confirmed and that are not to be stored any more: for one answer only.
    pub(crate) fn confirmed(&self, fields: &HeaderMap, received: SystemTime) -> Head {
        let freshness = Freshness { received, initial_age: Duration::ZERO, ..self.freshness() };
        Head { fields: Fields::of(fields), freshness: Packed::of(freshness), ..self.clone() }
    }

    /// This one, stale from `now` on.
    pub(crate) fn ended(&self, now: SystemTime) -> Head {
        Head { freshness: Packed::of(self.freshness().ended(now)), ..self.clone() }
    }

    /// What decides whether it is fresh.
    pub(crate) fn freshness(&self) -> Freshness {
        self.freshness.freshness()
    }

    /// The SERVER span of the request whose fetch brought it.
    pub(crate) fn filled_by(&self) -> SpanContext {
        self.filled_by.span_context()
    }

    /// Those it belongs to, each once.
    pub(crate) fn groups(&self) -> &[Group] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.groups)
    }

    /// Whether the origin can be asked to confirm it.
    pub(crate) fn has_validator(&self) -> bool {
        has_validator(&self.fields.to_map(0))
    }

    /// Whether it belongs to any of these groups.
    pub(crate) fn is_of(&self, groups: &[Group]) -> bool {
        self.groups().iter().any(|group| groups.contains(group))
    }

    /// Whether a request selects it under `Vary`.
    pub(crate) fn is_selected_by(&self, asked: &Asked) -> bool {
        self.selecting().is_none_or(|selection| selection.matches(&asked.fields))
    }

    /// Whether the same requests select this one and another.
    pub(crate) fn is_selected_as(&self, other: &Head) -> bool {
        self.selecting() == other.selecting()
    }

    /// The request fields that selected it.
    pub(crate) fn selection(&self) -> Cow<'_, Selection> {
        self.selecting().map_or_else(Cow::default, Cow::Borrowed)
    }

    /// `None`: every request selects it.
    fn selecting(&self) -> Option<&Selection> {
        self.seldom.as_ref().map(|seldom| &seldom.selection).filter(|selection| !selection.is_empty())
    }

    /// Whether its kind of request may have it at all: one with `Authorization` only what is meant for everybody, so
    /// that no user is ever given an answer that was made for another (RFC 9111 §3.5).
    pub(crate) fn is_allowed_for(&self, asked: &Asked) -> bool {
        !asked.authorized || self.for_authorized
    }

    /// Bytes held besides its own.
    pub(crate) fn weight(&self) -> usize {
        let seldom = |seldom: &Seldom| {
            size_of::<Seldom>() + BLOCK + seldom.selection.weight() + seldom.groups.len() * MEMBER
        };
        BLOCK + self.fields.size() + self.seldom.as_deref().map_or(0, seldom)
    }
}

/// A [`Freshness`] in less than half its room: nanoseconds, of which 64 bits last for 584 years, and seconds.
#[derive(Clone, Copy, Debug)]
struct Packed {
    lifetime: u64,
    initial_age: u64,
    /// Since the epoch.
    received: u64,
    /// In microseconds.
    response_delay: u32,
    while_revalidate: u32,
    if_error: u32,
    always_validate: bool,
    never_stale: bool,
}

impl Packed {
    /// What is too large is the largest; what arrived before the epoch arrived then.
    fn of(freshness: Freshness) -> Packed {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let received = freshness.received.duration_since(SystemTime::UNIX_EPOCH);
        Packed {
            lifetime: nanoseconds(freshness.lifetime),
            initial_age: nanoseconds(freshness.initial_age),
            received: nanoseconds(received.unwrap_or_default()),
            response_delay: u32::try_from(freshness.response_delay.as_micros()).unwrap_or(u32::MAX),
            while_revalidate: seconds(freshness.while_revalidate),
            if_error: seconds(freshness.if_error),
            always_validate: freshness.always_validate,
            never_stale: freshness.never_stale,
        }
    }

    fn freshness(self) -> Freshness {
        Freshness {
            lifetime: Duration::from_nanos(self.lifetime),
            initial_age: Duration::from_nanos(self.initial_age),
            received: SystemTime::UNIX_EPOCH + Duration::from_nanos(self.received),
            response_delay: Duration::from_micros(self.response_delay.into()),
            while_revalidate: Duration::from_secs(self.while_revalidate.into()),
            if_error: Duration::from_secs(self.if_error.into()),
            always_validate: self.always_validate,
            never_stale: self.never_stale,
        }
    }
}

/// The place of a span in its trace. Without its `tracestate`, up to 512 bytes of others' that a link does not need.
#[derive(Clone, Copy, Debug)]
struct Filler {
    trace: [u8; 16],
    span: [u8; 8],
    flags: TraceFlags,
    is_remote: bool,
}

impl Filler {
    fn of(context: &SpanContext) -> Filler {
        Filler {
            trace: context.trace_id().to_bytes(),
            span: context.span_id().to_bytes(),
            flags: context.trace_flags(),
            is_remote: context.is_remote(),
        }
    }

    fn span_context(self) -> SpanContext {
        let (trace, span) = (TraceId::from_bytes(self.trace), SpanId::from_bytes(self.span));
        SpanContext::new(trace, span, self.flags, self.is_remote, TraceState::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::Policy,
        storing::may_store,
        tests::{asked, at, fields},
    };
    use http::Method;

    /// An answer that was asked for at second 1000.5 and came half a second later.
    fn storable(request: &[(&str, &str)], answer: &[(&str, &str)]) -> Storable {
        let asked = asked(Method::GET, "/a", request);
        let policy = Policy { heuristic_freshness: true, ..Policy::default() };
        may_store(&asked, policy, StatusCode::OK, &fields(answer), at(1000.5), at(1001.0)).expect("storable")
    }

    fn head(request: &[(&str, &str)], answer: &[(&str, &str)], filled_by: SpanContext) -> Head {
        Head::new(StatusCode::OK, fields(answer), storable(request, answer), filled_by)
    }

    #[test]
    fn what_decides_about_freshness_is_kept() {
        let check = |freshness: Freshness| {
            let kept = Packed::of(freshness).freshness();
            assert_eq!(kept, freshness);
        };
        let date = "Thu, 01 Jan 1970 00:16:33 GMT";
        for answer in [
            &[("cache-control", "max-age=60, stale-while-revalidate=5, stale-if-error=2147483648")][..],
            &[("cache-control", "s-maxage=2147483648"), ("age", "7")],
            &[("cache-control", "no-cache"), ("etag", "\"a\"")],
            &[("last-modified", date)],
        ] {
            let freshness = storable(&[], answer).freshness;
            check(freshness);
            check(freshness.ended(at(1001.123)));
            assert_eq!(head(&[], answer, SpanContext::NONE).freshness(), freshness);
        }
        let lasting = storable(&[], &[("cache-control", "max-age=60")]).freshness;
        let longest = Freshness { lifetime: Duration::MAX, ..lasting };
        assert!(Packed::of(longest).freshness().lifetime > Duration::from_secs(500 * 365 * 86_400));
    }

    #[test]
    fn what_a_304_confirms_has_just_arrived() {
        let answer = [("cache-control", "max-age=60"), ("age", "7")];
        let head = head(&[], &answer, SpanContext::NONE);
        let confirmed = head.confirmed(&fields(&answer[..1]), at(2000.25));
        assert_eq!(head.freshness().age(at(1001.0)), Some(Duration::from_millis(7500)));
        assert_eq!(confirmed.freshness().age(at(2000.5)), Some(Duration::from_millis(250)));
        assert_eq!(confirmed.fields.to_map(0), fields(&answer[..1]));
    }

    #[test]
    fn a_request_selects_by_what_the_answer_varies_on() {
        let (json, text) = ([("accept", "json")], [("accept", "text")]);
        let vary = [("cache-control", "max-age=60"), ("vary", "accept")];
        let groups = [vary[0], ("cache-groups", "\"a\"")];
        let check = |head: &Head, request: &[(&str, &str)], expected: bool| {
            assert_eq!(
                head.is_selected_by(&asked(Method::GET, "/a", request)),
                expected,
                "{head:?} {request:?}"
            );
        };
        let varies = head(&json, &vary, SpanContext::NONE);
        check(&varies, &json, true);
        check(&varies, &text, false);
        let (plain, grouped) =
            (head(&json, &vary[..1], SpanContext::NONE), head(&json, &groups, SpanContext::NONE));
        check(&plain, &text, true);
        check(&grouped, &text, true);
        assert!(plain.is_selected_as(&grouped) && !plain.is_selected_as(&varies));
        assert_eq!((plain.groups().len(), grouped.groups().len()), (0, 1));
    }

    #[test]
    fn the_span_that_filled_it_is_kept() {
        let span = SpanContext::new(
            TraceId::from_bytes([1; 16]),
            SpanId::from_bytes([2; 8]),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        let answer = [("cache-control", "max-age=60")];
        assert_eq!(head(&[], &answer, span.clone()).filled_by(), span);
        assert_eq!(head(&[], &answer, SpanContext::NONE).filled_by(), SpanContext::NONE);
    }
}
