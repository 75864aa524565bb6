//! A client that enqueues by `ops.enqueue_run()` in its own transactions.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, PgConnection, Row};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::parked::PARKED;
use super::script::max_attempts;
use super::{KIND, Known, Script};
use crate::history::{Recorder, What};

/// The longest time that a transaction stays open.
const HELD: Duration = Duration::from_millis(1_500);
/// How long a transaction may take in all. Then its connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause between two transactions.
const PAUSE: Duration = Duration::from_millis(400);

const SESSION: &str = "SET ROLE ops_authenticated; SET ops.tenant_id = 'default'";
const ENQUEUE: &str = "SELECT ops.enqueue_run($1, $2::text::ops.lane_type, $3, $4::text::jsonb, labels => $5::text::jsonb, \
                       max_attempts => $6)";

/// The client.
#[derive(Debug)]
pub struct SqlClient {
    name: String,
    url: String,
    known: Arc<Known>,
    recorder: Recorder,
    rng: StdRng,
    number: u64,
}

/// The plan of a transaction.
#[derive(Debug)]
struct Wanted {
    session: Uuid,
    script: Script,
    max_attempts: i32,
    /// How long the transaction stays open.
    held: Duration,
    /// Whether it is committed or rolled back.
    is_kept: bool,
    is_parked: bool,
}

/// The progress of a transaction, which decides what an error means.
#[derive(Debug, Default)]
struct Reached {
    id: Option<Uuid>,
    is_committing: bool,
}

impl SqlClient {
    pub fn new(name: &str, url: String, known: Arc<Known>, recorder: Recorder, seed: u64) -> Self {
        Self { name: name.to_owned(), url, known, recorder, rng: StdRng::seed_from_u64(seed), number: 0 }
    }

    /// Works until `stop`.
    ///
    /// # Errors
    ///
    /// Its history can not be written.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut connection = None;
        while !stop.is_cancelled() {
            connection = self.transact(connection.take()).await?;
            let pause = self.rng.random_range(Duration::ZERO..PAUSE);
            let _stopped = tokio::time::timeout(pause, stop.cancelled()).await;
        }
        Ok(())
    }

    /// One transaction. Returns the connection if it still works.
    async fn transact(&mut self, connection: Option<PgConnection>) -> Result<Option<PgConnection>> {
        let Some(session) = self.known.session(&mut self.rng) else { return Ok(connection) };
        let Some(mut connection) = self.connected(connection).await else { return Ok(None) };
        self.number += 1;
        let key = format!("{}-key{}", self.name, self.number);
        let (is_kept, is_parked) = (self.rng.random_bool(0.7), self.rng.random_bool(0.15));
        let held = self.rng.random_range(Duration::ZERO..HELD);
        let script = Script::choose(key.clone(), &mut self.rng);
        let max_attempts = max_attempts(&mut self.rng);
        self.recorder.record(What::SqlAsked { session, key: key.clone() })?;

        let wanted = Wanted { session, script, max_attempts, held, is_kept, is_parked };
        let mut reached = Reached::default();
        let work = transaction(&mut connection, &wanted, &mut reached);
        let done = tokio::time::timeout(TIMEOUT, work).await.map_err(anyhow::Error::from).and_then(|done| done);
        // An error before the COMMIT means that nothing is stored.
        let committed = match &done {
            Ok(()) => Some(is_kept),
            Err(_) if reached.is_committing => None,
            Err(_) => Some(false),
        };
        if let (Some(id), Some(true)) = (reached.id, committed)
            && !is_parked
        {
            self.known.add_runs(&[id]);
        }
        self.recorder.record(What::SqlEnqueued { session, key, id: reached.id, committed })?;
        Ok(done.is_ok().then_some(connection))
    }

    async fn connected(&self, connection: Option<PgConnection>) -> Option<PgConnection> {
        if connection.is_some() {
            return connection;
        }
        let open = async {
            let mut connection = PgConnection::connect(&self.url).await?;
            sqlx::raw_sql(SESSION).execute(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        tokio::time::timeout(TIMEOUT, open).await.ok()?.ok()
    }
}

async fn transaction(connection: &mut PgConnection, wanted: &Wanted, reached: &mut Reached) -> Result<()> {
    let Wanted { session, script, max_attempts, held, is_kept, is_parked } = wanted;
    let mut transaction = connection.begin().await?;
    let row = sqlx::query(ENQUEUE)
        .bind(session)
        .bind(["A", "B", "C", "D"][script.key.len() % 4])
        .bind(if *is_parked { PARKED } else { KIND })
        .bind(serde_json::to_string(script)?)
        .bind(serde_json::json!({ "key": script.key }).to_string())
        .bind(max_attempts)
        .fetch_one(&mut *transaction)
        .await?;
    reached.id = Some(row.try_get(0)?);
    tokio::time::sleep(*held).await;
    if !is_kept {
        return Ok(transaction.rollback().await?);
    }
    reached.is_committing = true;
    Ok(transaction.commit().await?)
}
