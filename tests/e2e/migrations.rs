//! Bringing a database to the schema.

use crate::support::{House, Server};

async fn migrate(url: &str) {
    server::migrate(&server::Config::new(url)).await.expect("it is migrated");
}

/// What the migrations left: each with its checksum, and when.
async fn applied(url: &str) -> Vec<(i64, Vec<u8>, String)> {
    use sqlx::Connection;
    let mut sql = sqlx::PgConnection::connect(url).await.expect("the database answers");
    let applied = "SELECT version, checksum, installed_on::text FROM ops._sqlx_migrations ORDER BY version";
    sqlx::query_as(applied).fetch_all(&mut sql).await.expect("they are listed")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_start_at_once_on_an_empty_database_both_serve() {
    let cluster = devpg::testing::shared();
    cluster.create_database("ops_empty").await.expect("a database is created");
    let url = cluster.url("ops_empty");
    let start = || Server::start(server::Config::new(&url));
    let (first, second) = tokio::join!(start(), start());
    for server in [first, second] {
        let request = proto::v1::ListSessionsRequest::default();
        let mut sessions = server.sessions();
        let listed =
            crate::support::eventually("it serves", async || sessions.list_sessions(request.clone()).await.ok());
        assert!(listed.await.into_inner().sessions.is_empty());
        server.stop().await;
    }
    assert!(!applied(&url).await.is_empty());
    cluster.drop_database("ops_empty").await.expect("it is dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_again_changes_nothing() {
    let house = House::new().await;
    let session = house.session().await;
    let before = applied(&house.database.url).await;
    migrate(&house.database.url).await;
    let url = &house.database.url;
    tokio::join!(migrate(url), migrate(url), migrate(url));
    assert_eq!(applied(&house.database.url).await, before);
    house.enqueue(&session, "any").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_of_a_later_release_is_left_alone() {
    let house = House::new().await;
    let later = "INSERT INTO ops._sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99990101, 'of a later release', true, '', 0)";
    sqlx::query(later).execute(&mut house.sql().await).await.expect("it is there");
    migrate(&house.database.url).await;
    assert_eq!(applied(&house.database.url).await.last().map(|(version, ..)| *version), Some(99_990_101));
}
