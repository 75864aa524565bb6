//! The composition root: wires everything, and orders start and stop.

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
use crate::services::artifact::artifacts::Artifacts;
use crate::services::health::HealthSwitch;
use crate::services::routes::{Services, routes};
use crate::services::run::runs::Runs;
use crate::services::session::sessions::Sessions;
use crate::services::worker::workers::Workers;
use crate::telemetry::observe::Observe;
use crate::transport;
use engine::db::{DatabaseUrl, Db, DbSettings, StoreError, migrate as migration};
use engine::domain::frame::DrainReason;
use engine::repair;
use engine::repair::status::Repairs;
use engine::store::feed::feed_cursor;
use engine::stream::connection::StreamEnd;
use engine::{Engine, EngineStop};

/// How often the server checks that the database answers.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the database may take for the smallest read. This is less than a unit of work may take, so that a server whose
/// database hangs soon says that it is not ready.
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
    #[error("the server could not be set up: {0}")]
    Setup(String),
    #[error("a part of the server ended by itself: {0}")]
    PartEnded(String),
}

/// Checks a configuration before anything binds. The error lists all that is wrong, each with the name of its setting.
pub fn check(config: &Config) -> Result<(), Vec<String>> {
    let mut wrong = config.check().err().unwrap_or_default();
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
    migration::migrate(&url).await.map_err(|error| Error::Migrate(error.to_string()))
}

/// Serves until `shutdown`. Then it ends in order: the server is not ready; workers are asked to drain; streams end; the batches
/// write what was submitted.
pub async fn run(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    config.check().map_err(Error::Config)?;
    let url = DatabaseUrl::parse(&config.database_url).map_err(Error::DatabaseUrl)?;
    if config.migrate {
        migrate(&config).await?;
    }
    let db = Db::new(
        &url,
        &DbSettings { max_connections: config.database.max_connections, deadline: config.database.deadline },
    );
    let (stop, streams, closing) = (EngineStop::default(), TaskTracker::new(), CancellationToken::new());
    let (mut loops, mut batches) = (JoinSet::new(), JoinSet::new());
    let engine = Engine::start(db.clone(), config.engine.clone(), &mut loops, &mut batches, &stop);
    let repairs = repair::start(&engine, &mut loops, &stop.loops);

    let limits = Arc::new(config.limits.clone());
    let services = Services {
        sessions: Sessions::new(engine.clone(), limits.clone()),
        runs: Runs::new(engine.clone(), limits.clone(), streams.clone(), closing.clone()),
        workers: Workers::new(engine.clone(), limits.clone(), streams.clone(), closing.clone()),
        artifacts: Artifacts::new(engine.clone(), limits.clone()),
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
    loops.spawn(probe(db.clone(), readiness.clone(), health.clone(), answers, stop.loops.clone()));

    let address = listener.local_addr().map_err(|error| Error::Setup(error.to_string()))?;
    tracing::info!(%address, server_id = %engine.server_id, "serving");
    let stop_listening = CancellationToken::new();
    let mut listening = JoinSet::new();
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

/// Keeps readiness and health up to date: the server serves while its database answers.
async fn probe(
    db: Db,
    readiness: watch::Sender<Readiness>,
    health: HealthSwitch,
    answers: IntGauge,
    closing: CancellationToken,
) {
    loop {
        let asked = tokio::time::timeout(PROBE_TIMEOUT, db.read((), |c, ()| feed_cursor(c).boxed())).await;
        let answered = asked
            .unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {PROBE_TIMEOUT:?}").into())));
        if closing.is_cancelled() {
            return;
        }
        let now = match answered {
            Ok(_) => Readiness::Ready,
            // Other transactions are in the way, so the database is there.
            Err(error) if error.is_contention() => Readiness::Ready,
            Err(error) => {
                tracing::debug!(%error, "the database does not answer");
                Readiness::NotReady("the database does not answer".to_owned())
            }
        };
        answers.set(now.is_ready().into());
        let changed = readiness.send_if_modified(|before| {
            let changed = before.is_ready() != now.is_ready();
            if *before != now {
                *before = now.clone();
            }
            changed
        });
        if changed {
            tracing::info!(ready = now.is_ready(), "readiness has changed");
            health.set(now.is_ready()).await;
        }
        tokio::select! {
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
            () = closing.cancelled() => return,
        }
    }
}
