//! A database behind PgBouncer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use engine::db::DatabaseUrl;
use engine::db::pooler::pools_transactions;
use nix::sys::signal::Signal;
use proto::v1::*;
use server::doctor::Requirements;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::program::{Program, as_user_of_postgres, installed, write};
use crate::support::{Fixture, Stream, Watcher, cancelled, eventually, in_time};

/// PgBouncer before the cluster of the tests.
pub struct PgBouncer(Program);

impl PgBouncer {
    /// Starts PgBouncer before the tests' cluster. `settings` are lines of its `pgbouncer` section, such as `pool_mode = transaction`.
    /// Without any, it has its defaults: a pool in session mode of 20 connections.
    pub async fn start(settings: &str) -> Self {
        let cluster = devpg::testing::shared();
        let command = |folder: &Path, port: u16| {
            let users = folder.join("users.txt");
            write(&users, "\"postgres\" \"\"\n");
            let config = format!(
                "[databases]\n\
                 * = host={socket} port={server}\n\
                 [pgbouncer]\n\
                 listen_addr = 127.0.0.1\n\
                 listen_port = {port}\n\
                 unix_socket_dir =\n\
                 auth_type = trust\n\
                 auth_file = {users}\n\
                 {settings}\n",
                socket = cluster.socket_dir().display(),
                server = cluster.port(),
                users = users.display(),
            );
            write(&folder.join("pgbouncer.ini"), config);
            let mut command = Command::new(installed("pgbouncer"));
            command.arg(folder.join("pgbouncer.ini"));
            as_user_of_postgres(&mut command);
            command
        };
        Self(Program::start("PgBouncer", command).await)
    }

    /// The URL of a database of the cluster, through PgBouncer.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.0.address)
    }

    /// Its log.
    pub fn log(&self) -> String {
        self.0.log()
    }
}

/// A run lives and ends on servers that reach their database through PgBouncer.
#[tokio::test(flavor = "multi_thread")]
async fn servers_work_through_pgbouncer_that_keeps_sessions() {
    let mut fixture = Fixture::with(0, |_| {}).await;
    let bouncer = PgBouncer::start("default_pool_size = 50").await;
    let url = bouncer.url(&fixture.database.name);
    server::migrate(&server::Config::new(&url)).await.unwrap_or_else(|error| panic!("{error}: {}", bouncer.log()));
    for _ in 0..2 {
        fixture.add_server(&|config: &mut server::Config| config.database_url.clone_from(&url)).await;
    }
    eventually("the server is ready", async || ready(&fixture).await.then_some(())).await;
    let session = fixture.session().await;
    let mut watcher = Watcher::all(&fixture.servers[1]).await;
    let mut stream = Stream::open(&fixture.servers[1]).await;
    stream.credit(1);
    stream.heartbeat(&[]).await;
    let run = fixture.enqueue(&session, "any").await;
    let lease = stream.begin().await;
    assert_eq!(lease.run_id, run.id);
    watcher.sees(&run.id, RunStatus::Running).await;
    fixture.cancel(&run.id).await;
    assert_eq!(stream.cancel().await.run_id, run.id);
    assert_eq!(stream.finish(&lease, cancelled()).await, "");
    watcher.sees(&run.id, RunStatus::Cancelled).await;
    let found = examine(&url).await;
    assert!(!found.has("pooler"), "{found:?}");
    let found = examine(&format!("{url}?options=-c%20geqo=off")).await;
    assert!(found.has("pooler-parameter"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_refuses_pgbouncer_that_gives_each_transaction_another_connection() {
    let fixture = Fixture::with(0, |_| {}).await;
    for settings in
        ["pool_mode = transaction", "pool_mode = transaction\nserver_round_robin = 1", "pool_mode = statement"]
    {
        let bouncer = PgBouncer::start(settings).await;
        let url = bouncer.url(&fixture.database.name);
        for migrate in [true, false] {
            let config = server::Config { migrate, ..server::Config::new(&url) };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let ended = in_time("the refusal", server::run(listener, config, CancellationToken::new()));
            let refused = ended.await.expect_err("it is refused");
            assert!(matches!(refused, server::Error::Pooler), "{settings}: {refused}");
            assert!(refused.to_string().contains("pool_mode = session"), "{refused}");
        }
        if settings != "pool_mode = statement" {
            let found = examine(&url).await;
            assert!(found.has("pooler"), "{settings}: {found:?}");
        }
        // Other programs get the connections of the pool as they were.
        let options: PgConnectOptions = url.parse().expect("it is a URL");
        let mut other = options.extra_float_digits(None).connect().await.expect("it is accepted");
        let shown = "SELECT current_setting('role') || ' ' || current_setting('statement_timeout')";
        let shown = sqlx::raw_sql(shown).fetch_one(&mut other).await.expect("it is answered");
        assert_eq!(shown.get::<String, _>(0), "none 0");
    }
}

/// A pooler whose connections are busy with another program is found, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pooler_is_found() {
    let fixture = Fixture::with(0, |_| {}).await;
    let bouncer = PgBouncer::start("pool_mode = transaction").await;
    let url = bouncer.url(&fixture.database.name);
    let stop = CancellationToken::new();
    let mut others = JoinSet::new();
    for _ in 0..8 {
        let (url, stop) = (url.clone(), stop.clone());
        others.spawn(async move {
            let options: PgConnectOptions = url.parse().expect("it is a URL");
            let mut c = options.extra_float_digits(None).connect().await.expect("it is accepted");
            while !stop.is_cancelled() {
                sqlx::raw_sql("SELECT 1").execute(&mut c).await.expect("it is answered");
            }
        });
    }
    let url = DatabaseUrl::parse(&url).expect("it is a URL");
    for _ in 0..50 {
        assert!(pools_transactions(&url).await.expect("it is answered"));
    }
    stop.cancel();
    while let Some(ended) = others.join_next().await {
        ended.expect("it ends well");
    }
}

/// The server learns of the pooler although the database was away when it started, and is never ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_without_its_database_finds_the_pooler_later() {
    let mut fixture = Fixture::with(0, |_| {}).await;
    let bouncer = PgBouncer::start("pool_mode = transaction").await;
    let url = bouncer.url(&fixture.database.name);
    bouncer.0.signal(Signal::SIGSTOP);
    fixture.add_server(&|config: &mut server::Config| config.database_url.clone_from(&url)).await;
    eventually("it serves, without its database", async || {
        readiness(&fixture).await.contains("does not answer").then_some(())
    })
    .await;
    bouncer.0.signal(Signal::SIGCONT);
    let why = eventually("it says why it is not ready", async || {
        let answer = readiness(&fixture).await;
        answer.contains("pool_mode = session").then_some(answer)
    });
    assert!(why.await.contains("503"));
}

async fn examine(url: &str) -> server::doctor::Examination {
    let requirements = Requirements { connections: 20, long_transaction: Duration::from_secs(60) };
    server::doctor::examine(url, &requirements).await
}

/// The answer of /readyz.
async fn readiness(fixture: &Fixture) -> String {
    let mut connection = tokio::net::TcpStream::connect(fixture.address()).await.expect("it listens");
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", fixture.address());
    connection.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("it is answered");
    answer
}

async fn ready(fixture: &Fixture) -> bool {
    readiness(fixture).await.starts_with("HTTP/1.1 200")
}
