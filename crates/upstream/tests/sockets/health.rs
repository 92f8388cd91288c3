//! Who is left alone, and until when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use upstream::testing::{Act, ok};

use super::*;

/// A replica that closes every connection until it is told to heal.
async fn healing() -> (Replica, Arc<AtomicBool>) {
    let healed = Arc::new(AtomicBool::new(false));
    let is_healed = healed.clone();
    let replica = Replica::start(move |_| match is_healed.load(Relaxed) {
        true => Act::Answer(ok("healed")),
        false => Act::Last(String::new()),
    });
    (replica.await, healed)
}

#[tokio::test]
async fn a_failing_replica_is_left_alone_and_comes_back_after_a_probe() {
    let (failing, healed) = healing().await;
    let good = Replica::saying("good").await;
    let upstream = upstream(&[&failing, &good], &["--balance", "round-robin"]).await;
    let client = upstream.client();
    for _ in 0..20 {
        assert_eq!(ask(&client, Method::GET, "").await.unwrap(), "good");
    }
    let asked = failing.seen().asked.len();
    assert_eq!(asked, 5, "five failures in a row are enough");
    healed.store(true, Relaxed);
    let left_alone = Instant::now();
    while failing.seen().asked.len() == asked {
        ask(&client, Method::GET, "").await.unwrap();
        assert!(left_alone.elapsed() < Duration::from_secs(10), "never probed");
    }
    assert!(left_alone.elapsed() > Duration::from_millis(500), "probed after {:?}", left_alone.elapsed());
    let answers =
        [ask(&client, Method::GET, "").await.unwrap(), ask(&client, Method::GET, "").await.unwrap()];
    assert!(answers.contains(&"healed".to_owned()), "{answers:?}");
}

#[tokio::test]
async fn with_everybody_ejected_requests_are_tried_all_the_same() {
    let (failing, healed) = healing().await;
    let upstream = upstream(&[&failing], &["--attempts", "1"]).await;
    let client = upstream.client();
    assert!(upstream.is_usable());
    for _ in 0..5 {
        ask(&client, Method::GET, "").await.unwrap_err();
    }
    assert!(!upstream.is_usable());
    healed.store(true, Relaxed);
    assert_eq!(ask(&client, Method::POST, "").await.unwrap(), "healed");
    assert!(upstream.is_usable());
}

#[tokio::test]
async fn a_replica_that_fails_fast_loses_its_share() {
    let failing =
        Replica::start(|_| Act::Answer("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into())).await;
    let good = Replica::saying("good").await;
    let client = client(&[&failing, &good], &[]).await;
    for _ in 0..1000 {
        let _ = ask(&client, Method::GET, "").await.unwrap();
    }
    let share = failing.seen().asked.len();
    assert!(share < 300, "{share} of 1000 went to the one that only fails");
}

#[tokio::test]
async fn a_key_stays_at_its_replica() {
    let (one, other) = (Replica::saying("one").await, Replica::saying("other").await);
    let client = client(&[&one, &other], &["--balance", "hash"]).await;
    let mut homes = std::collections::BTreeSet::new();
    for key in 0..20 {
        let home = text(client.send(request(Method::GET, ""), Some(key)).await.unwrap()).await;
        for _ in 0..3 {
            let again = text(client.send(request(Method::GET, ""), Some(key)).await.unwrap()).await;
            assert_eq!(again, home);
        }
        homes.insert(home);
    }
    assert_eq!(homes.len(), 2, "keys are spread");
}

#[tokio::test]
async fn what_counts_as_failing_is_what_the_replica_is_to_blame_for() {
    let check = async |answer: &'static str, usable: bool| {
        let replica = Replica::start(move |_| Act::Last(answer.into())).await;
        let upstream = upstream(&[&replica], &["--attempts", "1"]).await;
        let client = upstream.client();
        for _ in 0..5 {
            if let Ok(response) = client.send(request(Method::GET, ""), None).await {
                let _ = within(response.into_body().collect()).await;
            }
        }
        assert_eq!(upstream.is_usable(), usable, "{answer:?}");
    };
    check("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false).await;
    check("HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n", true).await;
    check("HTTP/1.1 503 No\r\nContent-Length: 0\r\nProxy-Status: cache\r\n\r\n", true).await;
    check("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", true).await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false).await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfull", true).await;
}

#[tokio::test]
async fn failures_with_successes_between_them_eject_nobody() {
    let replica = Replica::start(|asked| match asked.nth % 5 {
        4 => Act::Answer(ok("good")),
        _ => Act::Last(String::new()),
    })
    .await;
    let upstream = upstream(&[&replica], &["--attempts", "1"]).await;
    let client = upstream.client();
    for _ in 0..20 {
        let _ = ask(&client, Method::GET, "").await;
        assert!(upstream.is_usable());
    }
}

#[tokio::test]
async fn the_head_of_an_answer_brings_a_replica_back_however_long_its_body_takes() {
    let replica = Replica::start(|asked| match asked.nth {
        0..5 => Act::Last(String::new()),
        _ => Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into()),
    })
    .await;
    let upstream = upstream(&[&replica], &["--attempts", "1"]).await;
    let client = upstream.client();
    for _ in 0..5 {
        ask(&client, Method::GET, "").await.unwrap_err();
    }
    assert!(!upstream.is_usable());
    let _unread = client.send(request(Method::GET, ""), None).await.unwrap();
    assert!(upstream.is_usable());
}
