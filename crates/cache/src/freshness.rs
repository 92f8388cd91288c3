//! How long an answer may be used, how old it is, and whether it is still good enough for a request
//! (RFC 9111 §4.2).
//!
//! Promises: only explicit lifetimes count, unless a policy lets one be guessed from `Last-Modified`; a clock that was set
//! back makes an entry stale, never fresher; an answer that forbids it is never used stale.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use crate::cache_control::{CacheControl, seconds};

/// What decides whether a stored answer is fresh, read once when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// RFC 9111 §4.2.1.
    pub(crate) lifetime: Duration,
    /// `corrected_initial_age` (RFC 9111 §4.2.3).
    pub(crate) initial_age: Duration,
    /// When the answer's head arrived.
    pub(crate) received: SystemTime,
    /// How long after it was asked for (`response_delay`, RFC 9111 §4.2.3): what a hit saves.
    pub(crate) response_delay: Duration,
    /// `no-cache`: to be validated before each use (RFC 9111 §5.2.2.4).
    pub(crate) always_validate: bool,
    /// How long after its lifetime it may be used while it is validated (RFC 5861 §3).
    pub(crate) while_revalidate: Duration,
    /// How long after its lifetime it may be used where the origin fails (RFC 5861 §4).
    pub(crate) if_error: Duration,
    /// It forbids every use after its lifetime (RFC 9111 §4.2.4).
    pub(crate) never_stale: bool,
}

/// The longest lifetime that is guessed.
const LONGEST_GUESS: Duration = Duration::from_secs(86_400);

/// Why a stored answer must not be used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its lifetime is over, or it is to be validated always.
    Stale,
    /// The request asks for something fresher.
    Request,
}

impl Freshness {
    /// Reads it from an answer whose request was sent at `requested` and whose head arrived at `received`. `None`: it
    /// says nothing of its lifetime.
    pub(crate) fn of(
        control: &CacheControl,
        fields: &HeaderMap,
        guesses: bool,
        requested: SystemTime,
        received: SystemTime,
    ) -> Option<Freshness> {
        let lifetime = lifetime(control, fields, received)
            .or_else(|| if guesses { guessed(fields, received) } else { None });
        let window = |seconds: Option<u64>| Duration::from_secs(seconds.unwrap_or(0));
        (lifetime.is_some() || control.no_cache).then(|| Freshness {
            lifetime: lifetime.unwrap_or_default(),
            initial_age: initial_age(fields, requested, received),
            received,
            response_delay: received.duration_since(requested).unwrap_or_default(),
            always_validate: control.no_cache,
            while_revalidate: window(control.stale_while_revalidate),
            if_error: window(control.stale_if_error),
            // `s-maxage` has the meaning of `proxy-revalidate` (RFC 9111 §5.2.2.10).
            never_stale: control.revalidate || control.s_maxage.is_some() || control.no_cache,
        })
    }

    /// The same, with a lifetime that is over at `now`.
    pub(crate) fn ended(self, now: SystemTime) -> Freshness {
        Freshness { lifetime: self.lifetime.min(self.age(now).unwrap_or_default()), ..self }
    }

    /// `current_age` (RFC 9111 §4.2.3); `None` when the clock says it has not arrived yet.
    pub(crate) fn age(&self, now: SystemTime) -> Option<Duration> {
        let resident = now.duration_since(self.received).ok()?;
        Some(self.initial_age.saturating_add(resident))
    }

