//! The composition root: wires everything, and orders start and stop.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use prometheus::IntGauge;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::database_url;
use crate::http;
use crate::http::Readiness;
use crate::memory;
use crate::services::artifact::artifacts::Artifacts;
use crate::services::health::HealthSwitch;
use crate::services::routes::{Services, routes, starting_routes};
use crate::services::run::runs::Runs;
use crate::services::session::sessions::Sessions;
use crate::services::worker::workers::Workers;
use crate::telemetry::observe::Observe;
use crate::transport;
use engine::db::pooler::pools_transactions;
use engine::db::{DatabaseUrl, Db, DbSettings, StoreError, migrate as migration};
use engine::domain::frame::DrainReason;
use engine::repair;
use engine::repair::status::Repairs;
use engine::store::database::{commits_wait, database_probe};
use engine::stream::connection::StreamEnd;
use engine::{Engine, EngineStop};

/// How often the server checks that the database takes writes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the database may take for the smallest write, and at most half as long as a unit of work, so that a server whose database
/// hangs soon says that it is not ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often open streams are asked to end, while some are left.
const STREAM_END_INTERVAL: Duration = Duration::from_millis(200);

/// How long clients may take to close their connections once all streams have ended.
const LISTENER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the configuration is wrong: {}", .0.join("; "))]
    Config(Vec<String>),
    #[error("database-url: expected postgres://user@host/database: {0}")]
    DatabaseUrl(String),
    #[error("the database can not be brought to this version's schema: {0}")]
    Migrate(String),
    #[error(
        "a pooler before the database gives each transaction another connection, and a server needs its sessions: connect to \
         PostgreSQL itself, or let the pooler keep sessions (PgBouncer: pool_mode = session, with a pool_size of at least \
         --database-connections for each server)"
    )]
    Pooler,
    #[error("the server could not be set up: {0}")]
    Setup(String),
    #[error("a part of the server ended by itself: {0}")]
    PartEnded(String),
}

