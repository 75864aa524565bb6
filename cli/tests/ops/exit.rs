//! The numbers with which the program exits, each by the deed that leads to it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    transport::Server,
};

use super::{house::House, program::ops};

const NOWHERE: &str = "01900000-0000-7000-8000-000000000000";

/// What stands between a client and its server and lets nobody through, as a proxy that asks for a login does.
#[derive(Clone)]
struct Guard(Code);

impl NamedService for Guard {
    const NAME: &'static str = "ops.v1.RunService";
}

impl Service<http::Request<Body>> for Guard {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        ready(Ok(Status::new(self.0, "not you").into_http()))
    }
}

/// How `ops run get` ends where every call is refused with this code.
async fn refused_with(code: Code) -> (Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut guard = JoinSet::new();
    guard.spawn(Server::builder().add_service(Guard(code)).serve_with_incoming(TcpListenerStream::new(listener)));
    let get = move || ops(&["run", "get", NOWHERE, "--server", &address]);
    let ended = tokio::task::spawn_blocking(get).await.unwrap();
    (ended.code, ended.stderr)
}

#[tokio::test]
async fn who_is_not_allowed_is_told_by_4() {
    for code in [Code::Unauthenticated, Code::PermissionDenied] {
        let (exit, told) = refused_with(code).await;
        assert_eq!((exit, told.as_str()), (Some(4), "error: not you\n"), "{code:?}");
    }
    // The same way, so that it is the code and not the way that decides.
    assert_eq!(refused_with(Code::Unimplemented).await.0, Some(1));
    assert_eq!(refused_with(Code::ResourceExhausted).await.0, Some(8));
}

#[tokio::test]
async fn what_is_not_there_or_stands_against_it_is_told_by_7() {
    let house = House::open().await;
    for verb in [["run", "get"], ["session", "get"], ["worker", "drain"], ["run", "cancel"], ["run", "wait"]] {
        let ended = house.ops(&[&verb[..], &[NOWHERE]].concat());
        assert_eq!(ended.code, Some(7), "{verb:?} {ended:?}");
    }
    let session = house.session();
    house.ops(&["session", "close", &session]).success();
    let enqueue = ["run", "enqueue", "--lane", "A", "--kind", "k", "--request-id", "once"];
    let closed = house.ops(&[&enqueue[..], &["--session", &session]].concat());
    assert!(closed.code == Some(7) && closed.stderr.contains("SESSION_CLOSED"), "{closed:?}");
    let session = house.session();
    let create = ["session", "create", "--request-id", "again"];
    house.ops(&[&create[..], &["one"]].concat()).success();
    let reused = house.ops(&[&create[..], &["other"]].concat());
    assert!(reused.code == Some(7) && reused.stderr.contains("REQUEST_ID_REUSED"), "{reused:?}");
    // A field that is wrong is none of these.
    let wrong = house.ops(&["run", "enqueue", "--lane", "A", "--kind", "", "--session", &session]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
}

#[tokio::test]
async fn a_server_whose_database_is_away_is_told_by_8() {
    let mut house = House::with_own_postgresql().await;
    house.serve(&[]);
    house.ops(&["session", "list"]).success();
    house.postgresql().kill_hard().await.unwrap();
    let ended = house.ops(&["session", "list"]);
    assert_eq!(ended.code, Some(8), "{ended:?}");
    assert!(ended.stderr.contains("DATABASE_UNAVAILABLE"), "{ended:?}");
}

#[test]
fn the_help_has_the_table() {
    let help = ops(&["--help"]).success();
    for number in [0, 1, 2, 3, 4, 5, 6, 7, 8] {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {number}  "))), "{number}\n{help}");
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md")).unwrap();
    let table = |text: &str| -> Vec<String> {
        let words = text.lines().filter(|line| line.starts_with("  ") && line.trim().starts_with(char::is_numeric));
        words.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(table(&page), table(&help), "docs/cli.md has the table of --help");
}
