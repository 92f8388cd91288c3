//! Interim responses: told as they come, and never the answer.

use std::sync::{Arc, Mutex};

use upstream::testing::{Act, ok};

use super::*;

/// What was told, a line each.
type Told = Arc<Mutex<Vec<String>>>;

/// A request whose interim responses are told.
fn telling(method: Method, told: &Told) -> Request<Full<Bytes>> {
    let (mut request, told) = (request(method, ""), told.clone());
    upstream::on_interim(&mut request, move |status, fields| {
        let fields = fields.iter().map(|(name, value)| format!(" {name}: {}", value.to_str().unwrap()));
        told.lock().unwrap().push(status.as_str().to_owned() + &fields.collect::<String>());
    });
    request
}

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX: y\r\nLink: </b>\r\n\r\n";

#[tokio::test]
async fn interim_responses_are_told_without_what_is_hop_by_hop() {
    let replica = Replica::start(|_| {
        let hop = "HTTP/1.1 102 Processing\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 9\r\n\r\n";
        Act::Answer(hop.to_owned() + HINT + &ok("hello"))
    })
    .await;
    let client = client(&[&replica], &[]).await;
    for _ in 0..2 {
        let told = Told::default();
        let answer = within(client.send(telling(Method::POST, &told), None)).await.unwrap();
        assert_eq!(answer.headers().get("link"), None, "they are none of the answer's");
        assert_eq!(text(answer).await, "hello");
        assert_eq!(*told.lock().unwrap(), ["102", "103 link: </a> link: </b> x: y"]);
    }
    // Whoever does not ask is not told, and has the same answer.
    assert_eq!(ask(&client, Method::GET, "").await.unwrap(), "hello");
    assert_eq!(replica.seen().accepted, 1);
}

#[tokio::test]
async fn a_connection_that_ends_after_an_interim_response_has_not_answered() {
    let replica = Replica::start(|_| Act::Last(HINT.to_owned())).await;
    let client = client(&[&replica], &["--attempts", "2"]).await;
    let told = Told::default();
    let failure = within(client.send(telling(Method::POST, &told), None)).await.unwrap_err();
    assert_eq!(failure.response("here").status(), 502);
    assert_eq!(told.lock().unwrap().len(), 1, "a POST may have been carried out");
}

#[tokio::test]
async fn each_attempts_interim_responses_are_told() {
    let replica = Replica::start(|asked| match asked.nth {
        0 => Act::Last(HINT.to_owned()),
        _ => Act::Answer(HINT.to_owned() + &ok("hello")),
    })
    .await;
    let client = client(&[&replica], &[]).await;
    let told = Told::default();
    let answer = within(client.send(telling(Method::GET, &told), None)).await.unwrap();
    assert_eq!(text(answer).await, "hello");
    assert_eq!(told.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn however_many_there_are_the_answer_comes() {
    let replica = Replica::start(|_| Act::Answer(HINT.repeat(1000) + &ok("hello"))).await;
    let client = client(&[&replica], &[]).await;
    let told = Told::default();
    let answer = within(client.send(telling(Method::GET, &told), None)).await.unwrap();
    assert_eq!(text(answer).await, "hello");
    assert_eq!(told.lock().unwrap().len(), 1000, "how many are enough is the server's to say");
}