/// Checks a configuration before anything binds. The error lists all that is wrong, each with the name of its setting.
pub fn check(config: &Config) -> Result<(), Vec<String>> {
    let mut wrong = config.check().err().unwrap_or_default();
    wrong.extend(config.limits.too_large_for_a_message().map(|wrong| format!("limits.message: {wrong}")));
    if let Err(error) = database_url::parse(&config.database_url) {
        wrong.push(format!(
            "database_url: expected postgres://USER:PASSWORD@HOST:PORT/NAME or postgresql://...: {error}"
        ));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Brings the database to the schema of this version.
pub async fn migrate(config: &Config) -> Result<(), Error> {
    let url = DatabaseUrl::parse(&config.database_url).map_err(Error::DatabaseUrl)?;
    migration::migrate(&url, config.migrate_timeout).await.map_err(|error| Error::Migrate(error.to_string()))
}

/// Answers while a server starts, so that `/healthz` and `/readyz` say that it does. Calls wait a little for the end of the start.
struct Starting {
    routes: watch::Sender<Option<axum::Router>>,
    stop: CancellationToken,
    /// The connections from before the end of the start. They stay open, and their calls go to the routes.
    _answering: JoinSet<()>,
}

impl Starting {
    fn new(listener: &TcpListener, config: &Config, closing: &CancellationToken) -> Result<Self, Error> {
        // A second handle of the same socket, so that no connection is refused in between.
        let same = listener.as_fd().try_clone_to_owned().map(std::net::TcpListener::from);
        let same = same.and_then(TcpListener::from_std).map_err(|error| Error::Setup(error.to_string()))?;
        let why = if config.migrate { "the database is being migrated" } else { "starting" };
        let (_, ready) = watch::channel(Readiness::NotReady(why.to_owned()));
        let ((routes, started), stop, mut answering) = (watch::channel(None), CancellationToken::new(), JoinSet::new());
        let early = starting_routes(http::health::router(ready), started);
        let serving = transport::serve_beyond(same, early, config.transport.clone(), stop.clone(), closing.clone());
        answering.spawn(serving);
        Ok(Self { routes, stop, _answering: answering })
    }

    /// The routes serve. Calls that wait go there, and new connections to the caller's listener.
    fn ended(&self, routes: axum::Router) {
        self.routes.send_replace(Some(routes));
        self.stop.cancel();
    }
}

/// Brings the database to the schema, if that is configured, and checks that it can be used. Returns whether it is known that no pooler
/// is in between.
async fn prepare(config: &Config, url: &DatabaseUrl, db: &Db) -> Result<bool, Error> {
    let has_sessions = match pools_transactions(url).await {
        Ok(true) => return Err(Error::Pooler),
        Ok(false) => true,
        // The probe asks again.
        Err(error) => {
            tracing::debug!(%error, "whether a pooler is before the database is not known yet");
            false
        }
    };
    if config.migrate {
        migrate(config).await?;
    }
    db.unusable().await.map_or(Ok(has_sessions), |why| Err(Error::Setup(why)))
}

/// Serves until `shutdown`. Then it ends in order: the server is not ready; workers are asked to drain; streams end; the batches
/// write what was submitted.
pub async fn run(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    config.check().map_err(Error::Config)?;
    let url = DatabaseUrl::parse(&config.database_url).map_err(Error::DatabaseUrl)?;
    let url = url.in_file(config.database_url_file.as_deref());
    let stop_listening = CancellationToken::new();
    let starting = Starting::new(&listener, &config, &stop_listening)?;
    let db = Db::new(
        &url,
        &DbSettings { max_connections: config.database.max_connections, deadline: config.database.deadline },
    );
    let has_sessions = tokio::select! {
        prepared = prepare(&config, &url, &db) => prepared?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let (stop, streams, closing) = (EngineStop::default(), TaskTracker::new(), CancellationToken::new());
    let (mut loops, mut batches) = (JoinSet::new(), JoinSet::new());
    let engine = Engine::start(db.clone(), config.engine.clone(), &mut loops, &mut batches, &stop);
    let repairs = repair::start(&engine, &mut loops, &stop.loops);

    let limits = Arc::new(config.limits.clone());
    let services = Services {
        sessions: Sessions::new(engine.clone()),
        runs: Runs::new(engine.clone(), streams.clone(), closing.clone()),
        workers: Workers::new(engine.clone(), streams.clone(), closing.clone()),
        artifacts: Artifacts::new(engine.clone()),
    };
    let (readiness, ready) = watch::channel(Readiness::NotReady("starting".to_owned()));
    let routes = routes(
        services,
        limits,
        config.transport.receive_timeout,
        engine.metrics.clone(),
        http(ready, &engine, repairs),
    );
    let (routes, health) = routes.await.map_err(|error| Error::Setup(error.to_string()))?;
    let answers = engine.metrics.database_answers.clone();
    let probe_timeout = PROBE_TIMEOUT.min(config.database.deadline / 2);
    let pooler = (!has_sessions).then_some(url);
    loops.spawn(probe(
        db.clone(),
        probe_timeout,
        pooler,
        readiness.clone(),
        health.clone(),
        answers,
        stop.loops.clone(),
    ));
    loops.spawn(memory::give_back(db.clone(), stop.loops.clone()));

    let address = listener.local_addr().map_err(|error| Error::Setup(error.to_string()))?;
    tracing::info!(%address, server_id = %engine.server_id, "serving");
    let mut listening = JoinSet::new();
    starting.ended(routes.clone());
    listening.spawn(transport::serve(listener, routes, config.transport.clone(), stop_listening.clone()));

    tokio::select! {
        ended = listening.join_next() => return Err(Error::PartEnded(format!("the listener: {ended:?}"))),
        ended = loops.join_next() => return Err(Error::PartEnded(format!("a loop: {ended:?}"))),
        ended = batches.join_next() => return Err(Error::PartEnded(format!("the batches: {ended:?}"))),
        () = shutdown.cancelled() => {}
    }

    tracing::info!("shutting down");
    let end = async {
        readiness.send_replace(Readiness::NotReady("shutting down".to_owned()));
        health.set(false).await;
        // Nothing new is claimed, and workers learn that they have to find another server.
        stop.loops.cancel();
        engine.registry.all().iter().for_each(|connection| connection.drain(DrainReason::ServerShutdown));
        closing.cancel();
        streams.close();
        stop_listening.cancel();
        loop {
            // Again each time, for streams that were still opening.
            engine.registry.all().iter().for_each(|connection| connection.end(StreamEnd::ShuttingDown));
            if tokio::time::timeout(STREAM_END_INTERVAL, streams.wait()).await.is_ok() {
                break;
            }
        }
        // Other connections may still be open, such as that of a client that watches health.
        if tokio::time::timeout(LISTENER_TIMEOUT, listening.join_next()).await.is_err() {
            listening.shutdown().await;
        }
        // The last claim is over when the loops have ended. It has submitted the runs that it could not deliver, to be given back.
        while loops.join_next().await.is_some() {}
        stop.batches.cancel();
        while batches.join_next().await.is_some() {}
        db.close().await;
    };
    if tokio::time::timeout(config.shutdown_timeout, end).await.is_err() {
        tracing::warn!(timeout = ?config.shutdown_timeout, "the shutdown took too long and was cut short");
    }
    tracing::info!("ended");
    Ok(())
}

/// The routes of plain HTTP.
fn http(ready: watch::Receiver<Readiness>, engine: &Arc<Engine>, repairs: Repairs) -> axum::Router {
    http::health::router(ready).merge(http::metrics::router(Observe::new(engine.clone(), repairs)))
}

/// Keeps readiness and health up to date: the server serves while its database takes writes. Reads alone prove nothing: a standby answers
/// them, and so does a primary whose commits wait for a standby that is gone. At a URL where a pooler may be, it asks for that first.
async fn probe(
    db: Db,
    timeout: Duration,
    mut pooler: Option<DatabaseUrl>,
    readiness: watch::Sender<Readiness>,
    health: HealthSwitch,
    answers: IntGauge,
    closing: CancellationToken,
) {
    let probing = async {
        loop {
            // One write at a time, so that a database that hangs does not collect them.
            let mut writing = std::pin::pin!(db.write((), |c, ()| database_probe(c).boxed()));
            let now = match tokio::time::timeout(timeout, &mut writing).await {
                Ok(written) => readiness_of(written),
                Err(_) => {
                    let waits = commits_wait(&db).await;
                    let unopened = || db.unopened().map(|why| why.to_string());
                    let why =
                        waits.clone().or_else(unopened).unwrap_or_else(|| format!("no answer within {timeout:?}"));
                    publish(not_ready(&why), &readiness, &health, &answers).await;
                    match (readiness_of(writing.await), waits) {
                        (Readiness::NotReady(_), Some(why)) => not_ready(&why),
                        (now, _) => now,
                    }
                }
            };
            let pooled = match &pooler {
                Some(url) if now.is_ready() => pools_transactions(url).await.ok(),
                _ => None,
            };
            if pooled == Some(false) {
                pooler = None;
            }
            let now = if pooled == Some(true) { Readiness::NotReady(Error::Pooler.to_string()) } else { now };
            publish(now, &readiness, &health, &answers).await;
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    };
    closing.run_until_cancelled(probing).await;
}

fn readiness_of(written: Result<(), StoreError>) -> Readiness {
    match written {
        Ok(()) => Readiness::Ready,
        // Other transactions are in the way, so the database is there.
        Err(error) if error.is_contention() => Readiness::Ready,
        Err(StoreError::Unavailable(why)) => not_ready(&why),
        Err(error) => not_ready(&error.to_string()),
    }
}

fn not_ready(why: &str) -> Readiness {
    Readiness::NotReady(format!("the database does not answer writes: {why}"))
}

async fn publish(now: Readiness, readiness: &watch::Sender<Readiness>, health: &HealthSwitch, answers: &IntGauge) {
    answers.set(now.is_ready().into());
    let is_ready = now.is_ready();
    let before = readiness.send_replace(now.clone());
    if before == now {
        return;
    }
    match now {
        Readiness::Ready => tracing::info!(ready = true, "readiness has changed"),
        Readiness::NotReady(reason) => tracing::warn!(ready = false, reason, "readiness has changed"),
    }
    if before.is_ready() != is_ready {
        health.set(is_ready).await;
    }
}