    /// Whether it may be used at all at `now` without asking the origin.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        !self.always_validate && self.age(now).is_some_and(|age| age < self.lifetime)
    }

    /// Whole seconds it is still fresh for, as `ttl` says it (RFC 9211 §2.5); negative when it no longer is.
    pub(crate) fn ttl(&self, now: SystemTime) -> i64 {
        let whole = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let age = self.age(now).unwrap_or(self.lifetime);
        match self.lifetime.checked_sub(age) {
            Some(left) => whole(left),
            None => -whole(age - self.lifetime),
        }
    }

    /// Whether it may answer a request with these directives (RFC 9111 §4, §5.2.1). `max-stale` permits and does not
    /// oblige: it is ignored.
    pub(crate) fn usable(&self, asked: &CacheControl, now: SystemTime) -> Result<(), Unusable> {
        let Some(age) = self.age(now).filter(|_| self.is_fresh(now)) else {
            return Err(Unusable::Stale);
        };
        if self.satisfies(asked, age) { Ok(()) } else { Err(Unusable::Request) }
    }

    /// Whether it may answer such a request although its lifetime is over, while the origin is asked again (RFC 5861 §3).
    pub(crate) fn usable_while_revalidating(&self, asked: &CacheControl, now: SystemTime) -> bool {
        self.usable_stale(asked, self.while_revalidate, now)
    }

    /// Whether it may answer such a request although its lifetime is over, where the origin has failed (RFC 5861 §4), or
    /// where that lifetime is over for no longer than `besides`.
    pub(crate) fn usable_on_error(&self, asked: &CacheControl, besides: Duration, now: SystemTime) -> bool {
        let asked_for = Duration::from_secs(asked.stale_if_error.unwrap_or(0));
        self.usable_stale(asked, self.if_error.max(asked_for).max(besides), now)
    }

    fn usable_stale(&self, asked: &CacheControl, window: Duration, now: SystemTime) -> bool {
        let within = |age: &Duration| *age < self.lifetime.saturating_add(window);
        let age = self.age(now).filter(within);
        !self.never_stale && age.is_some_and(|age| self.satisfies(asked, age))
    }

    fn satisfies(&self, asked: &CacheControl, age: Duration) -> bool {
        let too_old = asked.max_age.is_some_and(|most| age > Duration::from_secs(most));
        let least = Duration::from_secs(asked.min_fresh.unwrap_or(0));
        let too_short = self.lifetime.saturating_sub(age) < least;
        !(asked.no_cache || asked.malformed || too_old || too_short)
    }
}

/// A tenth of the time between `Last-Modified` and `Date` (RFC 9111 §4.2.2).
fn guessed(fields: &HeaderMap, received: SystemTime) -> Option<Duration> {
    let modified = date(fields, &header::LAST_MODIFIED)?;
    let unchanged = date(fields, &header::DATE).unwrap_or(received).duration_since(modified).ok()?;
    Some((unchanged / 10).min(LONGEST_GUESS))
}

/// `s-maxage`, else `max-age`, else `Expires` − `Date` (RFC 9111 §4.2.1, for a shared cache).
fn lifetime(control: &CacheControl, fields: &HeaderMap, received: SystemTime) -> Option<Duration> {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return Some(Duration::from_secs(seconds));
    }
    if control.is_targeted {
        return None;
    }
    let mut lines = fields.get_all(header::EXPIRES).iter();
    let expires = lines.next()?;
    if lines.any(|other| other != expires) {
        return Some(Duration::ZERO);
    }
    let from = date(fields, &header::DATE).unwrap_or(received);
    // RFC 9111 §5.3: an unreadable date, `0` above all, is one in the past.
    let until = date(fields, &header::EXPIRES).unwrap_or(from);
    Some(until.duration_since(from).unwrap_or_default())
}

/// RFC 9111 §4.2.3. The apparent age counts whole seconds, as `Date` does; a `Date` ahead of us counts as now.
fn initial_age(fields: &HeaderMap, requested: SystemTime, received: SystemTime) -> Duration {
    let apparent = date(fields, &header::DATE)
        .and_then(|date| received.duration_since(date).ok())
        .map_or(Duration::ZERO, |age| Duration::from_secs(age.as_secs()));
    let delay = received.duration_since(requested).unwrap_or_default();
    let corrected = Duration::from_secs(said_age(fields)).saturating_add(delay);
    apparent.max(corrected)
}

/// `Age`: the first value of several; ignored when it is no number (RFC 9111 §5.1).
fn said_age(fields: &HeaderMap) -> u64 {
    let first = fields.get(header::AGE).and_then(|line| line.as_bytes().split(|byte| *byte == b',').next());
    seconds(first.map(<[u8]>::trim_ascii)).unwrap_or(0)
}

