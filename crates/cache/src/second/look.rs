//! Looking for an answer, and for the right to fetch it where there is none.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use redis::Value;
use sha2::{Digest, Sha256};
use telemetry::Span;
use tokio::time::{Instant, sleep};

use super::{
    Lease, Second,
    form::{self, Form},
    link::{Failed, Way},
    observe::Came,
    script::LEASE_MS,
};
use crate::{
    asked::Asked,
    entry::{Entry, Head},
    policy::Policy,
    storing::may_restore,
    vary::Selection,
};

/// Questions about one key: a second one where it varies, a third where that has just changed, one more where what is there
/// does not suit.
const QUESTIONS: usize = 4;

/// What is wanted besides an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Nothing.
    Answer,
    /// The lease, where there is no fresh answer.
    Lease,
}

/// What is looked for.
pub(crate) struct Question<'a, S> {
    pub(crate) asked: &'a Asked,
    pub(crate) wants: Wants,
    pub(crate) policy: Policy,
    /// Numbers the answer among those of memory.
    pub(crate) fetch: u64,
    /// Whether an answer makes asking the origin needless.
    pub(crate) suits: S,
}

/// What was found: nothing and nobody's right where Redis is not there, or does not say in time.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// An answer, fresh or not.
    pub(crate) entry: Option<Entry>,
    pub(crate) right: Right,
}

/// Whose right it is to fetch.
#[derive(Debug, Default)]
pub(crate) enum Right {
    /// This cache's.
    Own(Arc<Lease>),
    /// Another cache's, which does so now.
    Others,
    /// Everybody's.
    #[default]
    Nobodys,
}

/// The wait for another cache's fetch, a span of its own: looks again after a while that grows with what it has waited
/// already, so that it is late by an eighth of that at most.
#[derive(Debug)]
pub(crate) struct Waiting {
    since: Instant,
    _span: Span,
}

impl Waiting {
    const SHORTEST: Duration = Duration::from_millis(2);
    const LONGEST: Duration = Duration::from_millis(50);

    /// As long as anybody waits: after that each cache asks for itself.
    const BOUND: Duration = Duration::from_secs(3);

    pub(crate) fn begin() -> Waiting {
        Waiting { since: Instant::now(), _span: Span::internal("cache.wait", Vec::new()) }
    }

    /// False once it has waited for long enough.
    pub(crate) async fn a_while(&mut self) -> bool {
        sleep((self.since.elapsed() / 8).clamp(Waiting::SHORTEST, Waiting::LONGEST)).await;
        self.since.elapsed() < Waiting::BOUND
    }
}

/// A reply of the script, taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Vary(String),
    Told { number: u64, lease: String, found: Option<(Vec<u8>, u64)> },
}

impl Second {
    /// Looks, within the budget.
    pub(crate) async fn look(self: &Arc<Self>, question: Question<'_, impl Fn(&Entry) -> bool>) -> Looked {
        let mut unreadable = false;
        let looked = self.answer(question, &mut unreadable).await;
        self.observer.looked(match &looked {
            Ok(Looked { entry: Some(_), .. }) => Came::Hit,
            Ok(_) if unreadable => Came::Unreadable,
            Ok(_) => Came::Miss,
            Err(_) => Came::Away,
        });
        looked.unwrap_or_default()
    }

    async fn answer(
        self: &Arc<Self>,
        Question { asked, wants, policy, fetch, suits }: Question<'_, impl Fn(&Entry) -> bool>,
        unreadable: &mut bool,
    ) -> Result<Looked, Failed> {
        let deadline = Instant::now() + self.settings.budget;
        let mut selection = Selection::from_parts(Vec::new());
        let (mut passed_over, mut unsuited) = (false, None);
        for _ in 0..QUESTIONS {
            let token = match wants {
                Wants::Answer => String::new(),
                Wants::Lease => format!("{}-{:x}", self.who, self.leases.fetch_add(1, Ordering::Relaxed)),
            };
            let digest = digest(&selection);
            let within = deadline.saturating_duration_since(Instant::now());
            let seen = self.seen.load(Ordering::SeqCst);
            let reply = self.ask::<Value>("look", (Way::Look, within), &self.scripts.look, |script| {
                script.key(self.entry_key(&asked.key)).key(self.number_key());
                script.arg(names(&selection)).arg(&digest).arg(self.group_keys());
                script.arg(u8::from(passed_over)).arg(&token).arg(LEASE_MS).arg(seen);
            });
            // Of one that comes too late a lease may have been given all the same; nobody knows from which state. It runs out.
            let reply = reply.await?;
            let (number, lease, found) = match read(reply).ok_or(Failed::Strange)? {
                Reply::Vary(names) => {
                    let names = parse_names(&names).ok_or(Failed::Strange)?;
                    selection = Selection::of(names, &asked.fields);
                    continue;
                }
                Reply::Told { number, lease, found } => (number, lease, found),
            };
            let right = match lease.as_str() {
                "own" => Right::Own(self.lease(asked, digest, token)),
                "held" => Right::Others,
                _ => Right::Nobodys,
            };
            // Of an older state? Who listens notices as well, and drops everything there.
            let Some((form, since)) = found.filter(|_| number >= seen) else {
                return Ok(Looked { entry: unsuited, right });
            };
            let since = Duration::from_millis(since);
            let form = form::read(&form).ok();
            let entry = form
                .and_then(|form| restore(asked, &selection, form, since, policy, self.clock.now(), fetch));
            match entry {
                Some(entry)
                    if wants == Wants::Answer || suits(&entry) || !matches!(right, Right::Nobodys) =>
                {
                    return Ok(Looked { entry: Some(entry), right });
                }
                // The same again, as if it were not there: what takes its place is to be stored.
                Some(entry) => unsuited = Some(entry),
                None => *unreadable = true,
            }
            passed_over = true;
        }
        Ok(Looked { entry: unsuited, right: Right::Nobodys })
    }

