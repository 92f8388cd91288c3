//! Answers that fall together (RFC 9875).

use crate::harness::{Gate, Origin, Reply, Running, Seen, Step, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// A page is of the group that its path begins with, `/a/1` of `a`, and of `all`. A write invalidates what its own
/// field `invalidate` says and is answered with its field `status`.
fn site(seen: &Seen) -> Reply {
    let told = format!("{} {}", seen.nth, seen.target);
    let named = seen.field("invalidate").unwrap_or("").to_owned();
    match seen.method.as_str() {
        "GET" => {
            let name = seen.target.split('/').nth(1).expect("a path");
            let groups = format!("\"{name}\", \"all\";kept=?0");
            reply(200, &[FRESH, ("cache-groups", &groups), ("cache-group-invalidation", &named)], told)
        }
        _ => {
            let status = seen.field("status").unwrap_or("200").parse().expect("a status");
            reply(status, &[("cache-group-invalidation", &named)], "")
        }
    }
}

/// Stores `/a/1`, `/a/2` and `/b/1` of two hosts, sends this request, and returns what is no longer stored.
async fn fallen(method: &str, target: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let origin = Origin::start(site).await;
    let cache = Running::start(&origin).await;
    let mut pages = Vec::new();
    for host in ["e", "f"] {
        for page in ["/a/1", "/a/2", "/b/1"] {
            let page = (host, page);
            assert!(!cache.ask("GET", page.1, &[("host", page.0)]).await.is_hit());
            pages.push(page);
        }
    }
    cache.ask(method, target, fields).await;
    let mut fallen = Vec::new();
    for (host, page) in pages {
        if !cache.ask("GET", page, &[("host", host)]).await.is_hit() {
            fallen.push(format!("{host}{page}"));
        }
    }
    fallen
}

#[tokio::test]
async fn a_write_drops_the_groups_that_its_answer_names() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "LOCK"] {
        assert_eq!(fallen(method, "/x", &[("invalidate", "\"a\"")]).await, ["e/a/1", "e/a/2"], "{method}");
    }
    assert_eq!(fallen("POST", "/x", &[("invalidate", "\"b\";q=1, \"c\"")]).await, ["e/b/1"]);
    assert_eq!(fallen("POST", "/x", &[("invalidate", "\"all\"")]).await, ["e/a/1", "e/a/2", "e/b/1"]);
    assert_eq!(fallen("POST", "/b/1", &[("invalidate", "\"A\"")]).await, ["e/b/1"], "case counts");
    assert_eq!(fallen("POST", "/x", &[("invalidate", "\"a\", b")]).await, [""; 0], "no List of Strings");
    let other = [("host", "f"), ("invalidate", "\"b\"")];
    assert_eq!(fallen("POST", "/x", &other).await, ["f/b/1"], "each host has groups of its own");
}

#[tokio::test]
async fn a_safe_or_refused_request_drops_no_group() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(fallen(method, "/x", &[("invalidate", "\"all\"")]).await, [""; 0], "{method}");
    }
    for status in ["400", "409", "500"] {
        let refused = [("invalidate", "\"all\""), ("status", status)];
        assert_eq!(fallen("POST", "/x", &refused).await, [""; 0], "{status}");
    }
}

#[tokio::test]
async fn the_fields_are_passed_on() {
    let origin = Origin::start(site).await;
    let cache = Running::start(&origin).await;
    for _ in 0..2 {
        assert_eq!(cache.get("/a/1").await.lines("cache-groups"), ["\"a\", \"all\";kept=?0"]);
    }
    let written = cache.ask("POST", "/x", &[("invalidate", "\"a\"")]).await;
    assert_eq!(written.lines("cache-group-invalidation"), ["\"a\""]);
}

#[tokio::test]
async fn an_answer_fetched_before_its_group_fell_does_not_come_back() {
    let head = Gate::shut();
    let slow = head.clone();
    let origin = Origin::start(move |seen| {
        let answer = site(seen);
        if seen.nth == 0 { answer.after(&slow) } else { answer }
    })
    .await;
    let cache = Running::start(&origin).await;
    let old = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a/1").await }
    });
    until(|| "the first GET is on its way".into(), || origin.count() == 1).await;
    cache.ask("POST", "/x", &[("invalidate", "\"a\"")]).await;
    // Asked after the write: must not wait for the fetch from before it.
    assert_eq!(cache.get("/a/1").await.text(), "2 /a/1");
    head.open();
    let old = old.await.expect("an answer");
    assert_eq!((old.text(), old.member()), ("0 /a/1", "cache; fwd=uri-miss; fwd-status=200"), "not stored");
    let after = cache.get("/a/1").await;
    assert_eq!((after.text(), after.is_hit()), ("2 /a/1", true));
}

#[tokio::test]
async fn a_body_still_arriving_when_its_group_fell_is_not_stored() {
    let rest = Gate::shut();
    let slow = rest.clone();
    let origin = Origin::start(move |seen| {
        let answer = site(seen);
        if seen.nth == 0 {
            answer.then(Step::Wait(slow.clone())).then(Step::Send("!".into()))
        } else {
            answer
        }
    })
    .await;
    let cache = Running::start(&origin).await;
    let old = cache.open("GET", "/a/1", &[]).await;
    cache.ask("POST", "/x", &[("invalidate", "\"b\"")]).await;
    cache.ask("POST", "/x", &[("invalidate", "\"a\"")]).await;
    rest.open();
    assert_eq!(old.whole().await.text(), "0 /a/1!");
    let after = cache.get("/a/1").await;
    assert_eq!((after.text(), after.is_hit()), ("3 /a/1", false));
}

#[tokio::test]
async fn a_variant_of_another_group_stays() {
    let origin = Origin::start(|seen| match seen.field("accept") {
        Some(accept) => {
            let group = format!("\"{accept}\"");
            reply(200, &[FRESH, ("vary", "accept"), ("cache-groups", &group)], accept.to_owned())
        }
        None => reply(200, &[("cache-group-invalidation", "\"a\"")], ""),
    })
    .await;
    let cache = Running::start(&origin).await;
    for accept in ["a", "b"] {
        cache.ask("GET", "/a", &[("accept", accept)]).await;
    }
    cache.ask("POST", "/x", &[]).await;
    for (accept, stays) in [("a", false), ("b", true)] {
        assert_eq!(cache.ask("GET", "/a", &[("accept", accept)]).await.is_hit(), stays, "{accept}");
    }
}

#[tokio::test]
async fn a_confirmed_answer_is_of_the_groups_that_the_confirmation_says() {
    let origin = Origin::start(|seen| match (seen.method.as_str(), seen.field("if-none-match")) {
        ("GET", None) => reply(200, &[FRESH, ("etag", "\"1\""), ("cache-groups", "\"a\"")], "x"),
        ("GET", Some(_)) => reply(304, &[FRESH, ("etag", "\"1\""), ("cache-groups", "\"b\"")], ""),
        _ => reply(200, &[("cache-group-invalidation", seen.field("invalidate").expect("a group"))], ""),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    assert_eq!(cache.ask("GET", "/a", &[("cache-control", "no-cache")]).await.status.as_u16(), 200);
    cache.ask("POST", "/x", &[("invalidate", "\"a\"")]).await;
    assert!(cache.get("/a").await.is_hit());
    cache.ask("POST", "/x", &[("invalidate", "\"b\"")]).await;
    assert!(!cache.get("/a").await.is_hit());
}
