//! Interim responses on real sockets: where they come in what the client reads, and where not.

use std::sync::Mutex;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Version, header};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{
    super::{pace::Seen, socket::Socket},
    *,
};
use crate::Interim;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n";

/// More than a socket and its reader's take in between them.
const LARGE: usize = 16 << 20;

fn hint(request: &Request<Incoming>) {
    let links = ["</a>", "</b>"].map(|link| (header::LINK, HeaderValue::from_static(link)));
    if let Some(interim) = request.extensions().get::<Interim>() {
        interim.send(StatusCode::EARLY_HINTS, &HeaderMap::from_iter(links));
    }
}

/// A listener whose requests are answered by `answer`.
async fn serve<A, F>(h2: bool, answer: A) -> (SocketAddr, impl AsyncFnOnce())
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let draining = Draining::default();
    let make = move |_thread| {
        let answer = answer.clone();
        tower::service_fn(move |request| {
            let answered = answer(request);
            async { Ok::<_, Infallible>(answered.await) }
        })
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(listen, Limits::default(), h2, draining.clone(), make).unwrap();
    let address = listener.address();
    let mut serving = Serving::start(vec![listener], 1, &draining).await.unwrap();
    (address, async move || {
        draining.begin();
        timeout(BOUND, serving.drained()).await.expect("drains within its bound");
        serving.stop().await;
    })
}

fn said(text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.into()))
}

/// What is read until the server closes the connection, without `date` lines.
async fn all_of(mut client: Client) -> String {
    let text = client.rest().await;
    let lines = text.split_inclusive('\n').filter(|line| !line.starts_with("date: "));
    lines.collect()
}

async fn send(address: SocketAddr, text: &str) -> Client {
    let mut client = Client(TcpStream::connect(address).await.unwrap());
    client.send(text).await;
    client
}

fn get(target: &str, version: &str) -> String {
    format!("GET {target} HTTP/{version}\r\nhost: a\r\n\r\n")
}

