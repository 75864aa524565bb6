//! Migrating a database to the schema.

use crate::support::{Fixture, Server};

async fn migrate(url: &str) {
    server::migrate(&server::Config::new(url)).await.expect("it is migrated");
}

/// The applied migrations, each with its checksum and time.
async fn applied(url: &str) -> Vec<(i64, Vec<u8>, String)> {
    use sqlx::Connection;
    let mut sql = sqlx::PgConnection::connect(url).await.expect("the database answers");
    let applied = "SELECT version, checksum, installed_on::text FROM ops._sqlx_migrations ORDER BY version";
    sqlx::query_as(applied).fetch_all(&mut sql).await.expect("they are listed")
}

/// The record of each function, and the transaction that replaced it last.
async fn functions(fixture: &Fixture) -> Vec<(String, String, Vec<i32>, String)> {
    let functions = "SELECT name, source, release, p.xmin::text FROM ops._functions
                     JOIN pg_proc p ON p.proname = name AND p.pronamespace = 'ops'::regnamespace ORDER BY name";
    sqlx::query_as(functions).fetch_all(&mut fixture.sql().await).await.expect("they are listed")
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
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let before = applied(&fixture.database.url).await;
    let functions_before = functions(&fixture).await;
    migrate(&fixture.database.url).await;
    let url = &fixture.database.url;
    tokio::join!(migrate(url), migrate(url), migrate(url));
    assert_eq!(applied(&fixture.database.url).await, before);
    assert_eq!(functions(&fixture).await, functions_before);
    fixture.enqueue(&session, "any").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_of_a_later_release_is_left_alone() {
    let fixture = Fixture::new().await;
    let later = "INSERT INTO ops._sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99990101, 'of a later release', true, '', 0)";
    sqlx::query(later).execute(&mut fixture.sql().await).await.expect("it is there");
    migrate(&fixture.database.url).await;
    assert_eq!(applied(&fixture.database.url).await.last().map(|(version, ..)| *version), Some(99_990_101));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_function_of_the_schema_is_what_its_file_says() {
    let fixture = Fixture::with(0, |_| {}).await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/functions");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|file| {
            let path = file.expect("it is listed").path();
            let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("it is read"))
        })
        .collect();
    files.sort();
    let applied: Vec<_> = functions(&fixture).await.into_iter().map(|(name, source, ..)| (name, source)).collect();
    assert_eq!(applied, files);
    let in_schema = "SELECT proname::text FROM pg_proc WHERE pronamespace = 'ops'::regnamespace ORDER BY proname";
    let in_schema: Vec<(String,)> =
        sqlx::query_as(in_schema).fetch_all(&mut fixture.sql().await).await.expect("listed");
    assert!(in_schema.iter().map(|(name,)| name).eq(files.iter().map(|(name, _)| name)), "{in_schema:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_changed_function_is_replaced() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let before = functions(&fixture).await;
    let older =
        "CREATE OR REPLACE FUNCTION ops.runs_deleted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                 UPDATE ops._functions SET source = '', release = '{0,0,0}'";
    sqlx::raw_sql(older).execute(&mut fixture.sql().await).await.expect("it is as an older release left it");
    let same = "UPDATE ops._functions f SET source = b.source FROM unnest($1::text[], $2::text[]) AS b (name, source)
                WHERE f.name = b.name AND f.name <> 'runs_deleted'";
    let (names, sources): (Vec<_>, Vec<_>) = before.iter().map(|(name, source, ..)| (name, source)).unzip();
    sqlx::query(same)
        .bind(names)
        .bind(sources)
        .execute(&mut fixture.sql().await)
        .await
        .expect("the others did not change");
    migrate(&fixture.database.url).await;

    for (before, after) in before.into_iter().zip(functions(&fixture).await) {
        assert_eq!((&before.0, &before.1, &before.2), (&after.0, &after.1, &after.2));
        assert_eq!(before.3 == after.3, before.0 != "runs_deleted", "{}", before.0);
    }
    fixture.enqueue(&session, "any").await;
    let delete = "WITH gone AS (DELETE FROM ops.runs RETURNING 1) SELECT count(*) FROM gone";
    let (deleted,): (i64,) = sqlx::query_as(delete).fetch_one(&mut fixture.sql().await).await.expect("it is deleted");
    let queued = "SELECT count(*) FROM ops.run_queue";
    let (queued,): (i64,) = sqlx::query_as(queued).fetch_one(&mut fixture.sql().await).await.expect("it is counted");
    assert_eq!((deleted, queued), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_a_later_release_is_left_alone() {
    let fixture = Fixture::new().await;
    let later =
        "UPDATE ops._functions SET source = 'of a later release', release = '{0,99,0}' WHERE name = 'enqueue_run'";
    sqlx::query(later).execute(&mut fixture.sql().await).await.expect("it is there");
    let before = functions(&fixture).await;
    migrate(&fixture.database.url).await;
    assert_eq!(functions(&fixture).await, before);
}
