//! Several caches over one Redis, as processes: what one has stored the others give, and what is wrong no one does.

use std::process::Command;
use std::time::Duration;

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Answer, Client, Parts, System, eventually, eventually_within, throughline, whole_lines};

/// Two caches over a real Redis, and a booking that they may keep.
struct Sharing {
    system: System,
    path: String,
}

impl Sharing {
    async fn start() -> Sharing {
        let system = System::builder().parts(Parts::Real).caches(2).start().await;
        system.has_told().await;
        let client = system.client();
        let wanted = json!({"resource": "hall", "guest": "Ada",
                            "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
        let created = client.post("/api/bookings", &wanted).await;
        let path = created.header("location").to_owned();
        assert_eq!(client.post(&format!("{path}/cancel"), &json!({})).await.status, 200);
        Sharing { system, path }
    }

    /// Asks one of the caches, past the load balancer, under the host that clients use.
    async fn ask(&self, cache: usize, path: &str) -> Answer {
        self.send(cache, Method::GET, path, &[], "").await
    }

    async fn send(
        &self,
        cache: usize,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &'static str,
    ) -> Answer {
        let client = Client::new(self.system.processes("cache")[cache].address);
        let mut request = client.request(method, path, fields, body);
        let host = self.system.address().to_string().parse().expect("a field value");
        request.headers_mut().insert("host", host);
        client.send(request).await
    }

    /// Asks until an answer is as expected: it is fresh for five seconds only, and on a busy machine those may be over before
    /// a cache is back or has written to Redis. Then they come again.
    async fn ask_until(&self, what: &str, expected: impl Fn(&Answer) -> bool) -> Answer {
        eventually_within(Duration::from_secs(60), what, async || {
            self.ask(0, &self.path).await;
            let answer = self.ask(1, &self.path).await;
            if expected(&answer) { Ok(answer) } else { Err(format!("{answer:?}")) }
        })
        .await
    }
}

fn member(answer: &Answer) -> &str {
    answer.header("cache-status")
}

#[tokio::test]
async fn an_answer_of_one_cache_is_given_by_the_other_and_says_where_it_comes_from() {
    let sharing = Sharing::start().await;
    let given = sharing
        .ask_until("the other cache gives it", |answer| member(answer).ends_with("detail=second-level"))
        .await;
    let story = sharing.system.story(&given.trace_id(), &["cache"]).await;
    let server = story.server("cache");
    assert_eq!(server.attribute("throughline.cache.result"), "hit");
    assert_eq!(server.attribute("throughline.cache.reason"), "second-level");
    let mut trace = Command::new(throughline());
    trace.args(["trace", &given.trace_id(), "--from"]).arg(sharing.system.files());
    let text = String::from_utf8(trace.output().expect("the binary can be started").stdout).expect("text");
    assert!(text.contains("answered from an entry stored by trace"), "{text}");
    assert!(text.contains("EVALSHA"), "{text}");
}

#[tokio::test]
async fn a_write_through_one_cache_is_seen_through_the_other_at_once_in_redis_and_soon_in_memory() {
    let sharing = Sharing::start().await;
    let stored = sharing.ask_until("both have it", |answer| member(answer).contains("hit")).await;
    let fields = [("content-type", "application/merge-patch+json"), ("if-match", stored.header("etag"))];
    let changed = sharing.send(0, Method::PATCH, &sharing.path, &fields, r#"{"guest":"Grace"}"#).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let guest = |answer: &Answer| answer.json()["guest"].clone();
    assert_eq!(guest(&sharing.ask(0, &sharing.path).await), "Grace");
    let heard = eventually("the other cache has heard of it", async || {
        let answer = sharing.ask(1, &sharing.path).await;
        if guest(&answer) == "Grace" { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    // Not because its lifetime was over, but because it was dropped: or it would have been revalidated.
    assert!(!member(&heard).contains("fwd=stale"), "{heard:?}");
}

#[tokio::test]
async fn a_purge_reaches_every_cache() {
    let sharing = Sharing::start().await;
    for (nth, asked) in ["url", "prefix"].into_iter().enumerate() {
        sharing.ask_until("both have it", |answer| member(answer).contains("hit")).await;
        let admin = Client::new(sharing.system.processes("cache")[nth % 2].admin);
        let url = format!("http://{}{}", sharing.system.address(), sharing.path);
        let answer = admin.post("/purge", &json!({asked: url})).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{said}");
        assert!(said.ends_with(", and told to Redis and the other caches\n"), "{said}");
        let gone = sharing.ask(nth % 2, &sharing.path).await;
        assert!(!member(&gone).contains("hit"), "{asked}: {gone:?}");
    }
}

#[tokio::test]
async fn a_cache_that_was_killed_has_everything_when_it_is_back() {
    let sharing = Sharing::start().await;
    let stored = sharing.ask_until("both have it", |answer| member(answer).contains("hit")).await;
    let killed = sharing.system.processes("cache").remove(1);
    sharing.system.signal(&killed, Signal::KILL);
    sharing.system.restarted(&killed).await;
    let given = sharing
        .ask_until("it gives it from Redis", |answer| member(answer).ends_with("detail=second-level"))
        .await;
    assert_eq!(given.json()["id"], stored.json()["id"]);
}

#[tokio::test]
async fn without_redis_everything_goes_on() {
    let mut sharing = Sharing::start().await;
    sharing.system.redis().kill();
    let answers = |answer: Answer| -> Value {
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["status"].clone()
    };
    for nth in 0..20 {
        let resource = json!({"resource": format!("room-{nth}"), "guest": "Ada",
                              "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
        assert_eq!(sharing.system.client().post("/api/bookings", &resource).await.status, 201);
        assert_eq!(answers(sharing.ask(nth % 2, &sharing.path).await), "cancelled");
    }
    let files = sharing.system.files();
    eventually("an operator is told", async || {
        let told = whole_lines(&files, "logs", |line| line.contains("Redis is not used"));
        if told.is_empty() { Err("no line says it") } else { Ok(()) }
    })
    .await;
}
