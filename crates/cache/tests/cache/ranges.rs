//! Parts of what is stored.

use http::StatusCode;

use crate::harness::{Origin, Running, reply};

const WHOLE: [(&str, &str); 3] = [("cache-control", "max-age=60"), ("etag", "\"a\""), ("x-a", "1")];

async fn filled() -> (Origin, Running) {
    let origin = Origin::start(|seen| match seen.field("range") {
        Some(_) => reply(206, &[("content-range", "bytes 0-0/10")], "x"),
        None => reply(200, &WHOLE, "0123456789"),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    (origin, cache)
}

#[tokio::test]
async fn a_part_of_what_is_stored_is_a_hit() {
    let (origin, cache) = filled().await;
    for (range, said, text) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=3-5", "bytes 3-5/10", "345"),
        ("bytes=8-", "bytes 8-9/10", "89"),
        ("bytes=-2", "bytes 8-9/10", "89"),
    ] {
        let part = cache.ask("GET", "/a", &[("range", range)]).await;
        assert_eq!((part.status, part.text()), (StatusCode::PARTIAL_CONTENT, text), "{range}");
        assert_eq!((part.field("content-range"), part.member()), (Some(said), "cache; hit; ttl=60"));
        assert_eq!(part.field("content-length"), Some(text.len().to_string().as_str()));
        assert_eq!(
            (part.field("etag"), part.field("x-a"), part.field("age")),
            (Some("\"a\""), Some("1"), Some("0"))
        );
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn what_is_no_single_range_or_of_another_answer_gets_the_whole() {
    let (origin, cache) = filled().await;
    let check = async |fields: &[(&str, &str)], status: u16, text: &str| {
        let got = cache.ask("GET", "/a", fields).await;
        assert_eq!((got.status.as_u16(), got.text()), (status, text), "{fields:?}");
        assert!(got.is_hit(), "{fields:?}");
    };
    check(&[("range", "bytes=0-1,3-4")], 200, "0123456789").await;
    check(&[("range", "lines=0-1")], 200, "0123456789").await;
    check(&[("range", "bytes=0-1"), ("if-range", "\"a\"")], 206, "01").await;
    check(&[("range", "bytes=0-1"), ("if-range", "\"b\"")], 200, "0123456789").await;
    check(&[("range", "bytes=0-1"), ("if-none-match", "\"a\"")], 304, "").await;
    check(&[("range", "bytes=0-1"), ("if-none-match", "\"b\"")], 206, "01").await;
    let head = cache.ask("HEAD", "/a", &[("range", "bytes=0-1")]).await;
    assert_eq!((head.status, head.field("content-length")), (StatusCode::OK, Some("10")));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn bytes_that_are_not_there_are_refused() {
    let (origin, cache) = filled().await;
    let refused = cache.ask("GET", "/a", &[("range", "bytes=10-")]).await;
    assert_eq!(refused.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!((refused.field("content-range"), refused.is_hit()), (Some("bytes */10"), true));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_part_of_what_is_not_stored_is_the_origins_to_answer() {
    let (origin, cache) = filled().await;
    let other = cache.ask("GET", "/b", &[("range", "bytes=0-0"), ("x-mine", "1")]).await;
    assert_eq!(
        (other.status, other.member()),
        (StatusCode::PARTIAL_CONTENT, "cache; fwd=bypass; fwd-status=206")
    );
    assert_eq!(origin.seen()[1].field("range"), Some("bytes=0-0"));
    assert_eq!(origin.seen()[1].field("x-mine"), Some("1"));
    assert_eq!(
        cache.get("/b").await.member(),
        "cache; fwd=uri-miss; fwd-status=200; stored",
        "a part is never the whole"
    );
}
