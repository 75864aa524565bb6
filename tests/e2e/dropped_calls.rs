//! A client may drop its call at any moment. Work that is acknowledged to others afterwards is committed all the same.

use std::time::Duration;

use proto::v1::*;
use tokio::task::JoinSet;

use crate::support::{Fixture, eventually, spec};

/// Drops a call after this time.
async fn dropped<T>(after: Duration, call: impl Future<Output = T>) {
    // The call may have been answered before.
    let _ = tokio::time::timeout(after, call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_leave_no_open_transaction_and_lose_no_write() {
    let fixture = Fixture::with(1, |config| config.database.max_connections = 8).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await.id;
    for pass in 0..4_u64 {
        let mut calls = JoinSet::new();
        // Each connection has few calls, because a server closes a connection with too many resets.
        let mut clients = Vec::new();
        for _ in 0..15 {
            clients.push(fixture.servers[0].dial().await);
        }
        for call in 0..150_u64 {
            // Delays from zero to longer than a call takes.
            let after = Duration::from_micros((call * 211 + pass * 53) % 20_000);
            let client = clients[call as usize % clients.len()].clone();
            let (session, run) = (session.clone(), run.clone());
            let name = format!("dropped {pass} {call}");
            calls.spawn(async move {
                let (mut sessions, mut runs) = (client.sessions(), client.runs());
                let request_id = if call % 2 == 0 { name.clone() } else { String::new() };
                match call % 4 {
                    0 => {
                        let spec = RunSpec { request_id, ..spec(&session, "dropped") };
                        dropped(after, runs.enqueue_run(EnqueueRunRequest { run: Some(spec) })).await;
                    }
                    1 => {
                        let request =
                            CreateSessionRequest { name, request_id: format!("{pass}-{call}"), ..Default::default() };
                        dropped(after, sessions.create_session(request)).await;
                    }
                    2 => {
                        let request = CancelRunRequest { run_id: run, ..Default::default() };
                        dropped(after, runs.cancel_run(request)).await;
                    }
                    _ => {
                        let spec = spec(&session, "dropped");
                        dropped(after, runs.enqueue_run(EnqueueRunRequest { run: Some(spec) })).await;
                    }
                }
            });
        }
        while calls.join_next().await.is_some() {}

        let mut created = Vec::new();
        for call in 0..20 {
            let request_id = format!("kept-{pass}-{call}");
            let request = CreateSessionRequest { name: "kept".into(), request_id, ..Default::default() };
            let answer = fixture.sessions().create_session(request).await.expect("it is created").into_inner();
            created.push(answer.session.expect("it is answered").id);
            created.push(fixture.session().await);
        }
        let enqueued = fixture.enqueue_many(&session, "kept", 20).await;
        // Another connection sees only committed rows.
        let mut sql = fixture.sql().await;
        let there = "SELECT count(*) FROM ops.sessions WHERE id::text = ANY ($1)";
        let there: i64 = sqlx::query_scalar(there).bind(&created).fetch_one(&mut sql).await.expect("counted");
        assert_eq!(there, 40, "pass {pass}");
        let there = "SELECT count(*) FROM ops.runs WHERE id::text = ANY ($1)";
        let there: i64 = sqlx::query_scalar(there).bind(&enqueued).fetch_one(&mut sql).await.expect("counted");
        assert_eq!(there, 20, "pass {pass}");
    }
    let mut sql = fixture.sql().await;
    eventually("no transaction is left open", async || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'ops'
                    AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 s'";
        let open = sqlx::query_scalar(open).bind(&fixture.database.name).fetch_one(&mut sql).await;
        let open: i64 = open.expect("they are counted");
        (open == 0).then_some(())
    })
    .await;
}
