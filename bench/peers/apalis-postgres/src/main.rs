//! apalis-postgres, with batches and notifications as in its own example:
//! <https://github.com/apalis-dev/apalis-postgres/blob/main/examples/basic.rs>. The roles are in [`roles`].

mod roles;

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use roles::{Report, now_ns};

const QUEUE: &str = "noop";
const CONNECTIONS: u32 = 10;
const BATCH_SIZE: usize = 1000;
const CONCURRENCY: usize = 1000;

/// The payload of a job; `due_ns` is of CLOCK_MONOTONIC and absent where nobody measures the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noop {
    n: usize,
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_ns: Option<i64>,
}

/// What a job leaves behind.
#[derive(Debug, Deserialize, Serialize)]
struct Outcome {
    ok: bool,
}

async fn noop(job: Noop, report: Data<Arc<Report>>) -> Result<Outcome, BoxDynError> {
    report.executed(now_ns(), job.n, job.due_ns);
    Ok(Outcome { ok: true })
}

async fn connect() -> Result<PgPool> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let options = PgPoolOptions::new().min_connections(CONNECTIONS).max_connections(CONNECTIONS);
    Ok(options.connect(&url).await?)
}

fn storage(pool: &PgPool) -> PostgresStorage<Noop> {
    // As in the example: what is fetched is this worker's already, a lock at the start would say so again.
    PostgresStorage::new(pool).with_config(Config::default().queue(QUEUE).batch_size(BATCH_SIZE).lock_tasks(false))
}

/// Enqueues, and looks at the table.
#[derive(Clone)]
struct Producer {
    pool: PgPool,
    storage: PostgresStorage<Noop>,
}

impl Producer {
    async fn connect() -> Result<Self> {
        let pool = connect().await?;
        Ok(Self { storage: storage(&pool), pool })
    }

    async fn create_schema(&self) -> Result<()> {
        Ok(PostgresStorage::setup(&self.pool).await?)
    }

    async fn settle(&self) -> Result<()> {
        sqlx::query("VACUUM (ANALYZE)").execute(&self.pool).await?;
        Ok(())
    }

    async fn enqueue(mut self, jobs: Vec<Noop>) -> Result<()> {
        self.storage.push_bulk(jobs).await.map_err(|error| anyhow!("{error}"))
    }

    async fn enqueue_one(mut self, job: Noop) -> Result<()> {
        self.storage.push(job).await.map_err(|error| anyhow!("{error}"))
    }

    async fn any_unfinished(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    async fn kept_rows(&self) -> Result<i64> {
        let sql = "SELECT count(*) FROM apalis.jobs WHERE status = 'Done'";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }
}

/// Executes jobs in a task of `tasks` until `stop` is dropped.
fn start(pool: &PgPool, report: Arc<Report>, tasks: &mut JoinSet<Result<()>>, stop: oneshot::Receiver<()>) {
    let worker = WorkerBuilder::new(format!("bench-{}", std::process::id()))
        .backend(storage(pool).with_pubsub())
        .data(report)
        .concurrency(CONCURRENCY)
        .build(noop);
    tasks.spawn(async move {
        let stopped = async move {
            let _ = stop.await;
            Ok::<(), WorkerError>(())
        };
        worker.run_until(stopped).await.map_err(|error| anyhow!("{error}"))
    });
}

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("produce") => roles::produce(Producer::connect().await?).await,
        Some("work") => roles::work(connect().await?).await,
        _ => Err(anyhow!("the role is produce or work")),
    }
}
