//! Several claims at the head of one queue: they take turns, and locked runs there delay nobody.

use proto::v1::ClaimRequest;
use sqlx::Connection;

use crate::metrics::scrape;
use crate::support::{Fixture, Stream, Unary};

/// Locks runs as an unfinished claim does.
async fn lock(c: &mut sqlx::PgConnection, runs: &[String]) {
    let lock = "SELECT FROM ops.runs WHERE id = ANY ($1::text[]::uuid[]) FOR NO KEY UPDATE";
    sqlx::query(lock).bind(runs).execute(c).await.expect("they are not locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_behind_locked_runs_are_claimed() {
    let fixture = Fixture::new().await;
    let runs = fixture.enqueue_many(&fixture.session().await, "any", 700).await;
    let mut sql = fixture.sql().await;
    let mut held = sql.begin().await.expect("it begins");
    lock(&mut held, &runs[..600]).await;

    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    assert_eq!(stream.assigned().await.0.id, runs[600]);
    stream.credit(100);
    for run in &runs[601..] {
        assert_eq!(stream.assigned().await.0.id, *run);
    }
    // No slot is free, so no claim reads the queue while the locks go.
    held.rollback().await.expect("the lock is released");
    stream.credit(101);
    assert_eq!(stream.assigned().await.0.id, runs[0]);
}

/// Another server that hangs in the middle of a claim: it has the turn, and has locked the first of three runs.
struct Hung(sqlx::PgConnection);

impl Hung {
    async fn at(fixture: &Fixture, runs: &[String]) -> Self {
        let mut sql = fixture.sql().await;
        sqlx::raw_sql("BEGIN").execute(&mut sql).await.expect("it begins");
        let turn = "SELECT pg_advisory_xact_lock(hashtext('ops.claim'), hashtext('default'))";
        sqlx::query(turn).execute(&mut sql).await.expect("nobody else has it");
        lock(&mut sql, &runs[..1]).await;
        Self(sql)
    }

    async fn ends(mut self) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await.expect("the lock is released");
    }
}

async fn turns_missed(fixture: &Fixture) -> f64 {
    scrape(fixture).await.value("ops_claim_turns_missed_total")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_meets_another_waits_for_its_turn_but_not_forever() {
    let fixture = Fixture::new().await;
    let runs = fixture.enqueue_many(&fixture.session().await, "any", 3).await;
    let hung = Hung::at(&fixture, &runs).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    assert_eq!(stream.assigned().await.0.id, runs[1]);
    assert!(turns_missed(&fixture).await >= 1.0, "it waited for its turn");
    stream.credit(2);
    assert_eq!(stream.assigned().await.0.id, runs[2]);
    hung.ends().await;
    stream.credit(3);
    assert_eq!(stream.assigned().await.0.id, runs[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_a_wait_succeeds_although_its_turn_did_not_come() {
    let fixture = Fixture::new().await;
    let runs = fixture.enqueue_many(&fixture.session().await, "any", 2).await;
    let hung = Hung::at(&fixture, &runs).await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let given = worker.claim(ClaimRequest::default()).await.expect("it continues without a turn");
    assert_eq!(
        given[0].run.as_ref().expect("an assignment names its run").id,
        runs[1],
        "it looked behind the locked run"
    );
    assert_eq!(turns_missed(&fixture).await, 1.0);
    hung.ends().await;
}
