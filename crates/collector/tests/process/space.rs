//! The disk is full, and has space again: a limit on the size of a file stands for it. It stops a write half way, as
//! a full disk does, and needs no rights.

use http::{Request, header};
use prost::Message as _;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::{
    running::{Collector, Place, Start},
    taken::{PROTOBUF, export, post, spans},
};

fn limit_files(collector: &Collector, bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(Some(collector.pid()), Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

#[tokio::test]
async fn without_space_senders_are_asked_to_come_again_and_with_space_it_goes_on() {
    let place = Place::new();
    let mut collector = Collector::start_with(&place, &[], Start::WithFileSizeErrors);
    export(collector.grpc, "before").await.unwrap();
    let before = place.all("traces");

    limit_files(&collector, Some(before.len() as u64 + 10));
    let refused = export(collector.grpc, "without space").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    let request = Request::builder()
        .uri(format!("http://{}/v1/traces", collector.http))
        .header(header::CONTENT_TYPE, PROTOBUF);
    let answer = post(request, spans("without space").encode_to_vec()).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[header::RETRY_AFTER]),
        (503, &"1".parse().unwrap())
    );
    assert_eq!(place.all("traces"), before, "what was written of the line is taken back");
    collector.line("cannot write: senders are asked to try again");

    limit_files(&collector, None);
    export(collector.grpc, "after").await.unwrap();
    collector.line("writing again");
    let after = place.all("traces");
    assert_eq!(after, before.clone() + &before.replace("before", "after"));
}
