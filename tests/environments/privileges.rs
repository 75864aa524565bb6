//! A login that is no superuser, as on a managed PostgreSQL.

use devpg::{Cluster, ClusterOptions, Programs};
use proto::v1::*;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Server, Stream, eventually, spec, succeeded};

async fn cluster() -> Cluster {
    let cluster = Cluster::start(&Programs::find(None).expect("PostgreSQL"), ClusterOptions::temporary()).await;
    let cluster = cluster.expect("it starts");
    cluster.create_database("ops").await.expect("it is created");
    cluster
}

async fn execute(cluster: &Cluster, statements: &str) {
    let mut superuser = PgConnection::connect(&cluster.url("ops")).await.expect("it answers");
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut superuser).await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// The URL of a login. The socket asks for no password.
fn url(cluster: &Cluster, login: &str) -> String {
    cluster.url("ops").replacen("//postgres@", &format!("//{login}@"), 1)
}

async fn migrate(url: &str) -> Result<(), String> {
    server::migrate(&server::Config::new(url)).await.map_err(|error| error.to_string())
}

/// A run lives and ends on a server with this login.
async fn serves(url: &str) {
    let server = Server::start(server::Config::new(url)).await;
    let session = CreateSessionRequest { name: "any".into(), ..Default::default() };
    let session = eventually("a session", async || server.sessions().create_session(session.clone()).await.ok()).await;
    let session = session.into_inner().session.expect("it is answered").id;
    let mut stream = Stream::open(&server).await;
    stream.credit(1);
    let request = EnqueueRunRequest { run: Some(spec(&session, "any")) };
    server.runs().enqueue_run(request).await.expect("it is enqueued");
    let lease = stream.begin().await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_make_roles_makes_them_and_serves() {
    let cluster = cluster().await;
    execute(&cluster, "CREATE ROLE maker LOGIN CREATEROLE; GRANT CREATE ON DATABASE ops TO maker").await;
    let url = url(&cluster, "maker");
    migrate(&url).await.expect("it is migrated");
    execute(&cluster, "REVOKE CREATE ON DATABASE ops FROM maker").await;
    migrate(&url).await.expect("nothing is missing");
    serves(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_make_nothing_asks_for_exactly_what_is_missing() {
    let cluster = cluster().await;
    execute(&cluster, "CREATE ROLE plain LOGIN").await;
    let url = url(&cluster, "plain");
    let asked = async || {
        let refused = migrate(&url).await.expect_err("something is missing");
        let statements = refused.split("in database ops: ").nth(1).map(str::to_owned);
        statements.unwrap_or_else(|| panic!("no statements: {refused}"))
    };
    let all = asked().await;
    for part in
        ["CREATE ROLE ops_owner NOLOGIN; ", "GRANT ops_engine TO plain; ", "CREATE SCHEMA ops AUTHORIZATION ops_owner;"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    // Somebody did only a part of it.
    execute(
        &cluster,
        "CREATE ROLE ops_owner NOLOGIN; GRANT ops_owner TO plain; CREATE SCHEMA ops AUTHORIZATION ops_owner",
    )
    .await;
    let rest = asked().await;
    assert!(rest.contains("CREATE ROLE ops_engine NOLOGIN; ") && !rest.contains("ops_owner"), "{rest}");
    execute(&cluster, &rest).await;
    migrate(&url).await.expect("nothing is missing");
    serves(&url).await;

    // Another login of the same database.
    execute(&cluster, "CREATE ROLE second LOGIN").await;
    let second = url.replace("//plain@", "//second@");
    let refused = migrate(&second).await.expect_err("it may not become the owner");
    assert!(refused.ends_with("in database ops: GRANT ops_owner TO second; GRANT ops_engine TO second;"), "{refused}");
    execute(&cluster, "GRANT ops_owner TO second; GRANT ops_engine TO second;").await;
    serves(&second).await;
}
