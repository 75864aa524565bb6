//! A database that changes under a running server: a column's type, a restore, a dump of another cluster.

use std::process::Command;

use devpg::Programs;
use proto::v1::watch_runs_response::Event;
use proto::v1::*;

use crate::support::{Fixture, Watcher, in_time, reason};

/// Opens more than one connection, and prepares the statements of these calls on each.
async fn use_connections(fixture: &Fixture) {
    let calls = (0..20).map(|_| {
        let mut sessions = fixture.sessions();
        async move { sessions.list_sessions(ListSessionsRequest::default()).await }
    });
    for answer in futures::future::join_all(calls).await {
        answer.expect("it answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_because_a_column_has_another_type_than_before() {
    let fixture = Fixture::new().await;
    fixture.session().await;
    for change in ["varchar(300)", "text"] {
        use_connections(&fixture).await;
        let change = format!("ALTER TABLE ops.sessions ALTER COLUMN name TYPE {change}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut fixture.sql().await).await.expect("it is changed");
        use_connections(&fixture).await;
        fixture.session().await;
    }
}

fn run(program: &str, args: &[&str]) {
    let programs = Programs::find(None).expect("PostgreSQL is installed");
    let output = Command::new(programs.path(program)).args(args).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_after_its_database_was_restored_and_watchers_begin_anew() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let kept = fixture.enqueue(&session, "any").await.id;
    let folder = tempfile::tempdir().expect("a folder");
    let dump = folder.path().join("dump").to_string_lossy().into_owned();
    let url = fixture.database.url.clone();
    run("pg_dump", &["--format=custom", "--file", &dump, &url]);
    let lost = fixture.enqueue(&session, "any").await.id;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let token = watcher.bookmark().await;
    use_connections(&fixture).await;

    let restore =
        move || run("pg_restore", &["--clean", "--if-exists", "--single-transaction", "--dbname", &url, &dump]);
    tokio::task::spawn_blocking(restore).await.expect("it is restored");

    // The first calls after it.
    use_connections(&fixture).await;
    assert_eq!(fixture.get(&kept).await.status(), RunStatus::Queued);
    let gone = fixture.runs().get_run(GetRunRequest { run_id: lost }).await.expect_err("it was not in the dump");
    assert_eq!(reason(&gone), "RUN_NOT_FOUND");
    let new = fixture.enqueue(&session, "any").await.id;

    let ended = in_time("the end of the watch", async {
        loop {
            if let Err(status) = watcher.try_next().await {
                return status;
            }
        }
    })
    .await;
    assert_eq!(reason(&ended), "REVISION_COMPACTED");
    let resumed = Watcher::resume(&fixture.servers[0], &token).await;
    assert_eq!(reason(&resumed.err().expect("it is of another feed")), "REVISION_COMPACTED");
    let request = WatchRunsRequest { include_snapshot: true, ..Default::default() };
    let mut watcher = Watcher::open(&fixture.servers[0], request).await.expect("it begins anew");
    watcher.until(|runs| runs.contains_key(&kept) && runs.contains_key(&new)).await;
    let newest = fixture.enqueue(&session, "any").await.id;
    watcher.sees(&newest, RunStatus::Queued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_cluster_whose_dump_was_restored_here_do_not_come_again_and_again() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let old = fixture.enqueue(&session, "any").await.id;
    let later =
        "INSERT INTO ops.run_changes (xid, tenant_id, run_ids) VALUES ('999999999', 'default', ARRAY[$1::text::uuid])";
    sqlx::query(later).bind(&old).execute(&mut fixture.sql().await).await.expect("it is as restored");
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    watcher.bookmark().await;
    for _ in 0..3 {
        let new = fixture.enqueue(&session, "any").await.id;
        loop {
            match watcher.news().await {
                Event::Change(change) => {
                    let run = change.run.expect("it has its run").id;
                    assert_ne!(run, old, "it did not change");
                    if run == new {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let token = watcher.bookmark().await;
    let mut resumed = Watcher::resume(&fixture.servers[0], &token).await.expect("the token holds");
    resumed.bookmark().await;
    assert!(resumed.runs.is_empty(), "nothing changed");
}
