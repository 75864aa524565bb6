//! `ops.enqueue_run()`: enqueues in the caller's own transaction, by the same rules as the API.

use std::collections::BTreeMap;

use proto::v1::*;
use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};

use crate::support::{Fixture, Stream, spec};

/// Enqueues in SQL. Returns the id of the run.
async fn enqueue(
    c: &mut PgConnection,
    session: &str,
    kind: &str,
    params: &str,
    labels: &str,
) -> Result<String, sqlx::Error> {
    let call = "SELECT ops.enqueue_run($1::text::uuid, 'A', $2, $3::text::jsonb, labels => $4::text::jsonb)::text";
    sqlx::query_scalar(call).bind(session).bind(kind).bind(params).bind(labels).fetch_one(c).await
}

async fn tenant(fixture: &Fixture) -> PgConnection {
    let mut c = fixture.sql().await;
    sqlx::raw_sql("SET ops.tenant_id = 'default'").execute(&mut c).await.expect("it is set");
    c
}

fn nested(depth: usize) -> String {
    // The object is the first of them.
    format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_takes_and_refuses_the_same_values_as_the_api() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut c = tenant(&fixture).await;

    let kinds =
        ["a", "Ünïcödé — 名前", &"é".repeat(100), "", &"x".repeat(101), "a\nb", "\u{1b}[31m", "a\u{7f}", "a\u{85}"];
    let more = ["a\u{202e}b", "\u{2066}a", "a\u{2028}b", "a\u{a0}b", "a\u{200b}b", "\u{fffd}"];
    let mut verdicts = BTreeMap::new();
    for kind in kinds.into_iter().chain(more) {
        let api = fixture.enqueue_spec(spec(&session, kind)).await.map(drop).map_err(|error| error.code());
        let sql = enqueue(&mut c, &session, kind, "{}", "{}").await;
        assert_eq!(sql.is_ok(), api.is_ok(), "kind {kind:?}: {sql:?}, {api:?}");
        *verdicts.entry(api.is_ok()).or_insert(0) += 1;
    }

    let digits = |count: usize| format!("{{\"a\":1.{}}}", "1".repeat(count));
    let params = [
        "{}".to_owned(),
        "{\"a\": [1, {\"b\": null}], \"c\": \"text\"}".to_owned(),
        nested(64),
        nested(65),
        nested(2_000),
        "{\"a\":1e308}".to_owned(),
        "{\"a\":-1.7976931348623157e308}".to_owned(),
        "{\"a\":1e309}".to_owned(),
        "{\"a\":-1e400}".to_owned(),
        "{\"a\":[{\"b\":1e400}]}".to_owned(),
        "{\"a\":5e-324}".to_owned(),
        "{\"a\":1e-400}".to_owned(),
        "{\"a\":0.0}".to_owned(),
        "{\"a\":123456789012345678901234567890}".to_owned(),
        digits(1_000),
        digits(1_200),
        "[]".to_owned(),
        "1".to_owned(),
        "null".to_owned(),
        format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024)),
        format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024 - 100)),
    ];
    for params in params {
        let run = RunSpec { params: Some(run_spec::Params::ParamsJson(params.clone())), ..spec(&session, "any") };
        let api = fixture.enqueue_spec(run).await.map(drop).map_err(|error| error.code());
        let sql = enqueue(&mut c, &session, "any", &params, "{}").await;
        assert_eq!(sql.is_ok(), api.is_ok(), "params {params:.100}: {sql:?}, {api:?}");
        *verdicts.entry(api.is_ok()).or_insert(0) += 1;
    }

    let many = |count: usize| (0..count).map(|n| (format!("k{n}"), String::new())).collect::<BTreeMap<_, _>>();
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let labels = [
        many(32),
        many(33),
        one("k", &"é".repeat(255)),
        one("k", &"v".repeat(256)),
        one(&"k".repeat(63), ""),
        one(&"k".repeat(64), ""),
        one("", "v"),
        one("k\n", "v"),
        one("k", "a\tb"),
        one("k", "\u{202e}"),
    ];
    for labels in labels {
        let run = RunSpec { labels: labels.clone(), ..spec(&session, "any") };
        let api = fixture.enqueue_spec(run).await.map(drop).map_err(|error| error.code());
        let json = serde_json::to_string(&labels).expect("it is JSON");
        let sql = enqueue(&mut c, &session, "any", "{}", &json).await;
        assert_eq!(sql.is_ok(), api.is_ok(), "labels {json:.100}: {sql:?}, {api:?}");
        *verdicts.entry(api.is_ok()).or_insert(0) += 1;
    }
    assert!(verdicts.values().all(|count| *count > 10), "{verdicts:?}");
    for labels in ["[]", "{\"k\": 1}", "{\"k\": {}}"] {
        enqueue(&mut c, &session, "any", "{}", labels).await.expect_err("labels are texts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_found_without_a_notify_in_the_callers_transaction() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    stream.heartbeat(&[]).await;
    // Each database has its own notifications.
    let mut listener = PgListener::connect(&fixture.database.url).await.expect("it listens");
    listener.listen_all(["ops_work", "ops_changes", "marker"]).await.expect("it listens");
    let mut c = tenant(&fixture).await;
    for (setting, notifies) in [("off", false), ("on", true)] {
        let mut transaction = c.begin().await.expect("it begins");
        let set = format!("SET LOCAL ops.notify_in_transaction = '{setting}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *transaction).await.expect("it is set");
        let run = enqueue(&mut transaction, &session, "any", "{}", "{}").await.expect("it is enqueued");
        let (pid,): (i32,) =
            sqlx::query_as("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await.expect("it is read");
        transaction.commit().await.expect("it is committed");
        sqlx::raw_sql("NOTIFY marker").execute(&mut c).await.expect("it is sent");
        let mut own = Vec::new();
        loop {
            let notification = listener.recv().await.expect("it listens");
            // Servers notify each other, too.
            if notification.process_id() == pid as u32 {
                if notification.channel() == "marker" {
                    break;
                }
                own.push(notification.channel().to_owned());
            }
        }
        assert_eq!(own, if notifies { vec!["ops_work", "ops_changes"] } else { Vec::new() });
        assert_eq!(stream.begin().await.run_id, run);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_run_comes_first_whoever_enqueued_it() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut c = tenant(&fixture).await;
    let mut enqueued = Vec::new();
    for _ in 0..20 {
        enqueued.push(fixture.enqueue(&session, "any").await.id);
        enqueued.push(enqueue(&mut c, &session, "any", "{}", "{}").await.expect("it is enqueued"));
    }
    // Also within one transaction.
    let mut transaction = c.begin().await.expect("it begins");
    for _ in 0..20 {
        enqueued.push(enqueue(&mut transaction, &session, "any", "{}", "{}").await.expect("it is enqueued"));
    }
    transaction.commit().await.expect("it is committed");
    enqueued.reverse();
    let request = ListRunsRequest { page_size: 100, ..Default::default() };
    let listed = fixture.runs().list_runs(request).await.expect("they are listed").into_inner().runs;
    assert_eq!(listed.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), enqueued);
    assert!(enqueued.iter().all(|id| id.parse::<uuid::Uuid>().expect("an id").get_version_num() == 7));
}