fn last(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn each_of_many_pipelined_answers_has_its_own_before_it() {
    let (address, end) = serve(false, |request| async move {
        let target = request.uri().path().to_owned();
        // Every second one's answer comes later than what comes before it.
        hint(&request);
        if target.ends_with('1') {
            tokio::task::yield_now().await;
        }
        if target.ends_with('2') {
            hint(&request);
        }
        said(target)
    })
    .await;
    let client =
        send(address, &(get("/0", "1.1") + &get("/1", "1.1") + &get("/2", "1.1") + &last("/3"))).await;
    let answer = |target: &str, fields: &str| {
        format!("{HINT}HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\n{target}")
    };
    let expected = answer("/0", "")
        + &answer("/1", "")
        + HINT
        + &answer("/2", "")
        + &answer("/3", "connection: close\r\n");
    assert_eq!(all_of(client).await, expected);
    end().await;
}

#[tokio::test]
async fn an_interim_response_does_not_wait_for_the_answer() {
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let held = gate.clone();
    let (address, end) = serve(false, move |request| {
        let (gate, tell) = (held.clone(), tell.clone());
        async move {
            tell.send(request).unwrap();
            gate.acquire().await.unwrap().forget();
            said("done")
        }
    })
    .await;
    let mut client = send(address, &last("/")).await;
    // From another thread, while the connection's own has nothing to do.
    let request = told.recv().await.unwrap();
    for _ in 0..2 {
        hint(&request);
        assert_eq!(client.answer().await, HINT);
    }
    gate.add_permits(1);
    assert!(all_of(client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    end().await;
}

#[tokio::test]
async fn whoever_reads_slowly_reads_everything_in_order() {
    let (address, end) = serve(false, |request| async move {
        if request.uri().path() == "/large" {
            return said(vec![b'x'; LARGE]);
        }
        let links = HeaderMap::from_iter([(header::LINK, HeaderValue::from_bytes(&[b'y'; 7000]).unwrap())]);
        let interim = request.extensions().get::<Interim>().unwrap();
        for _ in 0..2 {
            interim.send(StatusCode::EARLY_HINTS, &links);
            tokio::task::yield_now().await;
        }
        said("hinted")
    })
    .await;
    let client = send(address, &(get("/large", "1.1") + &last("/hinted"))).await;
    let text = all_of(client).await;
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n{}", "x".repeat(LARGE));
    let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "y".repeat(7000));
    let hinted = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nhinted";
    assert!(text == large + &hint + &hint + hinted, "{} bytes: {:?}", text.len(), text.get(LARGE..));
    end().await;
}

#[tokio::test]
async fn an_answer_that_hyper_still_holds_comes_before_the_next_ones_interim_response() {
    let begun = Arc::new(AtomicUsize::new(0));
    let seen = begun.clone();
    let (address, end) = serve(false, move |request| {
        let seen = seen.clone();
        async move {
            seen.fetch_add(1, Ordering::SeqCst);
            if request.uri().path() == "/hinted" {
                hint(&request);
                return said("");
            }
            // Answered before its body has come: when that has, the next request begins, whatever is written.
            tokio::spawn(request.into_body().collect());
            let mut response = said("");
            let long = HeaderValue::from_bytes(&vec![b'x'; LARGE]).unwrap();
            response.headers_mut().insert("x", long);
            response
        }
    })
    .await;
    let mut client = send(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nb").await;
    let count = |expected| {
        let begun = &begun;
        move || {
            if begun.load(Ordering::SeqCst) == expected { Ok(()) } else { Err(begun.load(Ordering::SeqCst)) }
        }
    };
    until("the first request begins", count(1)).await;
    client.send(&("b".to_owned() + &last("/hinted"))).await;
    until("the second request begins", count(2)).await;
    let text = all_of(client).await;
    let first = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(LARGE));
    let second = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert!(text == first + HINT + second, "{} bytes: {:?}", text.len(), text.get(LARGE..));
    end().await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_continue_is() {
    let (address, end) = serve(false, |request| async move {
        hint(&request);
        said(request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    let mut client = send(address, head).await;
    let mut before = [client.answer().await, client.answer().await];
    before.sort();
    assert_eq!(before, ["HTTP/1.1 100 Continue\r\n\r\n", HINT]);
    client.send("body").await;
    let answer = all_of(client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nbody"), "{answer}");
    end().await;
}

#[tokio::test]
async fn of_a_thousand_a_few_are_written_and_the_answer_comes() {
    let (address, end) = serve(false, |request| async move {
        for _ in 0..1000 {
            hint(&request);
            tokio::task::yield_now().await;
        }
        said("done")
    })
    .await;
    let text = all_of(send(address, &last("/")).await).await;
    let answer = text.trim_start_matches(HINT);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert_eq!((text.len() - answer.len()) / HINT.len(), 16);
    end().await;
}

#[tokio::test]
async fn what_comes_after_its_answer_is_dropped() {
    let kept = Arc::new(Mutex::new(None::<Interim>));
    let (address, end) = serve(false, move |request| {
        let kept = kept.clone();
        async move {
            let mine = request.extensions().get::<Interim>().cloned();
            let former = std::mem::replace(&mut *kept.lock().unwrap(), mine);
            if let Some(former) = former {
                former.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
            }
            said("done")
        }
    })
    .await;
    let text = all_of(send(address, &(get("/", "1.1") + &last("/"))).await).await;
    assert!(!text.contains("103"), "{text}");
    assert_eq!(text.matches("200 OK").count(), 2, "{text}");
    end().await;
}

#[tokio::test]
async fn a_client_of_http_1_0_is_sent_none() {
    let (address, end) = serve(false, |request| async move {
        hint(&request);
        said("done")
    })
    .await;
    let text = all_of(send(address, &get("/", "1.0")).await).await;
    assert_eq!(text, "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\ndone");
    end().await;
}

#[tokio::test]
async fn where_http_2_is_spoken_only_http_1_1_has_them() {
    let (address, end) = serve(true, |request| async move {
        assert_eq!(request.extensions().get::<Interim>().is_some(), request.version() == Version::HTTP_11);
        hint(&request);
        said("done")
    })
    .await;
    assert!(all_of(send(address, &last("/")).await).await.starts_with(HINT));
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::get(format!("http://{address}/")).body(Full::<Bytes>::default()).unwrap();
    let response = timeout(BOUND, sender.send_request(request)).await.expect("within its bound").unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "done");
    drop(sender);
    driving.await.unwrap().unwrap();
    end().await;
}

#[tokio::test]
async fn what_a_full_socket_could_not_take_comes_before_what_follows() {
    let first = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let both = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 104 \r\n\r\n";
    for (hints, vectored, expected) in [(1, false, first), (1, true, first), (2, true, both)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = Client(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let seen = Arc::new(Seen::default());
        let mut socket = Socket::new(listener.accept().await.unwrap().0, permit, seen.clone());
        let interim = seen.interim.begin();

        let (mut filled, large) = (0, vec![b'x'; 1 << 20]);
        while let Some(written) = socket.write(&large).now_or_never() {
            filled += written.unwrap();
        }
        for number in 0..hints {
            interim.send(StatusCode::from_u16(103 + number).unwrap(), &HeaderMap::new());
            // Takes the first and cannot write it.
            let _ = socket.flush().now_or_never();
        }
        let write = async {
            if hints > 1 {
                socket.flush().await.unwrap();
            }
            let written = if vectored {
                socket.write_vectored(&[io::IoSlice::new(b"answer")]).await
            } else {
                socket.write(b"answer").await
            };
            assert_eq!(written.unwrap(), 6);
            socket.shutdown().await.unwrap();
        };
        let ((), text) = tokio::join!(write, client.rest());
        assert_eq!(text[filled..], format!("{expected}answer"), "{hints} {vectored}");
    }
}
