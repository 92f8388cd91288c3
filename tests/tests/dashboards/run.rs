//! A real run: the system on the real Collector and PostgreSQL, with everything in it that a panel is about, read by a
//! real Prometheus.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Answer, Client, Held, Parts, Prometheus, Story, System, eventually_within, postgres};
use tokio::task::JoinHandle;

use crate::{
    board::{Dashboard, Query, all_queries, dashboards},
    named,
};

/// Rates are over so long; everything below happens again within it, until all queries have an answer.
const WINDOW: &str = "20s";

struct Run {
    system: System,
    database: String,
    prometheus: Prometheus,
    rounds: u32,
}

impl Run {
    async fn start() -> Run {
        let database = postgres::database().await;
        let mut system = System::builder()
            .parts(Parts::Real)
            .database(&database)
            .variable("OTEL_METRIC_EXPORT_INTERVAL", "500")
            .variable("THROUGHLINE_MAX_IN_FLIGHT", "2")
            .start()
            .await;
        let directory = system.directory().to_owned();
        system.has_told().await;
        let prometheus = Prometheus::start(&directory, system.collector()).await;
        Run { system, database, prometheus, rounds: 0 }
    }

    /// Both http_servers die with reads and writes in flight: retries, and answers that are errors.
    async fn lose_the_servers(&self) {
        let held = Held::table(&self.database, "bookings").await;
        let cache = Client::new(self.system.processes("cache")[0].address);
        let asked: Vec<_> =
            (0..2).map(|number| get(&cache, format!("/api/bookings?resource=lost-{number}"))).collect();
        held.wait_for_waiters(2).await;
        let client = self.system.client();
        let writes: Vec<_> = (0..2)
            .map(|number| {
                let (client, booking) = (client.clone(), booking(&format!("lost-{number}"), 1));
                tokio::spawn(async move { client.post("/api/bookings", &booking).await })
            })
            .collect();
        held.wait_for_waiters(4).await;
        let servers = self.system.processes("http_server");
        for server in &servers {
            self.system.signal(server, Signal::KILL);
        }
        for write in writes {
            let answer = write.await.expect("the write ends");
            assert!(answer.status.is_server_error(), "{answer:?}");
        }
        for read in asked {
            read.await.expect("the read ends");
        }
        held.release().await;
        for server in &servers {
            self.system.restarted(server).await;
        }
        eventually_within(Duration::from_secs(10), "the system serves again", async || {
            let answer = client.get("/api/bookings?status=confirmed").await;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }

    /// Hits, misses, writes, refusals of every kind, and waiting in both queues and in the database.
    async fn round(&mut self) {
        self.rounds += 1;
        let (client, round) = (self.system.client(), self.rounds);
        let hall = format!("hall-{round}");
        let created = client.post("/api/bookings", &booking(&hall, 1)).await;
        assert_eq!(created.status, 201, "{created:?}");
        // A pending booking is kept by no cache, and a worker would stand still with the tables that are held below.
        client.until_confirmed(created.header("location")).await;
        let overlapping = client.post("/api/bookings", &booking(&hall, 1)).await;
        assert_eq!(overlapping.status, 409, "{overlapping:?}");
        for _ in 0..3 {
            client.get(created.header("location")).await;
        }
        let patch = [("content-type", "application/merge-patch+json")];
        client
            .send(client.request(Method::PATCH, created.header("location"), &patch, r#"{"guest":"Grace"}"#))
            .await;
        client.get("/api/bookings/00000000-0000-7000-8000-000000000000").await;
        client.get("/no/such/route").await;
        let too_long = format!("/{}", "x".repeat(20_000));
        for service in ["load_balancer", "cache", "http_server"] {
            let refused = Client::new(self.system.processes(service)[0].address).get(&too_long).await;
            assert_eq!(refused.status, 414, "{service}");
        }
        self.wait_in_both_queues().await;
    }

    async fn wait_in_both_queues(&self) {
        let held = Held::table(&self.database, "bookings").await;
        let cache = Client::new(self.system.processes("cache")[0].address);
        let path = |from, number| format!("/api/bookings?resource={from}-{}-{number}", self.rounds);
        // Two are in flight at the one cache, the others wait for it; then two are at each http_server.
        let mut asked: Vec<_> =
            (0..4).map(|number| get(&self.system.client(), path("edge", number))).collect();
        held.wait_for_waiters(2).await;
        asked.extend((0..4).map(|number| get(&cache, path("cache", number))));
        held.wait_for_waiters(4).await;
        held.release().await;
        for read in asked {
            read.await.expect("the read ends");
        }
    }

    /// The samples of a query, as Grafana would ask for them: each with its value.
    async fn samples(&self, query: &str) -> Result<Vec<Value>, String> {
        let data = self.prometheus.api(&format!("query?query={}", encoded(query))).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// Why a query has no answer, if it has none.
    async fn silence(&self, query: &Query) -> Option<String> {
        let asked = query.concrete(WINDOW);
        match self.samples(&asked).await {
            Ok(samples) if samples.iter().any(|sample| sample["value"][1] != "NaN") => None,
            Ok(samples) => Some(format!("{}: {samples:?} for {asked}", query.place)),
            Err(error) => Some(format!("{}: {error}", query.place)),
        }
    }

    /// The traces that a query's exemplars name.
    async fn exemplars(&self, query: &Query) -> Result<BTreeSet<String>, String> {
        let asked = encoded(&query.concrete(WINDOW));
        let found =
            self.prometheus.api(&format!("query_exemplars?query={asked}&start=0&end=32503680000")).await?;
        let series = found.as_array().cloned().unwrap_or_default();
        let all = series.iter().flat_map(|one| one["exemplars"].as_array().cloned().unwrap_or_default());
        Ok(all.map(|one| one["labels"]["trace_id"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// The labels that the series of a metric have.
    async fn labels(&self, metric: &str) -> BTreeSet<String> {
        let found = self.prometheus.api(&format!("series?match[]={metric}")).await;
        let found = found.unwrap_or_else(|error| panic!("{metric}: {error}"));
        let series = found.as_array().cloned().unwrap_or_default();
        let labels = series.iter().filter_map(Value::as_object).flat_map(|labels| labels.keys().cloned());
        labels.collect()
    }
}

fn get(client: &Client, path: String) -> JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.get(&path).await })
}

fn booking(resource: &str, day: u32) -> Value {
    json!({"resource": resource, "guest": "Ada",
           "starts_at": format!("2031-05-{day:02}T10:00:00Z"), "ends_at": format!("2031-05-{day:02}T11:00:00Z")})
}

/// In a URL's query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[tokio::test]
async fn every_query_has_an_answer_after_a_real_run() {
    let mut run = Run::start().await;
    run.lose_the_servers().await;
    let queries = all_queries();
    assert!(queries.len() > 40, "{} queries", queries.len());
    eventually_within(Duration::from_secs(90), "every query has an answer", async || {
        run.round().await;
        let mut silent = Vec::new();
        for query in &queries {
            silent.extend(run.silence(query).await);
        }
        if silent.is_empty() { Ok(()) } else { Err(silent.join("\n")) }
    })
    .await;

    assert_labels_exist(&run, &queries).await;
    assert_legends_tell_series_apart(&run).await;
    assert_exemplars_are_traces(&run, &queries).await;
    // What a panel is for is in it.
    for happened in [
        "sum(throughline_upstream_retries_total) > 0",
        "sum(traces_span_metrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}) > 0",
        "sum(throughline_cache_requests_total{throughline_cache_result=\"hit\"}) > 0",
        "count(count by (job) (traces_span_metrics_duration_seconds_count{span_name=\"upstream.wait\"})) == 2",
    ] {
        assert!(!run.samples(happened).await.expect("a query").is_empty(), "{happened}");
    }
}

/// A label that no series has would select, or tell apart, nothing.
async fn assert_labels_exist(run: &Run, queries: &[Query]) {
    for query in queries {
        let named = named(query);
        let mut all = BTreeSet::new();
        for (metric, selected) in named.selected {
            let labels = run.labels(&metric).await;
            for label in selected {
                assert!(labels.contains(&label), "{}: `{metric}` has no `{label}`: {labels:?}", query.place);
            }
            all.extend(labels);
        }
        for label in named.grouped.iter().chain(&query.shown) {
            assert!(all.contains(label), "{}: no `{label}` in {all:?}", query.place);
        }
    }
}

/// A legend names every label that a query's answers differ in, and none that they lack.
async fn assert_legends_tell_series_apart(run: &Run) {
    for query in dashboards().iter().flat_map(Dashboard::queries_of_panels) {
        let samples = run.samples(&query.concrete(WINDOW)).await.expect("it has been answered above");
        let labels = samples.iter().filter_map(|sample| sample["metric"].as_object());
        let labels: BTreeSet<_> = labels.flat_map(|labels| labels.keys().cloned()).collect();
        assert_eq!(labels, query.shown.iter().cloned().collect(), "{}", query.place);
    }
}

/// A point in a panel leads to a trace that is there.
async fn assert_exemplars_are_traces(run: &Run, queries: &[Query]) {
    let claimed: Vec<_> = queries.iter().filter(|query| query.has_exemplars).collect();
    assert!(claimed.len() > 5, "{claimed:?}");
    let stories = Story::read_all(&run.system.files());
    for query in claimed {
        let traces = run.exemplars(query).await.unwrap_or_else(|error| panic!("{}: {error}", query.place));
        assert!(!traces.is_empty(), "{}: no exemplars", query.place);
        for trace in traces {
            assert!(stories.contains_key(&trace), "{}: trace `{trace}` is in no file", query.place);
        }
    }
}
