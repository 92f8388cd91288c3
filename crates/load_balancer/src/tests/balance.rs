//! Which replica a key is sent to: always its own, or with a load factor the next ones as well while it is hot.

use upstream::testing::Act;

use super::*;

/// Begins an answer that does not end: the request stays in flight for as long as its client does.
async fn holding() -> Replica {
    Replica::start(|_| Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into())).await
}

/// Asks for `target` and keeps the connection with its unfinished answer.
async fn begin(lb: &Lb, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(lb.address).await.unwrap();
    stream.write_all(head("GET", target, &[]).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"half") {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut answer));
        assert_ne!(read.await.expect("an answer within ten seconds").unwrap(), 0, "{answer:?}");
    }
    stream
}

/// How many requests for one target are in flight at each of three replicas, fewest first, after twelve were sent.
async fn twelve_of_one_key(flags: &[&str]) -> [usize; 3] {
    let replicas = [holding().await, holding().await, holding().await];
    let lb = Lb::before(&replicas.each_ref(), flags).await;
    let own = |replica: &&Replica| !replica.seen().asked.is_empty();
    let mut open = vec![begin(&lb, "/hot").await];
    let first = replicas.iter().find(own).unwrap();
    for _ in 1..12 {
        open.push(begin(&lb, "/hot").await);
    }
    let mut counts = replicas.each_ref().map(|replica| replica.seen().asked.len());
    let asked = counts;
    counts.sort_unstable();

    // Once nothing is in flight any more, the key is where it was first.
    drop(open);
    for (replica, asked) in replicas.iter().zip(asked) {
        replica.until(|seen| seen.closed == asked).await;
    }
    let before = first.seen().asked.len();
    let _again = begin(&lb, "/hot").await;
    assert_eq!(first.seen().asked.len(), before + 1, "the key's own replica, when all is idle");
    counts
}

#[tokio::test]
async fn one_hot_key_stays_at_one_replica() {
    assert_eq!(twelve_of_one_key(&["--balance", "hash"]).await, [0, 0, 12]);
}

#[tokio::test]
async fn with_a_load_factor_one_hot_key_is_spread_within_the_bound() {
    let flags = ["--balance", "hash", "--hash-load-factor", "1.25"];
    assert_eq!(twelve_of_one_key(&flags).await, [2, 5, 5], "5 is 1.25 times the mean of 4");
    let flags = ["--balance", "hash", "--hash-load-factor", "1"];
    assert_eq!(twelve_of_one_key(&flags).await, [4, 4, 4]);
}

#[tokio::test]
async fn a_load_factor_without_hash_is_refused_with_what_would_be_accepted() {
    let check = async |policy: &str, accepted: bool| {
        let line =
            ["lb", "--upstream", "http://127.0.0.1:1", "--balance", policy, "--hash-load-factor", "1.25"];
        let started = Upstream::start(Flags::parse_from(line).settings.next_hop()).await;
        assert_eq!(started.is_ok(), accepted, "{policy}");
        if let Err(error) = started {
            let told = "`--hash-load-factor` is `1.25`, but must be `off` unless `--balance` is `hash`";
            assert_eq!(error.to_string(), told);
        }
    };
    check("hash", true).await;
    check("least-loaded", false).await;
    check("round-robin", false).await;
}
