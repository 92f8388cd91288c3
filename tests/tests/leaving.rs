//! A client that leaves before its answer.

use std::time::Duration;

use tests::{Held, Story, System, eventually, postgres};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];
const TRACE: &str = "7d3efb1b173fecfa3f1e0b4a9c2d5e60";

#[tokio::test]
async fn a_client_that_leaves_is_told_as_499_at_the_edge_and_the_trace_is_whole() {
    let database = postgres::database().await;
    let system = System::builder().database(&database).start().await;
    // Its own first request would stand still as well.
    system.has_told().await;
    let held = Held::table(&database, "bookings").await;

    let mut client = TcpStream::connect(system.address()).await.unwrap();
    let request = format!(
        "GET /api/bookings?resource=left HTTP/1.1\r\nhost: {}\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n",
        system.address()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    held.wait_for_waiters(1).await;
    drop(client);

    let line = eventually("the edge's line", async || {
        let story = Story::read(&system.files(), TRACE);
        let lines: Vec<_> = story.lines.into_iter().map(|line| line.0).collect();
        lines
            .iter()
            .find(|line| line["service"] == "load_balancer" && line["message"] == "request")
            .cloned()
            .ok_or_else(|| format!("{lines:#?}"))
    })
    .await;
    assert_eq!(line["status"], 499, "{line}");
    assert_eq!(line["error.type"], "client_closed", "{line}");
    assert_eq!(line["level"], "INFO", "{line}");

    // The others end as well, whether they were told to or not.
    held.release().await;
    let story = system.story(TRACE, &WHOLE_PATH).await;
    story.assert_nested(&WHOLE_PATH);
    assert_eq!(story.server("load_balancer").attribute("error.type"), "client_closed");

    // And nobody else is harmed.
    let next =
        tokio::time::timeout(Duration::from_secs(5), system.client().get("/api/bookings?status=confirmed"))
            .await;
    assert_eq!(next.expect("an answer in time").status, 200);
}