/// A field's HTTP date, in any of the three forms (RFC 9110 §5.6.7).
pub(crate) fn date(fields: &HeaderMap, name: &header::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(fields.get(name)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_control;
    use crate::tests::{at, fields};

    /// Answers are asked for at second 1000 and arrive at second 1000; dates are said relative to that.
    fn freshness(lines: &[(&str, &str)]) -> Option<Freshness> {
        let fields = fields(lines);
        Freshness::of(&cache_control::of_answer(&fields), &fields, false, at(1000.0), at(1000.0))
    }

    fn http_date(second: f64) -> String {
        httpdate::fmt_http_date(at(second))
    }

    #[test]
    fn lifetime_is_what_was_said_explicitly() {
        let check = |lines: &[(&str, &str)], expected: Option<u64>| {
            let found = freshness(lines).map(|freshness| freshness.lifetime.as_secs());
            assert_eq!(found, expected, "{lines:?}");
        };
        let (date, later, earlier) = (http_date(1000.0), http_date(1030.0), http_date(900.0));
        check(&[], None);
        check(&[("last-modified", &earlier)], None);
        check(&[("cache-control", "public")], None);
        check(&[("cache-control", "max-age=10")], Some(10));
        check(&[("cache-control", "max-age=10, s-maxage=5")], Some(5));
        check(&[("cache-control", "max-age=10"), ("expires", &later), ("date", &date)], Some(10));
        check(&[("expires", &later), ("date", &date)], Some(30));
        check(&[("expires", &later)], Some(30));
        check(&[("expires", &earlier), ("date", &date)], Some(0));
        check(&[("expires", "0")], Some(0));
        check(&[("expires", "never"), ("date", &date)], Some(0));
        check(&[("expires", &later), ("expires", &earlier), ("date", &date)], Some(0));
        check(&[("cache-control", "max-age=x"), ("expires", &later), ("date", &date)], Some(0));
        check(&[("cache-control", "no-cache")], Some(0));
    }

    #[test]
    fn a_field_for_caches_like_this_one_says_the_lifetime_alone() {
        let check = |lines: &[(&str, &str)], expected: Option<u64>| {
            let found = freshness(lines).map(|freshness| freshness.lifetime.as_secs());
            assert_eq!(found, expected, "{lines:?}");
        };
        let later = http_date(1030.0);
        let (plain, expires) = (("cache-control", "max-age=10, s-maxage=20"), ("expires", later.as_str()));
        check(&[("cdn-cache-control", "max-age=600"), plain, expires], Some(600));
        check(&[("cdn-cache-control", "public"), plain, expires], None);
        check(&[("cdn-cache-control", "max-age=600,"), plain, expires], Some(20));
    }

    #[test]
    fn a_lifetime_is_guessed_only_where_that_is_wanted_and_nothing_was_said() {
        let check = |lines: &[(&str, &str)], expected: Option<f64>| {
            let fields = fields(lines);
            let control = cache_control::of_answer(&fields);
            let guessed = Freshness::of(&control, &fields, true, at(1000.0), at(1000.0));
            assert_eq!(guessed.map(|guessed| guessed.lifetime.as_secs_f64()), expected, "{lines:?}");
        };
        let (date, earlier, later) = (http_date(900.0), http_date(800.0), http_date(1100.0));
        check(&[], None);
        check(&[("last-modified", &earlier)], Some(20.0));
        check(&[("last-modified", &earlier), ("date", &date)], Some(10.0));
        check(&[("last-modified", &later)], None);
        check(&[("last-modified", "x")], None);
        check(&[("last-modified", &earlier), ("cache-control", "max-age=5")], Some(5.0));
        check(&[("last-modified", &earlier), ("expires", "0")], Some(0.0));
        check(
            &[("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"), ("date", "Sat, 01 Jan 2000 00:00:00 GMT")],
            Some(86_400.0),
        );
    }

    #[test]
    fn age_counts_what_others_said_and_the_way() {
        let check = |lines: &[(&str, &str)], expected: f64| {
            let fields = fields(lines);
            let age = initial_age(&fields, at(999.5), at(1000.0));
            assert_eq!(age.as_secs_f64(), expected, "{lines:?}");
        };
        check(&[], 0.5);
        check(&[("age", "7")], 7.5);
        check(&[("age", "7, 9")], 7.5);
        check(&[("age", "-7")], 0.5);
        check(&[("age", "x")], 0.5);
        check(&[("age", "99999999999999999999999")], 2_147_483_648.5);
        check(&[("date", &http_date(990.0))], 10.0);
        check(&[("date", &http_date(990.0)), ("age", "20")], 20.5);
        check(&[("date", &http_date(1100.0))], 0.5);
        check(&[("date", "yesterday")], 0.5);
    }

    #[test]
    fn fresh_ends_exactly_with_the_lifetime() {
        let ten = freshness(&[("cache-control", "max-age=10")]).expect("a lifetime");
        let check = |now: f64, fresh: bool, ttl: i64| {
            assert_eq!((ten.is_fresh(at(now)), ten.ttl(at(now))), (fresh, ttl), "{now}");
        };
        check(1000.0, true, 10);
        check(1009.999, true, 0);
        check(1010.0, false, 0);
        check(1015.0, false, -5);
        check(999.0, false, 0);
        let validated = freshness(&[("cache-control", "max-age=10, no-cache")]).expect("a lifetime");
        assert!(!validated.is_fresh(at(1000.0)));
    }

    #[test]
    fn an_answer_is_used_stale_only_where_it_permits_that_and_the_request_does_not_mind() {
        const NONE: Duration = Duration::ZERO;
        let check = |answer: &str, asked: &str, besides: Duration, now: f64, expected: (bool, bool)| {
            let stored = freshness(&[("cache-control", answer)]).expect("a lifetime");
            let control = cache_control::read(&fields(&[("cache-control", asked)]));
            let found = (
                stored.usable_while_revalidating(&control, at(now)),
                stored.usable_on_error(&control, besides, at(now)),
            );
            assert_eq!(found, expected, "{answer:?} {asked:?} {now}");
        };
        let (both, minute) =
            ("max-age=10, stale-while-revalidate=5, stale-if-error=20", Duration::from_secs(60));
        check("max-age=10", "", NONE, 1010.0, (false, false));
        check("max-age=10", "", minute, 1069.9, (false, true));
        check("max-age=10", "", minute, 1070.0, (false, false));
        check("max-age=10", "stale-if-error=5", NONE, 1014.9, (false, true));
        check(both, "", NONE, 1014.9, (true, true));
        check(both, "", NONE, 1015.0, (false, true));
        check(both, "", NONE, 1030.0, (false, false));
        check(both, "", NONE, 999.0, (false, false));
        for forbids in ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache", "Must-Revalidate=x"]
        {
            check(&format!("{both}, {forbids}"), "stale-if-error=60", minute, 1011.0, (false, false));
        }
        for minds in ["no-cache", "max-age=10", "min-fresh=1", "x y"] {
            check(both, minds, minute, 1011.0, (false, false));
        }
        check(both, "max-age=11", NONE, 1011.0, (true, true));
    }

    #[test]
    fn a_request_may_ask_for_something_fresher() {
        let check = |asked: &str, now: f64, expected: Result<(), Unusable>| {
            let stored = freshness(&[("cache-control", "max-age=10")]).expect("a lifetime");
            let asked = cache_control::read(&fields(&[("cache-control", asked)]));
            assert_eq!(stored.usable(&asked, at(now)), expected, "{asked:?} {now}");
        };
        check("", 1005.0, Ok(()));
        check("", 1010.0, Err(Unusable::Stale));
        check("max-stale=100", 1010.0, Err(Unusable::Stale));
        check("no-cache", 1005.0, Err(Unusable::Request));
        check("max-age=5", 1005.0, Ok(()));
        check("max-age=4", 1005.0, Err(Unusable::Request));
        check("max-age=4", 1010.0, Err(Unusable::Stale));
        check("max-age=x", 1005.0, Err(Unusable::Request));
        check("min-fresh=5", 1005.0, Ok(()));
        check("min-fresh=6", 1005.0, Err(Unusable::Request));
        check("min-fresh=99999999999999999999", 1000.0, Err(Unusable::Request));
        check("max-age=60;", 1005.0, Err(Unusable::Request));
        check("no-store, only-if-cached", 1005.0, Ok(()));
    }
}
