//! The engine as a whole: its parts, its loops, and the order in which they end.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::batch::budget::Budget;
use crate::batch::foreign_locks::{LockedRows, Locks};
use crate::db::{Class, Db};
use crate::dispatch::dispatcher::Dispatcher;
use crate::enqueue::Enqueue;
use crate::settings::EngineSettings;
use crate::stream::events::Events;
use crate::stream::leases::Leases;
use crate::stream::offers::Offers;
use crate::stream::orders::Orders;
use crate::stream::registry::Registry;
use crate::stream::releases::Releases;
use crate::stream::results::Results;
use crate::stream::{replaced, unaccepted};
use crate::telemetry::Metrics;
use crate::wakeups::Wakeups;
use crate::watch::hub::ChangeHub;

/// The engine, as the use cases see it.
#[derive(Debug)]
pub struct Engine {
    /// The database, by class of work.
    databases: [Db; 3],
    pub settings: EngineSettings,
    /// This process, as the database knows it.
    pub server_id: Uuid,
    pub wakeups: Wakeups,
    pub registry: Arc<Registry>,
    pub enqueue: Enqueue,
    pub dispatcher: Arc<Dispatcher>,
    pub results: Results,
    pub leases: Leases,
    pub events: Events,
    pub releases: Releases,
    /// The runs that workers were sent and have not accepted.
    pub offers: Arc<Offers>,
    pub hub: Arc<ChangeHub>,
    /// The locked runs that resumes and cancels of sessions leave out.
    pub locked_runs: LockedRows,
    /// The bytes that workers have sent and that are not written yet.
    pub stream_bytes: Budget,
    pub metrics: Metrics,
}

/// Ends the engine's loops, in this order.
#[derive(Debug, Clone, Default)]
pub struct EngineStop {
    /// Ends claims, orders to workers, and the hub of watchers.
    pub loops: CancellationToken,
    /// Ends the batches, after they have written all submitted requests. Cancelled after the streams have ended.
    pub batches: CancellationToken,
}

impl Engine {
    /// Makes the engine, and starts its loops and its batches. The loops end first.
    pub fn start(
        db: Db,
        settings: EngineSettings,
        loops: &mut JoinSet<()>,
        batches: &mut JoinSet<()>,
        stop: &EngineStop,
    ) -> Arc<Self> {
        let server_id = Uuid::now_v7();
        let wakeups = Wakeups::new(server_id);
        let metrics = Metrics::default();
        let registry = Arc::new(Registry::default());
        let (enqueue, enqueue_batches) = Enqueue::new(db.clone(), wakeups.clone(), &metrics, stop.batches.clone());
        let (results, result_batches) = Results::new(db.clone(), wakeups.clone(), &metrics, stop.batches.clone());
        let (leases, lease_checks) = Leases::new(db.clone(), wakeups.clone(), &metrics, stop.batches.clone());
        let (events, event_batches) = Events::new(db.clone(), wakeups.clone(), &metrics, stop.batches.clone());
        let (releases, release_batches) = Releases::new(db.clone(), wakeups.clone(), stop.batches.clone());
        let offers = Arc::new(Offers::new(settings.stream_bytes));
        let dispatcher = Arc::new(Dispatcher::new(
            db.clone(),
            wakeups.clone(),
            registry.clone(),
            releases.clone(),
            offers.clone(),
            metrics.clone(),
            server_id,
        ));
        let hub = ChangeHub::new(db.clone(), wakeups.clone());
        let connections = db.max_connections();
        let engine = Arc::new(Self {
            stream_bytes: Budget::new(settings.stream_bytes),
            databases: [db.clone(), db.bounded((connections / 4).max(2)), db.bounded((connections * 2 / 5).max(2))],
            settings,
            server_id,
            wakeups: wakeups.clone(),
            registry: registry.clone(),
            enqueue,
            dispatcher: dispatcher.clone(),
            results,
            leases,
            events,
            releases,
            offers,
            hub: hub.clone(),
            locked_runs: LockedRows::new(db.clone(), Locks::Runs),
            metrics: metrics.clone(),
        });

        batches.spawn(enqueue_batches);
        batches.spawn(result_batches);
        batches.spawn(lease_checks);
        batches.spawn(event_batches);
        batches.spawn(release_batches);
        loops.spawn(dispatcher.run(stop.loops.clone()));
        loops.spawn(hub.run(stop.loops.clone()));
        loops.spawn(replaced::run(db.clone(), wakeups.clone(), registry.clone(), stop.loops.clone()));
        let releases = engine.releases.clone();
        let orders = Orders { db: db.clone(), wakeups: wakeups.clone(), registry, releases, metrics };
        loops.spawn(orders.run(stop.loops.clone()));
        loops.spawn(unaccepted::run(
            engine.registry.clone(),
            engine.releases.clone(),
            engine.settings.accept_timeout,
            engine.settings.lease_timeout,
            stop.loops.clone(),
        ));
        loops.spawn(wakeups.clone().listen(db.clone(), stop.loops.clone()));
        batches.spawn(wakeups.clone().pass_on(db.clone(), stop.batches.clone()));
        engine
    }

    /// The database, for work of a class.
    pub fn db(&self, class: Class) -> &Db {
        &self.databases[class as usize]
    }
}
