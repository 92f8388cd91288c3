//! A commit whose answer never came: the end of a run that is written, as far as its worker knows, and was.

use super::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
};

/// Between a worker and its database: breaks the first connection that asks for a commit, once the database has made it.
async fn breaking_at_commit(database: &str) -> String {
    let config: tokio_postgres::Config = database.parse().unwrap();
    let [tokio_postgres::config::Host::Unix(directory)] = config.get_hosts() else { panic!("{config:?}") };
    let socket = directory.join(format!(".s.PGSQL.{}", config.get_ports().first().unwrap_or(&5432)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let is_broken = std::sync::Arc::new(AtomicU32::new(0));
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(pass(client, server, std::sync::Arc::clone(&is_broken)));
        }
    });
    format!("postgres://postgres@{address}/{}", config.get_dbname().unwrap())
}

async fn pass(client: TcpStream, server: UnixStream, broken: std::sync::Arc<AtomicU32>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut commits = false;
    loop {
        tokio::select! {
            Ok(length @ 1..) = from_client.read(&mut asked) => {
                let asked = &asked[..length];
                commits = asked.windows(7).any(|some| some == b"COMMIT\0");
                if to_server.write_all(asked).await.is_err() {
                    return;
                }
            }
            Ok(length @ 1..) = from_server.read(&mut answered) => {
                // It is made by now: whoever asks next will find it.
                if commits && broken.fetch_add(1, Ordering::SeqCst) == 0 {
                    return;
                }
                if to_client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_end_was_written_is_told_so_although_the_answer_was_lost() {
    let url = tests::postgres::database().await;
    let database = Database::on(url.clone()).await;
    let request = Span::internal("a request", Vec::new());
    let now = Timestamp::now();
    let booking = store::Booking {
        id: Uuid::now_v7(),
        details: store::Details {
            resource: "hall".into(),
            guest: "Ada".into(),
            starts_at: now,
            ends_at: now.plus(Duration::from_secs(60)),
            notes: None,
        },
        status: store::Status::Pending,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let id = booking.id;
    let create = database.store.create(booking, None);
    create.with_context(request.context().clone()).await.unwrap();
    let trace = Carried::of(request.context()).and_then(|carried| carried.trace_id()).unwrap();

    let mut making = Making::on(&database).await;
    making.worker.store = opened(&breaking_at_commit(&url).await).await;
    let worker = making.start();
    let line = line_of(&trace).await;
    worker.stop().await;
    assert_eq!((&line["level"], &line["outcome"]), (&"INFO".into(), &"done".into()), "{line}");
    let lines = testing::lines(&trace);
    assert!(lines.iter().any(|line| line["message"] == "end of a run not written"), "{lines:?}");
    let booking = database.store.get(id).await.unwrap();
    assert_eq!((booking.status, booking.version), (store::Status::Confirmed, 2));
}
