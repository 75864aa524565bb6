//! Several servers, of which one is the primary; passwords that change.

use std::time::Duration;

use devpg::{Cluster, ClusterOptions, Programs};
use proto::v1::*;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Fixture, Flow, Relay, Server, Watcher, eventually, get, reason, spec};

async fn sql(url: &str, statement: &str) {
    let mut c = PgConnection::connect(url).await.expect("it answers");
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut c).await.expect("it is executed");
}

/// How many sessions of this program at this database have this as their last statement.
async fn sessions(url: &str, query: &str) -> i64 {
    let mut c = PgConnection::connect(url).await.expect("it answers");
    let count =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'ops' AND application_name = 'ops' AND query ILIKE $1";
    sqlx::query_scalar(count).bind(query).fetch_one(&mut c).await.expect("they are counted")
}

/// A primary with a migrated database, and its standby.
async fn pair() -> (Cluster, Cluster) {
    let programs = Programs::find(None).expect("PostgreSQL is installed");
    let primary = Cluster::start(&programs, ClusterOptions::temporary()).await.expect("it starts");
    primary.create_database("ops").await.expect("a database is created");
    server::migrate(&server::Config::new(primary.url("ops"))).await.expect("it is migrated");
    let options = ClusterOptions::temporary().standby_of(primary.socket_dir(), primary.port());
    let standby = Cluster::start(&programs, options).await.expect("it follows");
    (primary, standby)
}

async fn ready(server: &Server) {
    let address = server.url.trim_start_matches("http://");
    eventually("it is ready", async || (get(address, "/readyz").await.0 == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_before_a_standby_is_not_ready_and_one_with_both_servers_moves_to_the_new_primary() {
    let (primary, standby) = pair().await;
    let direct = primary.tcp_url("ops");
    let (user, place) = direct.rsplit_once('@').expect("a user");
    let relay = Relay::before(place.split_once('/').expect("a database").0, Flow::All).await;
    let both = format!("{user}@{},127.0.0.1:{}/ops?target_session_attrs=read-write", relay.address, standby.port());
    let database = devpg::testing::TestDatabase { url: both, name: "ops".into() };
    let mut fixture = Fixture { database, servers: Vec::new() };
    let short = |config: &mut server::Config| config.database.deadline = Duration::from_secs(1);
    fixture.add_server(&short).await;
    let only_standby = standby.tcp_url("ops");
    fixture
        .add_server(&|config: &mut server::Config| {
            short(config);
            config.database_url = only_standby.clone();
        })
        .await;
    ready(&fixture.servers[0]).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await.id;
    let token = Watcher::all(&fixture.servers[0]).await.bookmark().await;

    let second = fixture.servers[1].url.trim_start_matches("http://").to_owned();
    let (status, body) = eventually("the standby is recognised", async || {
        let (status, body) = get(&second, "/readyz").await;
        body.contains("standby").then_some((status, body))
    })
    .await;
    assert_eq!(status, 503, "{body}");
    let refused = fixture.servers[1].sessions().list_sessions(ListSessionsRequest::default()).await;
    assert_eq!(reason(&refused.expect_err("it is a standby")), "DATABASE_UNAVAILABLE");
    eventually("the standby has the run", async || {
        let mut c = PgConnection::connect(&standby.url("ops")).await.ok()?;
        let there = "SELECT count(*) FROM ops.runs WHERE id::text = $1";
        let there: i64 = sqlx::query_scalar(there).bind(&run).fetch_one(&mut c).await.ok()?;
        (there == 1).then_some(())
    })
    .await;

    // The network swallows the answers of the old primary. All its connections stay open, also that of the listener.
    eventually("it listens", async || (sessions(&primary.url("ops"), "LISTEN%").await == 1).then_some(())).await;
    relay.set(Flow::Questions);
    sql(&standby.url("postgres"), "SELECT pg_promote()").await;
    for server in &fixture.servers {
        ready(server).await;
    }
    eventually("the new primary takes it", async || fixture.enqueue_spec(spec(&session, "any")).await.ok()).await;
    assert_eq!(fixture.get(&run).await.id, run);
    eventually("both servers listen at the new primary", async || {
        (sessions(&standby.url("ops"), "LISTEN%").await == 2).then_some(())
    })
    .await;
    let resumed = Watcher::resume(&fixture.servers[0], &token).await;
    assert_eq!(reason(&resumed.err().expect("it is of another timeline")), "REVISION_COMPACTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changed_is_read_again_from_its_file() {
    let fixture = Fixture::with(0, |_| {}).await;
    let cluster = devpg::testing::shared();
    let (name, admin) = (&fixture.database.name, fixture.database.url.clone());
    let role = format!("login_{name}");
    sql(&admin, &format!("CREATE ROLE {role} LOGIN PASSWORD 'first'; GRANT ops_engine TO {role}")).await;
    let url = |password: &str| format!("postgres://{role}:{password}@127.0.0.1:{}/{name}", cluster.port());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("url");
    std::fs::write(&file, url("first") + "\n").expect("it is written");
    let mut config = server::Config::new(url("first"));
    config.database_url_file = Some(file.clone());
    config.migrate = false;
    let server = Server::start(config).await;
    ready(&server).await;

    sql(&admin, &format!("ALTER ROLE {role} PASSWORD 'second'")).await;
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    sql(&admin, &end).await;
    let address = server.url.trim_start_matches("http://");
    let (_, body) = eventually("the login is refused", async || {
        let (status, body) = get(address, "/readyz").await;
        (status == 503).then_some((status, body))
    })
    .await;
    assert!(body.contains("password authentication failed") || body.contains("terminat"), "{body}");
    std::fs::write(&file, url("second") + "\n").expect("it is written");
    ready(&server).await;
    let request = CreateSessionRequest { name: "test".into(), ..Default::default() };
    server.sessions().create_session(request).await.expect("it works with the new password");
    server.stop().await;
    sql(&admin, &format!("REVOKE ops_engine FROM {role}; DROP ROLE {role}")).await;
}
