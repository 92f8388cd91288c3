//! Second attempts, and none.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use futures_util::future::join_all;
use upstream::testing::{Act, ok, status};

use super::*;

/// What a client gets of two replicas, one of which does as told.
async fn beside(act: Act, method: Method, body: &'static str) -> Result<(u16, String), u16> {
    let bad = Replica::start(move |_| act.clone()).await;
    let good = Replica::saying("good").await;
    // In turn: of two requests one comes to each of them.
    let client = client(&[&bad, &good], &["--balance", "round-robin", "--try-timeout", "100ms"]).await;
    let mut worst = Ok((200, "good".to_owned()));
    for _ in 0..2 {
        let got = match within(client.send(request(method.clone(), body), None)).await {
            Ok(response) => Ok((response.status().as_u16(), text(response).await)),
            Err(failure) => Err(failure.response("proxy").status().as_u16()),
        };
        if got != Ok((200, "good".to_owned())) {
            worst = got;
        }
    }
    assert!(!bad.seen().asked.is_empty(), "the bad one was asked");
    worst
}

#[tokio::test]
async fn what_is_idempotent_succeeds_elsewhere() {
    let acts = [
        Act::Last(String::new()),
        Act::Last("garbage\r\n\r\n".into()),
        Act::Freeze,
        Act::Answer(status(502, "")),
        Act::Answer(status(503, "")),
        Act::Answer(status(504, "")),
    ];
    for act in acts {
        for (method, body) in [(Method::GET, ""), (Method::PUT, "kept"), (Method::DELETE, "")] {
            let got = beside(act.clone(), method.clone(), body).await;
            assert_eq!(got, Ok((200, "good".into())), "{method} {act:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_is_asked_once() {
    for (act, expected) in [
        (Act::Last(String::new()), Err(502)),
        (Act::Freeze, Err(504)),
        (Act::Answer(status(503, "")), Ok((503, String::new()))),
    ] {
        for method in [Method::POST, Method::PATCH] {
            assert_eq!(beside(act.clone(), method, "").await, expected, "{act:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_proxy_or_with_retry_after_is_passed_on() {
    for fields in ["Proxy-Status: cache; error=connection_refused\r\n", "Retry-After: 1\r\n"] {
        let got = beside(Act::Answer(status(503, fields)), Method::GET, "").await;
        assert_eq!(got, Ok((503, String::new())), "{fields}");
    }
    for code in [429, 500] {
        let got = beside(Act::Answer(status(code, "")), Method::GET, "").await;
        assert_eq!(got, Ok((code, String::new())));
    }
}

#[tokio::test]
async fn a_replica_that_is_not_there_costs_no_request_of_any_method() {
    let gone = Replica::saying("").await;
    let good = Replica::saying("good").await;
    let client = client(&[&gone, &good], &["--balance", "round-robin"]).await;
    drop(gone);
    tokio::task::yield_now().await;
    for method in [Method::GET, Method::POST, Method::PATCH, Method::PUT] {
        for _ in 0..4 {
            assert_eq!(ask(&client, method.clone(), "body").await.unwrap(), "good");
        }
    }
    assert_eq!(good.seen().asked.len(), 16);
    assert!(good.seen().asked.iter().all(|asked| asked.body == "body"));
}

#[tokio::test]
async fn a_further_attempt_goes_elsewhere_even_for_a_key_that_has_its_place() {
    let bad = Replica::start(|_| Act::Last(String::new())).await;
    let good = Replica::saying("good").await;
    let client = client(&[&bad, &good], &["--balance", "hash", "--attempts", "2"]).await;
    for key in 0..16 {
        let response = client.send(request(Method::GET, ""), Some(key)).await.unwrap();
        assert_eq!(text(response).await, "good");
    }
    assert!(!bad.seen().asked.is_empty(), "some keys have their place at the bad one");
}

#[tokio::test]
async fn the_last_answer_is_passed_on_when_all_refuse() {
    let replica = Replica::start(|_| Act::Answer(status(503, ""))).await;
    let client = client(&[&replica], &["--attempts", "2"]).await;
    let response = client.send(request(Method::GET, ""), None).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(replica.seen().asked.len(), 2);
}

#[tokio::test]
async fn a_long_body_is_streamed_and_sent_once() {
    const LONG: &str = match std::str::from_utf8(&[b'x'; 100_000]) {
        Ok(text) => text,
        Err(_) => panic!("letters are text"),
    };
    let bad = Replica::start(|_| Act::Last(String::new())).await;
    let client = client(&[&bad], &[]).await;
    let failure = within(ask(&client, Method::PUT, LONG)).await.unwrap_err();
    assert_eq!(failure.response("proxy").status(), 502);
    let seen = bad.seen();
    assert_eq!((seen.asked.len(), seen.asked[0].body.len()), (1, 100_000));
}

/// The replica dies with many requests in flight, all of which can be asked again.
#[tokio::test]
async fn no_get_is_lost_with_a_replica_that_dies_under_load() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let dying = Replica::start(|_| Act::Freeze).await;
    let good = Replica::start({
        let arrived = arrived.clone();
        move |_| {
            arrived.fetch_add(1, Relaxed);
            Act::Answer(ok("good"))
        }
    })
    .await;
    let client = client(&[&dying, &good], &["--balance", "round-robin"]).await;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, Method::GET, "").await })
        })
        .collect();
    dying.until(|seen| seen.asked.len() == 50).await;
    drop(dying);
    for answer in within(join_all(asking)).await {
        assert_eq!(answer.unwrap().unwrap(), "good");
    }
    assert_eq!(arrived.load(Relaxed), 100);
}

#[tokio::test]
async fn all_that_were_at_a_replica_which_freezes_succeed_at_the_other() {
    let frozen = Arc::new(AtomicBool::new(false));
    let freezing = {
        let frozen = frozen.clone();
        Replica::start(move |_| if frozen.load(Relaxed) { Act::Freeze } else { Act::Answer(ok("good")) })
    }
    .await;
    let good = Replica::saying("good").await;
    let flags = ["--balance", "round-robin", "--try-timeout", "300ms"];
    let client = client(&[&freezing, &good], &flags).await;
    for _ in 0..100 {
        assert_eq!(ask(&client, Method::GET, "").await.unwrap(), "good");
    }
    frozen.store(true, Relaxed);
    let asking = (0..32).map(|_| ask(&client, Method::GET, ""));
    for answer in within(join_all(asking)).await {
        assert_eq!(answer.unwrap(), "good");
    }
}

/// All replicas are slow: second attempts stay within a fifth of the requests.
#[tokio::test]
async fn slow_replicas_are_not_stormed() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let client = client(&[&replica], &["--try-timeout", "300ms", "--attempts", "3"]).await;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, Method::GET, "").await })
        })
        .collect();
    for answer in within(join_all(asking)).await {
        assert!(answer.unwrap().is_err());
    }
    let attempts = replica.seen().asked.len();
    assert!((100..=120).contains(&attempts), "{attempts} attempts for 100 requests");
}
