//! What to do about a request, given what is stored (RFC 9111 §4). Pure: the same values, the same plan.

use std::{sync::Arc, time::SystemTime};

use crate::{
    asked::Asked,
    cache_status::Forward,
    entry::{Entry, Variants},
    freshness::Unusable,
};

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Answer with it.
    Answer(Arc<Entry>),
    /// Answer with it, and ask meanwhile whether it is still right (RFC 5861 §3).
    AnswerStale(Arc<Entry>),
    /// Ask the origin; `stored` is what its answer may confirm.
    Fetch { why: Forward, stored: Option<Arc<Entry>> },
    /// `only-if-cached`, and nothing usable is stored: 504 (RFC 9111 §5.2.1.7).
    Refuse(Forward),
}

/// What a stored answer may do for a request that selects it.
enum Use {
    Answer,
    AnswerStale,
    /// Be confirmed.
    Confirm(Forward),
    Nothing,
}

/// Decides.
pub(crate) fn plan(asked: &Asked, variants: Option<&Variants>, now: SystemTime) -> Plan {
    let (why, stored) = match variants.map(|variants| variants.selected_by(asked)) {
        None => (Forward::UriMiss, None),
        Some(None) => (Forward::VaryMiss, None),
        Some(Some(entry)) => match usable(asked, entry, now) {
            Use::Answer => return Plan::Answer(Arc::clone(entry)),
            Use::AnswerStale => return Plan::AnswerStale(Arc::clone(entry)),
            Use::Confirm(why) => (why, Some(Arc::clone(entry))),
            Use::Nothing => (Forward::Request, None),
        },
    };
    if asked.control.only_if_cached { Plan::Refuse(why) } else { Plan::Fetch { why, stored } }
}

/// Whether an entry answers a request, fresh or while it is validated.
pub(crate) fn may_be_given(asked: &Asked, entry: &Entry, now: SystemTime) -> bool {
    let answers = || matches!(usable(asked, entry, now), Use::Answer | Use::AnswerStale);
    entry.head.is_selected_by(asked) && answers()
}

fn usable(asked: &Asked, entry: &Entry, now: SystemTime) -> Use {
    let freshness = &entry.head.freshness();
    if !entry.head.is_allowed_for(asked) {
        return Use::Nothing;
    }
    match freshness.usable(&asked.control, now) {
        Ok(()) => Use::Answer,
        Err(Unusable::Stale)
            if asked.shares() && freshness.usable_while_revalidating(&asked.control, now) =>
        {
            Use::AnswerStale
        }
        Err(Unusable::Stale) => Use::Confirm(Forward::Stale),
        Err(Unusable::Request) => Use::Confirm(Forward::Request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{asked, at};
    use http::Method;

    /// An answer that arrived at second 0.
    fn entry(request: &[(&str, &str)], answer: &[(&str, &str)]) -> Arc<Entry> {
        let head = crate::tests::head(&asked(Method::GET, "/a", request), answer, at(0.0));
        Arc::new(Entry::new(head, Vec::new().into(), 0))
    }

    fn check(stored: &[Arc<Entry>], request: &[(&str, &str)], now: f64, expected: &str) {
        let before = |variants: Option<Variants>, entry: &Arc<Entry>| {
            Some(Variants::with(variants.as_ref(), Arc::clone(entry)))
        };
        let variants = stored.iter().fold(None, before);
        let found = match plan(&asked(Method::GET, "/a", request), variants.as_ref(), at(now)) {
            Plan::Answer(entry) => format!("answer {}", nth(stored, &entry)),
            Plan::AnswerStale(entry) => format!("answer {} stale", nth(stored, &entry)),
            Plan::Refuse(why) => format!("refuse {}", why.word()),
            Plan::Fetch { why, stored: None } => format!("fetch {}", why.word()),
            Plan::Fetch { why, stored: Some(entry) } => {
                format!("confirm {} {}", nth(stored, &entry), why.word())
            }
        };
        assert_eq!(found, expected, "{request:?} at {now}");
    }

    fn nth(stored: &[Arc<Entry>], entry: &Arc<Entry>) -> usize {
        stored.iter().position(|other| Arc::ptr_eq(other, entry)).expect("one of the stored")
    }

    const TEN: (&str, &str) = ("cache-control", "max-age=10");

    #[test]
    fn what_is_fresh_answers_and_what_is_not_is_asked_for() {
        let stored = [entry(&[], &[TEN])];
        check(&[], &[], 0.0, "fetch uri-miss");
        check(&stored, &[], 9.9, "answer 0");
        check(&stored, &[], 10.0, "confirm 0 stale");
        check(&stored, &[("cache-control", "no-cache")], 0.0, "confirm 0 request");
        check(&stored, &[("pragma", "no-cache")], 0.0, "confirm 0 request");
        check(&stored, &[("cache-control", "only-if-cached")], 9.9, "answer 0");
        check(&stored, &[("cache-control", "only-if-cached")], 10.0, "refuse stale");
        check(&[], &[("cache-control", "only-if-cached")], 0.0, "refuse uri-miss");
    }

    #[test]
    fn what_may_be_used_while_it_is_validated_answers_plain_requests() {
        let stored = [entry(&[], &[("cache-control", "max-age=10, stale-while-revalidate=5")])];
        check(&stored, &[], 9.9, "answer 0");
        check(&stored, &[], 10.0, "answer 0 stale");
        check(&stored, &[("if-none-match", "\"a\"")], 14.9, "answer 0 stale");
        check(&stored, &[], 15.0, "confirm 0 stale");
        check(&stored, &[("range", "bytes=0-1")], 10.0, "confirm 0 stale");
        check(&stored, &[("cache-control", "max-age=60")], 10.0, "confirm 0 stale");
        check(&stored, &[("cache-control", "only-if-cached")], 10.0, "refuse stale");
    }

    #[test]
    fn a_request_gets_the_variant_it_selects() {
        let vary = [TEN, ("vary", "accept")];
        let (json, text) = ([("accept", "json")], [("accept", "text")]);
        let stored = [entry(&json, &vary), entry(&text, &vary), entry(&json, &vary)];
        check(&stored, &json, 0.0, "answer 2");
        check(&stored, &text, 0.0, "answer 1");
        check(&stored, &[], 0.0, "fetch vary-miss");
        check(&[entry(&json, &vary), entry(&[], &[TEN])], &json, 0.0, "answer 1");
    }

    #[test]
    fn a_request_with_authorization_gets_only_what_is_meant_for_everybody() {
        let user = [("authorization", "Basic x")];
        check(&[entry(&[], &[TEN])], &user, 0.0, "fetch request");
        check(&[entry(&user, &[("cache-control", "public, max-age=10")])], &user, 0.0, "answer 0");
        check(&[entry(&user, &[("cache-control", "public, max-age=10")])], &[], 0.0, "answer 0");
    }
}
