//! Purging through the whole path: an operator's word on the cache's admin address.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Answer, Client, System};

/// A system with one booking each of three resources, cancelled, so that a cache may keep it; and the cache's admin
/// address.
struct Kept {
    system: System,
    admin: Client,
    paths: Vec<String>,
}

impl Kept {
    async fn start() -> Kept {
        let system = System::start().await;
        // `up` makes a booking of its own, and has removed it when it tells the story.
        system.has_told().await;
        let client = system.client();
        let mut paths = Vec::new();
        for resource in ["room", "hall", "attic"] {
            let wanted = json!({"resource": resource, "guest": "Ada",
                                "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
            let created = client.post("/api/bookings", &wanted).await;
            assert_eq!(created.status, 201, "{created:?}");
            let path = created.header("location").to_owned();
            assert_eq!(client.post(&format!("{path}/cancel"), &json!({})).await.status, 200);
            paths.push(path);
        }
        let admin = Client::new(system.processes("cache")[0].admin);
        Kept { system, admin, paths }
    }

    /// Has every booking stored just now: they are fresh for five seconds.
    async fn fill(&self) {
        self.purge(&json!({"all": true})).await;
        for path in &self.paths {
            self.system.client().get(path).await;
        }
    }

    async fn purge(&self, asked: &Value) -> String {
        let answer = self.admin.post("/purge", asked).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        // Said where there is a Redis.
        text(&answer).replace(", and told to Redis and the other caches", "")
    }

    /// What the cache does about each booking: `hit`, or why not.
    async fn results(&self) -> Vec<String> {
        let mut results = Vec::new();
        for path in &self.paths {
            let answer = self.system.client().get(path).await;
            let status = answer.header("cache-status").to_owned();
            let member = status.split("; ").nth(1).unwrap_or_default();
            results.push(member.trim_start_matches("fwd=").to_owned());
        }
        results
    }

    fn origin(&self) -> String {
        format!("http://{}", self.system.address())
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).expect("text")
}

#[tokio::test]
async fn what_is_purged_is_fetched_anew_and_nothing_else_is() {
    let kept = Kept::start().await;
    let origin = kept.origin();
    let (hit, miss) = ("hit", "uri-miss");
    for (asked, said, after) in [
        (
            json!({"url": format!("{origin}{}", kept.paths[0])}),
            "stored answers removed: 1\n",
            [miss, hit, hit],
        ),
        (json!({"url": format!("{origin}/absent")}), "stored answers removed: 0\n", [hit, hit, hit]),
        (
            json!({"group": "resource:hall", "origin": origin}),
            "stored answers removed: 1\n",
            [hit, miss, hit],
        ),
        (
            json!({"group": "resource:hall", "origin": "http://other"}),
            "stored answers removed: 0\n",
            [hit, hit, hit],
        ),
        (
            json!({"prefix": format!("{origin}{}", kept.paths[2])}),
            "stored answers removed: 1\n",
            [hit, hit, miss],
        ),
        (json!({"prefix": format!("{origin}/api/")}), "stored answers removed: 3\n", [miss, miss, miss]),
        (json!({"all": true}), "stored answers removed: 3\n", [miss, miss, miss]),
    ] {
        kept.fill().await;
        assert_eq!(kept.purge(&asked).await, said, "{asked}");
        assert_eq!(kept.results().await, after, "{asked}");
    }
}

#[tokio::test]
async fn what_is_purged_softly_is_confirmed_by_its_origin() {
    let kept = Kept::start().await;
    let origin = kept.origin();
    for (asked, said, after) in [
        (
            json!({"url": format!("{origin}{}", kept.paths[1]), "soft": true}),
            "stored answers made stale: 1\n",
            ["hit", "stale", "hit"],
        ),
        (
            json!({"group": "resource:room", "origin": origin, "soft": true}),
            "stored answers made stale: 1\n",
            ["stale", "hit", "hit"],
        ),
        (json!({"all": true, "soft": true}), "stored answers made stale: 3\n", ["stale", "stale", "stale"]),
    ] {
        kept.fill().await;
        assert_eq!(kept.purge(&asked).await, said, "{asked}");
        let results = kept.results().await;
        assert_eq!(results, after, "{asked}");
        assert_eq!(kept.results().await, ["hit", "hit", "hit"], "confirmed, they are fresh again");
    }
}

#[tokio::test]
async fn what_cannot_be_purged_is_refused_with_the_reason() {
    let kept = Kept::start().await;
    let refused = async |method: Method, path: &str, headers: &[(&str, &str)], body: &str| {
        let answer = kept.admin.send(kept.admin.request(method, path, headers, body)).await;
        (answer.status, text(&answer))
    };
    let (status, said) = refused(Method::POST, "/purge", &[], "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(said.contains("exactly one of `url`"), "{said}");
    let (status, said) = refused(Method::POST, "/purge", &[], r#"{"url": "/api"}"#).await;
    assert!(status == 400 && said.contains("`url` must be a URL with its host"), "{status} {said}");
    let (status, said) = refused(Method::POST, "/purge", &[], &"x".repeat(70_000)).await;
    assert!(status == 400 && said.contains("length limit"), "{status} {said}");
    let (status, said) = refused(Method::GET, "/purge", &[], "").await;
    assert!(status == 405 && said.contains("only POST"), "{status} {said}");
    let page = [("origin", "http://evil.example")];
    let (status, said) = refused(Method::POST, "/purge", &page, r#"{"all": true}"#).await;
    assert!(status == 403 && said.contains("browser"), "{status} {said}");
    let (status, said) = refused(Method::POST, "/absent", &[], "").await;
    assert!(status == 404 && said.contains("/healthz or /readyz or /purge"), "{status} {said}");
    // Another service has nothing to purge.
    let edge = Client::new(kept.system.processes("load_balancer")[0].admin);
    assert_eq!(edge.post("/purge", &json!({"all": true})).await.status, 404);
}
