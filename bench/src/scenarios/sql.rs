//! The throughput of plain SQL without a server.

use std::time::Instant;

use anyhow::{Result, ensure};
use sqlx::PgConnection;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::deployment::{Bench, Database};
use crate::figure::{Figure, rate};

pub const ABOUT: &str = "The same life in plain SQL on a bare table, without a server: no foreign keys, fences, guards, counters, kinds or \
                         change feed. The limit of the database on this machine.";

const RUNS: usize = 200_000;
const INSERT_BATCH: usize = 1_000;
const BATCH: i64 = 500;
const LANES: [&str; 4] = ["A", "B", "C", "D"];

/// The fewest columns of a run, in the fastest of the compared layouts: a flag for runs that can be claimed, half-filled
/// pages, eager autovacuum.
const TABLE: &str = "
    CREATE TABLE bare (
        id           uuid PRIMARY KEY,
        session_id   uuid NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT now(),
        updated_at   timestamptz NOT NULL DEFAULT now(),
        lane         text NOT NULL,
        priority     int NOT NULL DEFAULT 0,
        kind         text NOT NULL,
        params       jsonb NOT NULL DEFAULT '{}',
        status       text NOT NULL DEFAULT 'queued',
        claimable    boolean NOT NULL DEFAULT true,
        claimed_by   text,
        worker_id    uuid,
        claimed_at   timestamptz,
        started_at   timestamptz,
        finished_at  timestamptz,
        heartbeat_at timestamptz,
        result       jsonb,
        error        jsonb
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
    CREATE INDEX bare_ready ON bare (lane, priority DESC, created_at) WHERE claimable";

const INSERT: &str = "
    INSERT INTO bare (id, session_id, lane, kind, params)
    SELECT id, id, lane, 'bench', '{}' FROM unnest($1::uuid[], $2::text[]) AS i (id, lane)";

const CLAIM: &str = "
    UPDATE bare SET status = 'running', claimable = false, claimed_by = 'bench', worker_id = $2, claimed_at = now(),
                    started_at = now(), heartbeat_at = now(), updated_at = now()
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM bare WHERE claimable AND lane = $1
        ORDER BY priority DESC, created_at LIMIT $3 FOR UPDATE SKIP LOCKED))
    RETURNING id";

const COMPLETE: &str = "
    UPDATE bare SET status = 'succeeded', finished_at = now(), updated_at = now(), result = '{\"done\": true}'
    WHERE id = ANY ($1) AND worker_id = $2 AND status = 'running'";

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let database = table(bench).await?;
    let mut c = connect(&database).await?;
    let begin = Instant::now();
    for _ in 0..RUNS / INSERT_BATCH {
        insert(&mut c).await?;
    }
    let inserted = rate(RUNS, begin);
    database.checkpoint().await?;
    let begin = Instant::now();
    let (one, two) = (connect(&database).await?, connect(&database).await?);
    let (one, two) = tokio::join!(drain(one), drain(two));
    let drained = rate(RUNS, begin);
    let done = one? + two?;
    ensure!(done == RUNS as u64, "{done} of {RUNS} runs were completed");
    database.remove().await?;
    Ok(vec![
        Figure::new("insert, 1 connection", "runs/s", inserted),
        Figure::new("drain, 2 connections", "runs/s", drained),
        Figure::new("whole life, 3 connections", "runs/s", life(bench, RUNS).await?),
    ])
}

/// Inserts, claims and completes at the same time, each on a connection of its own. Returns runs a second.
pub async fn life(bench: &Bench, runs: usize) -> Result<f64> {
    let database = table(bench).await?;
    let (mut inserting, mut claiming, mut completing) =
        (connect(&database).await?, connect(&database).await?, connect(&database).await?);
    database.checkpoint().await?;
    let (claimed, mut held) = mpsc::channel::<Vec<Uuid>>(8);
    let worker = Uuid::now_v7();
    let begin = Instant::now();
    let insert = async {
        for _ in 0..runs / INSERT_BATCH {
            insert(&mut inserting).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let claim = async {
        let (mut left, mut lane) = (runs, 0);
        while left > 0 {
            let ids = claim(&mut claiming, LANES[lane % LANES.len()], worker).await?;
            lane += 1;
            left -= ids.len();
            if !ids.is_empty() {
                claimed.send(ids).await?;
            }
        }
        drop(claimed);
        Ok::<_, anyhow::Error>(())
    };
    let complete = async {
        let mut done = 0;
        while let Some(ids) = held.recv().await {
            done += complete(&mut completing, &ids, worker).await?;
        }
        Ok::<_, anyhow::Error>(done)
    };
    let (inserted, claimed, done) = tokio::join!(insert, claim, complete);
    let life = rate(runs, begin);
    inserted?;
    claimed?;
    let done = done?;
    ensure!(done == runs as u64, "{done} of {runs} runs were completed");
    database.remove().await?;
    Ok(life)
}

async fn table(bench: &Bench) -> Result<Database<'_>> {
    let database = bench.database().await?;
    sqlx::raw_sql(TABLE).execute(&mut database.connect().await?).await?;
    Ok(database)
}

/// A connection whose plans do not depend on the time of the last ANALYZE.
async fn connect(database: &Database<'_>) -> Result<PgConnection> {
    let mut c = database.connect().await?;
    let settings = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;
                    SET enable_mergejoin = off; SET jit = off";
    sqlx::raw_sql(settings).execute(&mut c).await?;
    Ok(c)
}

async fn insert(c: &mut PgConnection) -> Result<()> {
    let ids: Vec<Uuid> = (0..INSERT_BATCH).map(|_| Uuid::now_v7()).collect();
    let lanes: Vec<&str> = LANES.into_iter().cycle().take(INSERT_BATCH).collect();
    sqlx::query(INSERT).bind(ids).bind(lanes).execute(c).await?;
    Ok(())
}

async fn claim(c: &mut PgConnection, lane: &str, worker: Uuid) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(CLAIM).bind(lane).bind(worker).bind(BATCH).fetch_all(c).await?)
}

async fn complete(c: &mut PgConnection, ids: &[Uuid], worker: Uuid) -> Result<u64> {
    Ok(sqlx::query(COMPLETE).bind(ids).bind(worker).execute(c).await?.rows_affected())
}

/// Claims and completes until no run is left. Returns the number of runs.
async fn drain(mut c: PgConnection) -> Result<u64> {
    let (worker, mut done, mut empty, mut lane) = (Uuid::now_v7(), 0, 0, 0);
    while empty < LANES.len() {
        let ids = claim(&mut c, LANES[lane % LANES.len()], worker).await?;
        lane += 1;
        empty = if ids.is_empty() { empty + 1 } else { 0 };
        if !ids.is_empty() {
            done += complete(&mut c, &ids, worker).await?;
        }
    }
    Ok(done)
}
