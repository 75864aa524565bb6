//! Large runs, and rows that only SQL can write: nobody waits forever, and nobody else is delayed.

use proto::v1::*;

use crate::support::{Fixture, Stream, in_time, spec, succeeded};

/// Far more changes of runs of this size than a watcher keeps.
const HEAVY: usize = 1_000_000;
const CHANGES: i64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_and_a_tail_end_with_their_run_however_much_it_has_changed() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let params = format!("{{\"text\": \"{}\"}}", "x".repeat(HEAVY));
    let heavy = RunSpec { params: Some(run_spec::Params::ParamsJson(params)), ..spec(&session, "any") };
    let run = fixture.enqueue_spec(heavy).await.expect("it is within the limit");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;

    let request = TailRunEventsRequest { run_id: run.id.clone(), ..Default::default() };
    let mut tail = fixture.runs().tail_run_events(request).await.expect("the run is there").into_inner();
    let request =
        WaitRunRequest { run_id: run.id.clone(), wait_timeout: Some(prost_types::Duration { seconds: 600, nanos: 0 }) };
    let mut runs = fixture.runs();
    let waiting = runs.wait_run(request);
    let changing = async {
        for change in 1..=CHANGES {
            let progress = Some(Progress { fraction: change as f64 / CHANGES as f64, message: String::new() });
            let progress = RunProgress { run_id: lease.run_id.clone(), fence: lease.fence, progress };
            let heartbeat = WorkerHeartbeat { leases: vec![lease.clone()], progress: vec![progress], pause: None };
            stream.send(connect_request::Frame::Heartbeat(heartbeat));
            stream.heartbeat_ack().await;
        }
        assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    };
    let (waited, ()) = in_time("the end of the wait", async { tokio::join!(waiting, changing) }).await;
    let waited = waited.expect("it is answered").into_inner().run.expect("with the run");
    assert_eq!(waited.status(), RunStatus::Succeeded);
    let end = in_time("the end of the tail", tail.message()).await.expect("the tail ends well");
    assert_eq!(end, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_can_not_enqueue_what_the_server_could_not_read() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut sql = fixture.sql().await;
    sqlx::query("SET ops.tenant_id = 'default'").execute(&mut sql).await.expect("it is set");
    for refused in [
        "run_after => '-infinity'",
        "run_after => 'infinity'",
        "run_after => '20000-01-01Z'",
        "timeout => '0 s'",
        "timeout => '1 year'",
        "labels => '{\"a\": 1}'",
        "params => jsonb_build_object('a', repeat('x', 1100000))",
    ] {
        let call = format!("SELECT ops.enqueue_run('{session}', 'A', 'any', {refused})");
        let error = sqlx::query(sqlx::AssertSqlSafe(call)).execute(&mut sql).await.expect_err(refused);
        let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        assert_eq!(code.as_deref(), Some("23514"), "{refused}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_wrong_values_of_a_run_from_everybody() {
    let fixture = Fixture::new().await;
    let run = fixture.enqueue(&fixture.session().await, "any").await.id;
    let mut sql = fixture.sql().await;
    for (wrong, guard) in [
        ("tenant_id = ''", "runs_tenant_check"),
        ("kind = ''", "run_kind_check"),
        ("kind = repeat('x', 101)", "run_kind_check"),
        ("params = '[]'", "json_object_check"),
        ("labels = '\"a\"'", "json_object_check"),
        ("status = 'done'", "run_status_check"),
        ("wait_reason = 'bored'", "wait_reason_check"),
        ("run_after = '-infinity'", "run_after_check"),
        ("run_after = '10000-01-01Z'", "run_after_check"),
        ("max_attempts = 0", "max_attempts_check"),
        ("max_attempts = 101", "max_attempts_check"),
        ("timeout_ms = 0", "timeout_ms_check"),
        ("outcome_source = 'anybody'", "outcome_source_check"),
        ("traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'", "traceparent_check"),
        ("traceparent = upper('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')", "traceparent_check"),
    ] {
        let write = format!("UPDATE ops.runs SET {wrong} WHERE id = '{run}'");
        let error = sqlx::query(sqlx::AssertSqlSafe(write)).execute(&mut sql).await.expect_err(wrong);
        assert_eq!(error.as_database_error().and_then(|error| error.constraint()), Some(guard), "{wrong}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_many_pages_is_cancelled_completely() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 4_500).await;
    let request = CancelSessionRequest { session_id: session.clone(), reason: "enough".into(), grace: None };
    let cancelled = fixture.sessions().cancel_session(request).await.expect("it is there").into_inner();
    let cancelled = cancelled.session.expect("it is answered");
    assert_eq!((cancelled.status(), cancelled.cancelled_runs), (SessionStatus::Cancelled, 4_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_another_worker_is_refused_in_the_batch_that_keeps_the_holders_log() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut holder = Stream::open(&fixture.servers[0]).await;
    holder.credit(1);
    let lease = holder.begin().await;
    let mut other = Stream::open(&fixture.servers[0]).await;
    for pass in 0..20 {
        let lines = |who: &str| vec![format!("{who} {pass}")];
        other.log(&lease, pass + 1, &lines("other"));
        holder.log(&lease, pass + 1, &lines("holder"));
        assert_eq!(holder.events_ack().await.reason, "");
        assert_eq!(other.events_ack().await.reason, "LEASE_LOST");
    }
    let request = ListRunEventsRequest { run_id: run.id, page_size: 100, ..Default::default() };
    let events = fixture.runs().list_run_events(request).await.expect("the run is there").into_inner().events;
    let lines: Vec<String> = events.into_iter().map(|event| event.message).collect();
    assert_eq!(lines, (0..20).map(|pass| format!("holder {pass}")).collect::<Vec<_>>());
}
