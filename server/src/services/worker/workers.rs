//! The use cases of workers: the unary calls that do what a stream does, lists, and draining.

use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use engine::domain::event::EventBatch;
use engine::domain::frame::{Assignment, Heartbeat, Hello, Report, ServerFrame};
use engine::domain::page::{Page, PageRequest, PageScope};
use engine::domain::worker::{ClaimRequest, Order, Worker, WorkerState};
use engine::domain::{GrantKey, Refusal, Resource, Run};
use engine::listing;
use engine::serve::open;
use engine::store::worker::read::{worker_get, worker_list};
use engine::store::worker::record::{worker_drain, worker_undrain};
use engine::stream::connection::Connection;
use engine::unary::UnaryCalls;
use engine::{Engine, EngineError};

use crate::edge::caller::Caller;

/// Serves, lists and drains workers.
#[derive(Debug, Clone)]
pub struct Workers {
    engine: Arc<Engine>,
    streams: TaskTracker,
    shutdown: CancellationToken,
}

impl Workers {
    pub fn new(engine: Arc<Engine>, streams: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { engine, streams, shutdown }
    }

    /// Has the tasks that serve the workers' streams.
    pub fn streams(&self) -> &TaskTracker {
        &self.streams
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Opens a worker's stream, for [`engine::serve::frames`].
    pub async fn open(
        &self,
        caller: Caller,
        hello: Hello,
    ) -> Result<(Arc<Connection>, mpsc::Receiver<ServerFrame>), EngineError> {
        if self.shutdown.is_cancelled() {
            return Err(EngineError::ShuttingDown);
        }
        open::open(&self.engine, caller.tenant, hello).await
    }

    /// Claims runs and starts them. Waits for the first run if the request says so.
    pub async fn claim(&self, caller: Caller, request: ClaimRequest) -> Result<(Uuid, Vec<Assignment>), EngineError> {
        self.unary(caller).claim(request, &self.shutdown).await
    }

    /// Keeps leases alive. Returns the grants that are lost, and the cancels of the worker's runs.
    pub async fn heartbeat(
        &self,
        caller: Caller,
        worker_id: Uuid,
        heartbeat: Heartbeat,
    ) -> Result<(Vec<GrantKey>, Vec<Order>), EngineError> {
        self.unary(caller).heartbeat(worker_id, heartbeat).await
    }

    /// Ends a claimed run. Returns the run after that.
    pub async fn report(&self, caller: Caller, worker_id: Uuid, report: Report) -> Result<Run, EngineError> {
        self.unary(caller).report(worker_id, report).await
    }

    /// Adds events to the log of a claimed run. Returns the number of the last one.
    pub async fn append_events(&self, caller: Caller, worker_id: Uuid, batch: EventBatch) -> Result<i64, EngineError> {
        self.unary(caller).append_events(worker_id, batch).await
    }

    /// Asks a worker to end what it holds and take no more.
    pub async fn drain(&self, caller: Caller, worker_id: Uuid) -> Result<Worker, EngineError> {
        let db = self.engine.db(caller.class);
        let drained = db.write(caller.tenant.clone(), move |c, tenant| worker_drain(c, tenant, worker_id).boxed());
        let (exists, effects) = drained.await?;
        let missing = Refusal::not_found(Resource::Worker, worker_id);
        if !exists {
            return Err(missing.into());
        }
        self.engine.wakeups.send(effects);
        let worker = db.read(caller.tenant, move |c, tenant| worker_get(c, tenant, worker_id).boxed());
        Ok(worker.await?.ok_or(missing)?)
    }

    /// Lets a worker take runs again.
    pub async fn undrain(&self, caller: Caller, worker_id: Uuid) -> Result<Worker, EngineError> {
        let db = self.engine.db(caller.class);
        let undrained = db.write(caller.tenant.clone(), move |c, tenant| worker_undrain(c, tenant, worker_id).boxed());
        let missing = Refusal::not_found(Resource::Worker, worker_id);
        if !undrained.await? {
            return Err(missing.into());
        }
        let worker = db.read(caller.tenant, move |c, tenant| worker_get(c, tenant, worker_id).boxed());
        Ok(worker.await?.ok_or(missing)?)
    }

    /// The newest workers in one of these states; an empty list means all that are not gone.
    pub async fn list(
        &self,
        caller: Caller,
        states: Vec<WorkerState>,
        page: PageRequest,
    ) -> Result<Page<Worker>, EngineError> {
        let scope =
            PageScope::new("ListWorkers", &caller.tenant).with("states", states.iter().map(|state| state.as_str()));
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let (db, input) = (self.engine.db(caller.class), (caller.tenant, states));
        let id = |worker: &Worker| worker.id;
        let fill = listing::fill(db, input, &page, after, id, |c, (tenant, states), before, wanted| {
            worker_list(c, tenant, states, before, wanted).boxed()
        });
        Ok(fill.await?.finish(|last| scope.encode(last.id)))
    }

    fn unary(&self, caller: Caller) -> UnaryCalls<'_> {
        UnaryCalls::new(&self.engine, caller.class, caller.tenant)
    }
}
