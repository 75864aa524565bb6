//! One cluster for all tests of a process, and a database for each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use devpg::testing::{database, shared};
use sqlx::{Connection, PgConnection};

static PREPARED: AtomicUsize = AtomicUsize::new(0);

async fn prepare(url: String) -> Result<(), sqlx::Error> {
    PREPARED.fetch_add(1, Ordering::Relaxed);
    let mut session = PgConnection::connect(&url).await?;
    sqlx::raw_sql("CREATE TABLE numbers AS SELECT generate_series(1, 10) AS n").execute(&mut session).await?;
    // Left open. The copies must work anyway.
    std::mem::forget(session);
    Ok(())
}

#[tokio::test]
async fn a_database_can_be_asked_for_in_a_task_of_its_own() {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async { database("empty", async |_| Ok::<(), String>(())).await.name.clone() });
    assert!(tasks.join_next().await.unwrap().unwrap().ends_with("_empty"));
}

#[test]
fn many_threads_and_runtimes_share_one_cluster_and_one_template() {
    let each = |_| {
        thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let database = database("numbers", prepare).await;
                let mut session = PgConnection::connect(&database.url).await.unwrap();
                let delete = sqlx::query("DELETE FROM numbers").execute(&mut session).await.unwrap();
                assert_eq!(delete.rows_affected(), 10, "nobody else works in this database");
                (database.name.clone(), shared().postmaster_pid())
            })
        })
    };
    let threads: Vec<_> = (0..12).map(each).collect();
    let mut seen: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(PREPARED.load(Ordering::Relaxed), 1);
    assert!(seen.iter().all(|(_, pid)| *pid == seen[0].1 && pid.is_some()));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12, "every database has a name of its own");
}
