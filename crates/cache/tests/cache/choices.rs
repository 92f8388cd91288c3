//! What a site may choose: languages as preferences, answers to POST.

use cache::Policy;

use crate::harness::{Gate, MEMORY, Origin, Reply, Running, Seen, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

async fn by(policy: Policy, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Origin, Running) {
    let origin = Origin::start(answer).await;
    let cache = Running::by(origin.address, MEMORY, policy).await;
    (origin, cache)
}

#[tokio::test]
async fn languages_are_preferences_where_that_is_wanted() {
    let german = |seen: &Seen| {
        let fields = [FRESH, ("vary", "accept-language"), ("content-language", "de")];
        reply(200, &fields, seen.field("accept-language").unwrap_or("none").to_owned())
    };
    let ask = async |cache: &Running, languages: &str| {
        cache.ask("GET", "/a", &[("accept-language", languages)]).await
    };
    let (origin, plain) = by(Policy::default(), german).await;
    assert_eq!(ask(&plain, "en, DE").await.text(), "en, DE", "passed on as it came");
    for other in ["DE, en", "fr;q=0.5, de"] {
        assert!(!ask(&plain, other).await.is_hit(), "{other}");
    }
    assert_eq!(origin.count(), 3);

    let (origin, aware) = by(Policy { language_aware: true, ..Policy::default() }, german).await;
    assert_eq!(ask(&aware, "en, DE").await.text(), "de, en", "the origin is asked in one form");
    for same in ["DE, en", "de,EN", "fr;q=0.5, de;q=1.0"] {
        let got = ask(&aware, same).await;
        assert!(got.is_hit() && got.text() == "de, en", "{same}: {got:?}");
    }
    assert!(!ask(&aware, "en, de;q=0.9").await.is_hit(), "wants English more");
    assert!(!aware.get("/a").await.is_hit(), "wants nothing");
    assert_eq!(origin.count(), 3);
}

/// Answers a POST to `/a` about `/a` itself, as its field `answer` says.
fn posted(seen: &Seen) -> Reply {
    let location = seen.field("location").unwrap_or("/a").to_owned();
    let control = seen.field("control").unwrap_or("max-age=60").to_owned();
    let fields = [("content-location", location.as_str()), ("cache-control", &control)];
    reply(200, &fields, format!("{} {}", seen.method, seen.nth))
}

const POSTED: Policy = Policy {
    store_post: true,
    heuristic_freshness: true,
    store_set_cookie: false,
    language_aware: false,
    stale_on_disconnect: std::time::Duration::ZERO,
};

#[tokio::test]
async fn an_answer_to_post_about_its_target_is_kept_where_that_is_wanted() {
    let (_origin, plain) = by(Policy::default(), posted).await;
    plain.send("POST", "/a", &[], "x").await;
    assert_eq!(plain.get("/a").await.text(), "GET 1");

    let (_origin, cache) = by(POSTED, posted).await;
    let first = cache.send("POST", "/a", &[], "x").await;
    assert_eq!((first.text(), first.member()), ("POST 0", "cache; fwd=method; fwd-status=200; stored"));
    let got = cache.get("/a").await;
    assert!(got.is_hit() && got.text() == "POST 0", "{got:?}");
    assert_eq!(got.span().await.links.len(), 1, "linked to the POST");
    // A POST itself is never answered from the store, and takes the place of what is there.
    assert_eq!(cache.send("POST", "/a", &[], "x").await.text(), "POST 1");
    assert_eq!(cache.get("/a").await.text(), "POST 1");
    // Other writes drop it.
    cache.ask("PUT", "/a", &[]).await;
    assert_eq!(cache.get("/a").await.text(), "GET 3");
}

#[tokio::test]
async fn an_answer_to_post_about_anything_else_is_not_kept() {
    for fields in [
        &[("location", "/b")][..],
        &[("location", "http://other/a")],
        &[("control", "no-store")],
        &[("control", "private, max-age=60")],
        &[("control", "x")],
        &[("authorization", "Basic x")],
    ] {
        let (origin, cache) = by(POSTED, posted).await;
        cache.send("POST", "/a", fields, "x").await;
        let got = cache.get("/a").await;
        assert_eq!((got.is_hit(), origin.count()), (false, 2), "{fields:?}: {got:?}");
    }
}

#[tokio::test]
async fn an_answer_to_post_that_another_write_overtook_is_not_kept() {
    let gate = Gate::shut();
    let held = gate.clone();
    let (origin, cache) =
        by(POSTED, move |seen: &Seen| if seen.nth == 0 { posted(seen).after(&held) } else { posted(seen) })
            .await;
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.send("POST", "/a", &[], "x").await }
    });
    until(|| "the origin is asked".to_owned(), || origin.count() == 1).await;
    cache.ask("DELETE", "/a", &[]).await;
    gate.open();
    assert_eq!(first.await.expect("an answer").text(), "POST 0");
    assert_eq!(cache.get("/a").await.text(), "GET 2");
}
