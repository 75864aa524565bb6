//! A database whose tables are published: logical replication, change data capture, an upgrade without downtime.

use proto::v1::*;

use crate::support::{Fixture, Stream, cancelled, succeeded};

#[tokio::test(flavor = "multi_thread")]
async fn each_table_has_an_identity_by_which_its_rows_can_be_replicated() {
    let fixture = Fixture::with(0, |_| {}).await;
    // An index identifies rows if it is unique, complete and checked at once, and none of its columns may be NULL.
    let without = "SELECT c.relname::text FROM pg_class c
                   WHERE c.relnamespace = 'ops'::regnamespace AND c.relkind IN ('r', 'p') AND c.relreplident <> 'f'
                     AND NOT EXISTS (
                         SELECT FROM pg_index i
                         WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
                           AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
                           AND NOT EXISTS (SELECT FROM pg_attribute a
                                           WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull))";
    let without: Vec<String> =
        sqlx::query_scalar(without).fetch_all(&mut fixture.sql().await).await.expect("they are listed");
    assert_eq!(without, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_live_and_end_while_all_tables_are_published() {
    let fixture = Fixture::new().await;
    let publish = "CREATE PUBLICATION everything FOR ALL TABLES";
    sqlx::query(publish).execute(&mut fixture.sql().await).await.expect("it is published");
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let (done, stopped) = (fixture.enqueue(&session, "any").await, fixture.enqueue(&session, "any").await);
    stream.credit(2);
    let (first, second) = (stream.begin().await, stream.begin().await);
    assert_eq!((&first.run_id, &second.run_id), (&done.id, &stopped.id));
    let waiting = fixture.enqueue(&session, "any").await;
    assert_eq!(stream.finish(&first, succeeded("1")).await, "");
    fixture.running(&stopped.id).await;
    fixture.cancel(&stopped.id).await;
    assert_eq!(stream.cancel().await.run_id, stopped.id);
    assert_eq!(stream.finish(&second, cancelled()).await, "");
    assert_eq!(fixture.cancel(&waiting.id).await.status(), RunStatus::Cancelled);
    for (run, status) in [(done, RunStatus::Succeeded), (stopped, RunStatus::Cancelled)] {
        assert_eq!(fixture.ended(&run.id).await.status(), status);
    }
    fixture.close(&session).await;
    let delete = "DELETE FROM ops.sessions WHERE id::text = $1";
    let deleted = sqlx::query(delete).bind(&session).execute(&mut fixture.sql().await).await.expect("it is deleted");
    assert_eq!(deleted.rows_affected(), 1);
}
