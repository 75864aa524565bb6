//! The exit statuses of the program, and what leads to each.

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

use super::{
    doctor::{connect, findings, one, sql},
    fixture::Fixture,
    program::ops,
};

const NOWHERE: &str = "01900000-0000-7000-8000-000000000000";

/// A server that refuses every call, as a proxy does that demands a login.
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

/// The exit status and standard error of `ops run get` if every call is refused with this code.
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
async fn a_call_that_is_not_allowed_exits_with_4() {
    for code in [Code::Unauthenticated, Code::PermissionDenied] {
        let (exit, printed) = refused_with(code).await;
        assert_eq!((exit, printed.as_str()), (Some(4), "error: not you\n"), "{code:?}");
    }
    // Another code in the same way, to prove that the code decides.
    assert_eq!(refused_with(Code::Unimplemented).await.0, Some(1));
    assert_eq!(refused_with(Code::ResourceExhausted).await.0, Some(8));
}

#[tokio::test]
async fn a_missing_object_or_a_conflict_exits_with_7() {
    let fixture = Fixture::open().await;
    for verb in [["run", "get"], ["session", "get"], ["worker", "drain"], ["run", "cancel"], ["run", "wait"]] {
        let ended = fixture.ops(&[&verb[..], &[NOWHERE]].concat());
        assert_eq!(ended.code, Some(7), "{verb:?} {ended:?}");
    }
    let session = fixture.session();
    fixture.ops(&["session", "close", &session]).success();
    let enqueue = ["run", "enqueue", "--lane", "A", "--kind", "k", "--request-id", "once"];
    let closed = fixture.ops(&[&enqueue[..], &["--session", &session]].concat());
    assert!(closed.code == Some(7) && closed.stderr.contains("SESSION_CLOSED"), "{closed:?}");
    let session = fixture.session();
    let create = ["session", "create", "--request-id", "again"];
    fixture.ops(&[&create[..], &["one"]].concat()).success();
    let reused = fixture.ops(&[&create[..], &["other"]].concat());
    assert!(reused.code == Some(7) && reused.stderr.contains("REQUEST_ID_REUSED"), "{reused:?}");
    // An invalid field has another exit status.
    let wrong = fixture.ops(&["run", "enqueue", "--lane", "A", "--kind", "", "--session", &session]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
}

#[tokio::test]
async fn a_locked_row_exits_with_8_and_the_doctor_names_who_has_locked_it() {
    let fixture = Fixture::open().await;
    let session = fixture.session();
    let url = fixture.database_url();
    let mut holder = connect(&format!("{url}&application_name=holder")).await;
    let lock = format!("BEGIN; SELECT FROM ops.sessions WHERE id = '{session}' FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();
    let close = ["session", "close", session.as_str()];
    let busy = fixture.ops(&close);
    assert_eq!(busy.code, Some(8), "{busy:?}");
    assert!(busy.stderr.contains("DATABASE_BUSY") && busy.stderr.contains("`ops doctor"), "{busy:?}");
    // No call waits for it any more.
    let held = one(&findings(&url, &[]), "locks-held");
    assert!(held.what.contains("application 'holder'") && held.what.contains("ops.sessions"), "{held:?}");
    sql(&url, held.mend.split_once(": ").unwrap().1).await;
    fixture.ops(&close).success();
    assert_eq!(findings(&url, &[]), []);
}

#[tokio::test]
async fn a_server_without_its_database_exits_with_8() {
    let mut fixture = Fixture::with_own_postgresql().await;
    fixture.serve(&[]);
    fixture.ops(&["session", "list"]).success();
    fixture.postgresql().kill_hard().await.unwrap();
    let ended = fixture.ops(&["session", "list"]);
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