    fn lease(self: &Arc<Self>, asked: &Asked, digest: String, token: String) -> Arc<Lease> {
        Lease::new(self, &asked.key, digest, token)
    }
}

/// What was stored, if it is what was asked for and would have been stored here.
fn restore(
    asked: &Asked,
    selection: &Selection,
    form: Form,
    since: Duration,
    policy: Policy,
    now: SystemTime,
    fetch: u64,
) -> Option<Entry> {
    if form.key != asked.key || form.selection != *selection {
        return None;
    }
    let ages = (form.age.saturating_add(since), form.response_delay);
    let storable =
        may_restore(&form.key, policy, (form.status, &form.fields), form.selection, ages, now).ok()?;
    let head = Head::new(form.status, form.fields, storable, form.filled_by);
    let body = if form.body.is_empty() { Vec::new() } else { vec![form.body] };
    Some(Entry::new(head, body.into(), fetch))
}

/// The names that an answer varies on, as the script compares them.
pub(super) fn names(selection: &Selection) -> String {
    selection.parts().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
}

fn parse_names(names: &str) -> Option<Vec<http::HeaderName>> {
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(|name| name.parse().ok()).collect()
}

/// What stands for a selection; empty where there is nothing to select by.
pub(super) fn digest(selection: &Selection) -> String {
    if selection.parts().is_empty() {
        return String::new();
    }
    let mut digest = Sha256::new();
    for (name, value) in selection.parts() {
        digest.update(name.as_str());
        match value {
            None => digest.update("\n-"),
            // No value holds a line feed.
            Some(value) => digest.update([b"\n+", &**value, b"\n"].concat()),
        }
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// `None` for what the script never returns.
fn read(reply: Value) -> Option<Reply> {
    let Value::Array(parts) = reply else { return None };
    let text = |value: Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    };
    let mut parts = parts.into_iter();
    let number = match parts.next()? {
        Value::Int(number) => u64::try_from(number).ok()?,
        _ => return None,
    };
    let lease = text(parts.next()?)?;
    if lease == "vary" {
        return Some(Reply::Vary(text(parts.next()?)?));
    }
    let found = match (parts.next(), parts.next()) {
        (Some(Value::BulkString(form)), Some(Value::Int(since))) => Some((form, u64::try_from(since).ok()?)),
        (None, None) => None,
        _ => return None,
    };
    Some(Reply::Told { number, lease, found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{asked, fields};
    use http::Method;

    #[test]
    fn selections_that_differ_have_other_digests() {
        let selection = |names: &[&str], request: &[(&str, &str)]| {
            let names = names.iter().map(|name| name.parse().expect("a name")).collect();
            Selection::of(names, &fields(request))
        };
        assert_eq!(digest(&selection(&[], &[])), "");
        let all = [
            selection(&["a"], &[]),
            selection(&["a"], &[("a", "")]),
            selection(&["a"], &[("a", "-")]),
            selection(&["a"], &[("a", "b")]),
            selection(&["a", "b"], &[("a", "b")]),
            selection(&["a", "b"], &[("b", "b")]),
            selection(&["a", "b"], &[("a", ""), ("b", "b")]),
            selection(&["b"], &[("b", "b")]),
        ];
        let digests: std::collections::HashSet<String> = all.iter().map(digest).collect();
        assert_eq!(digests.len(), all.len());
        assert!(digests.iter().all(|digest| digest.len() == 32));
    }

    #[test]
    fn names_are_read_back() {
        let request = asked(Method::GET, "/a", &[]);
        for text in ["", "accept", "accept,x"] {
            let selection = Selection::of(parse_names(text).expect("names"), &request.fields);
            assert_eq!(names(&selection), text);
        }
        assert_eq!(parse_names("a b"), None);
    }

    #[test]
    fn replies_are_taken_apart() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let check =
            |parts: Vec<Value>, expected: Option<Reply>| assert_eq!(read(Value::Array(parts)), expected);
        let told = |found| Some(Reply::Told { number: 7, lease: "own".into(), found });
        check(vec![Value::Int(7), bulk("vary"), bulk("a,b")], Some(Reply::Vary("a,b".into())));
        check(vec![Value::Int(7), bulk("own")], told(None));
        check(vec![Value::Int(7), bulk("own"), bulk("x"), Value::Int(3)], told(Some((b"x".to_vec(), 3))));
        check(vec![Value::Int(7), bulk("own"), bulk("x"), Value::Int(-3)], None);
        check(vec![Value::Int(7), bulk("own"), bulk("x")], None);
        check(vec![Value::Int(7)], None);
        check(vec![], None);
        assert_eq!(read(Value::Nil), None);
    }
}
