//! What an operator may ask on the admin address: that stored answers go before their time.
//!
//! Promises: what was being fetched when it was asked for is not stored either; the answer comes when it is done, and says
//! how many stored answers it was.
//! Refuses: guessing. A body that is not one of the four forms of [`HELP`] purges nothing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Uri};
use serde::Deserialize;

use crate::{Clock, Second, Store, groups::Group, key::Key, second::Message};

/// Where it is asked.
pub(crate) const PATH: &str = "/purge";

/// Told by `--help`.
pub(crate) const HELP: &str = "\
Purging: POST one of these as JSON to /purge on the admin address (--admin-listen), from this machine:
  {\"url\": \"http://HOST/PATH?QUERY\"}           what is stored for this URL, all variants
  {\"prefix\": \"http://HOST/PATH\"}              what is stored for URLs that begin so
  {\"group\": \"NAME\", \"origin\": \"http://HOST\"}  what said so in Cache-Groups (RFC 9875)
  {\"all\": true}                               everything
HOST is what clients send in `Host`. With \"soft\": true it is not removed but stale from now on: the origin may confirm it.
With --redis-url it goes from Redis and from every cache that shares it, whether soft or not from Redis.
  curl -d '{\"prefix\": \"http://localhost:8080/api/\", \"soft\": true}' http://127.0.0.1:9901/purge";

/// What to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// Everything under one key.
    Url(Key),
    /// Every key that begins like this one.
    Prefix(Key),
    /// Every answer of a group.
    Group(Group),
    /// Everything.
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    url: Option<String>,
    prefix: Option<String>,
    group: Option<String>,
    origin: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    soft: bool,
}

impl Selector {
    /// Whether it selects everything under a key; a group selects single answers.
    pub(crate) fn selects(&self, key: &Key) -> bool {
        match self {
            Selector::Url(url) => url == key,
            Selector::Prefix(prefix) => key.begins_with(prefix),
            Selector::Group(_) => false,
            Selector::All => true,
        }
    }
}

/// Purges what a request's body asks for; the text is for whoever asked.
pub(crate) fn answer(
    store: &Arc<Store>,
    second: Option<Arc<Second>>,
    body: &Bytes,
) -> BoxFuture<'static, Result<String, String>> {
    let asked = read(body);
    let store = Arc::clone(store);
    Box::pin(async move {
        let (selector, soft) = asked?;
        let message = Message::of_purge(&selector, soft);
        let stale_from = soft.then(|| Clock::system().now());
        // There may be a million of them, and this thread answers /healthz, too.
        let purging = tokio::task::spawn_blocking(move || store.purge(&selector, stale_from));
        let count = purging.await.map_err(|error| format!("broke off: {error}"))?;
        let told = match second {
            None => "",
            Some(second) if second.tell_patiently(message).await => {
                ", and told to Redis and the other caches"
            }
            Some(_) => ", and to be told to Redis and the other caches as soon as Redis answers",
        };
        tracing::info!(count, soft, "purged");
        Ok(format!("stored answers {}: {count}{told}", if soft { "made stale" } else { "removed" }))
    })
}

/// What is asked for, and whether softly.
fn read(body: &[u8]) -> Result<(Selector, bool), String> {
    let form: Form =
        serde_json::from_slice(body).map_err(|error| format!("cannot read the body: {error}"))?;
    let selector = match form {
        Form { url: Some(url), prefix: None, group: None, origin: None, all: false, .. } => {
            Selector::Url(key("url", &url)?)
        }
        Form { url: None, prefix: Some(prefix), group: None, origin: None, all: false, .. } => {
            Selector::Prefix(key("prefix", &prefix)?)
        }
        Form { url: None, prefix: None, group: Some(name), origin: Some(origin), all: false, .. } => {
            Selector::Group(Group::of(&key("origin", &origin)?, &name))
        }
        Form { url: None, prefix: None, group: None, origin: None, all: true, .. } => Selector::All,
        _ => {
            return Err(
                "must have exactly one of `url`, `prefix`, `group` with `origin`, and `all` as true".into()
            );
        }
    };
    Ok((selector, form.soft))
}

fn key(name: &str, text: &str) -> Result<Key, String> {
    let refused =
        || format!("`{name}` must be a URL with its host, like `http://localhost:8080/api/bookings`");
    let uri: Uri = text.parse().map_err(|_| refused())?;
    uri.scheme().ok_or_else(refused)?;
    Key::of(&uri, &HeaderMap::new()).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<&str, &str>) {
        let found = read(body.as_bytes()).map(|(selector, soft)| format!("{selector:?} {soft}"));
        match expected {
            Ok(selector) => assert_eq!(found.as_deref(), Ok(selector), "{body}"),
            Err(part) => assert!(found.as_ref().is_err_and(|text| text.contains(part)), "{body} {found:?}"),
        }
    }

    #[test]
    fn one_form_selects() {
        check(r#"{"url": "http://E:80/a?b"}"#, Ok("Url(http://e/a?b) false"));
        check(r#"{"prefix": "http://e:81", "soft": true}"#, Ok("Prefix(http://e:81/) true"));
        check(r#"{"all": true, "soft": false}"#, Ok("All false"));
        let origin = key("origin", "http://e").expect("a key");
        let group = format!("{:?} false", Selector::Group(Group::of(&origin, "list")));
        check(r#"{"group": "list", "origin": "http://e"}"#, Ok(&group));
    }

    #[test]
    fn everything_else_purges_nothing_and_says_why() {
        for body in [
            "{}",
            r#"{"all": false}"#,
            r#"{"soft": true}"#,
            r#"{"group": "a"}"#,
            r#"{"origin": "http://e"}"#,
            r#"{"url": "http://e/", "all": true}"#,
            r#"{"url": "http://e/", "prefix": "http://e/"}"#,
        ] {
            check(body, Err("exactly one of"));
        }
        for url in ["/a", "", "e", "http://", "ftp://e/", "http://u@e/", "http://e/ /"] {
            check(&format!(r#"{{"url": "{url}"}}"#), Err("`url` must be"));
        }
        check(r#"{"group": "a", "origin": "e"}"#, Err("`origin` must be"));
        for (body, part) in
            [("", "EOF"), ("all", "expected"), (r#"{"every": true}"#, "unknown field `every`")]
        {
            check(body, Err(part));
        }
    }

    #[test]
    fn a_prefix_ends_at_no_host() {
        let check = |prefix: &str, url: &str, expected: bool| {
            let key = |text: &str| key("url", text).expect("a key");
            assert_eq!(Selector::Prefix(key(prefix)).selects(&key(url)), expected, "{prefix} {url}");
        };
        check("http://e/a", "http://e/a", true);
        check("http://e/a", "http://e/a/b?c", true);
        check("http://e/a", "http://e/ab", true);
        check("http://e/a?", "http://e/a?b", true);
        check("http://e/a/", "http://e/a", false);
        check("http://e", "http://e/a", true);
        check("http://e", "http://e.f/a", false);
        check("http://e", "http://e:81/a", false);
        check("http://e", "https://e/a", false);
    }

    #[test]
    fn help_tells_how() {
        let help =
            <crate::Settings as clap::Args>::augment_args(clap::Command::new("cache")).render_long_help();
        assert!(help.to_string().contains("http://127.0.0.1:9901/purge"), "{help}");
    }
}
