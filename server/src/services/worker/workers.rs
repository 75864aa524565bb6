//! The use cases of workers: the unary twins of the stream, lists, and draining.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::ready;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use engine::Engine;
use engine::EngineError;
use engine::db::{Class, Db, StoreError};
use engine::dispatch::demand::{UNARY_EPOCH, UnaryClaim};
use engine::domain::event::EventBatch;
use engine::domain::frame::{Assignment, Heartbeat, Hello, Report, ServerFrame};
use engine::domain::page::{Page, PageFill, PageRequest, PageScope};
use engine::domain::weight::{MESSAGE_BYTES, messages};
use engine::domain::worker::{CancelKind, CancelOrder, ClaimRequest, Worker, WorkerProfile, WorkerState};
use engine::domain::{GrantKey, Limits, Refusal, Resource, Run, TenantId};
use engine::idempotent::{self, Request};
use engine::store::event::append::GuardedEvents;
use engine::store::request::id::payload_hash;
use engine::store::run::cancel::{cancel_pending, cancel_sent};
use engine::store::run::claim::{ClaimGroup, run_claimed_before_in_tx};
use engine::store::run::guard::Guard;
use engine::store::run::read::run_get;
use engine::store::run::release::Release;
use engine::store::worker::read::{worker_get, worker_list};
use engine::store::worker::record::{worker_drain, worker_upsert_unary};
use engine::stream::connection::Connection;
use engine::stream::open;

/// The use cases of workers.
#[derive(Debug, Clone)]
pub struct Workers {
    engine: Arc<Engine>,
    limits: Arc<Limits>,
    streams: TaskTracker,
    shutdown: CancellationToken,
}

impl Workers {
    pub fn new(engine: Arc<Engine>, limits: Arc<Limits>, streams: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { engine, limits, streams, shutdown }
    }

    /// Where a worker's stream is served.
    pub fn streams(&self) -> &TaskTracker {
        &self.streams
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Opens a worker's stream: [`engine::stream::serve`] serves it.
    pub async fn open(
        &self,
        tenant: TenantId,
        hello: Hello,
    ) -> Result<(Arc<Connection>, mpsc::Receiver<ServerFrame>), EngineError> {
        if self.shutdown.is_cancelled() {
            return Err(EngineError::ShuttingDown);
        }
        open::open(&self.engine, tenant, hello).await
    }

    /// Claims runs and starts them; waits for the first if that is wanted.
    pub async fn claim(&self, tenant: TenantId, request: ClaimRequest) -> Result<(Uuid, Vec<Assignment>), EngineError> {
        let lease = request.lease_timeout.unwrap_or(self.engine.settings.lease_timeout);
        let (worker_id, draining) = self.register(&tenant, &request, lease).await?;
        if draining {
            return Err(Refusal::WorkerDraining(worker_id).into());
        }
        let claim_id = match &request.request_id {
            Some(request_id) => Some(self.claim_id(&tenant, worker_id, request_id, &request).await?),
            None => None,
        };
        if let Some(claim_id) = claim_id
            && let Some(runs) = self.claimed_before(&tenant, worker_id, claim_id).await?
        {
            return Ok((worker_id, assignments(self.fit(worker_id, runs))));
        }

        let (mut lanes, mut kinds) = (request.lanes, request.kinds);
        lanes.sort();
        lanes.dedup();
        kinds.sort();
        kinds.dedup();
        let (reply, mut answered) = oneshot::channel();
        self.engine.dispatcher.claim(UnaryClaim {
            call: Uuid::now_v7(),
            worker_id,
            worker_name: request.worker_name,
            group: ClaimGroup { tenant: tenant.clone(), lanes, kinds },
            max_runs: usize::try_from(request.max_runs).unwrap_or(1),
            lease,
            claim_id,
            deadline: Instant::now() + request.wait,
            looked: false,
            reply,
        });
        let answer = tokio::select! {
            answer = &mut answered => answer.ok(),
            () = self.shutdown.cancelled() => {
                // What is answered from now on goes back; what was answered just before is the worker's.
                answered.close();
                answered.try_recv().ok()
            }
        };
        let mut runs = answer.ok_or(EngineError::ShuttingDown)??;
        if let (true, Some(claim_id)) = (runs.is_empty(), claim_id) {
            // The same call before may have got them meanwhile.
            runs = self.claimed_before(&tenant, worker_id, claim_id).await?.unwrap_or_default();
        }
        Ok((worker_id, assignments(self.fit(worker_id, runs))))
    }

    /// What the same call got before; `None` if that was nothing.
    async fn claimed_before(
        &self,
        tenant: &TenantId,
        worker_id: Uuid,
        claim_id: Uuid,
    ) -> Result<Option<Vec<Run>>, StoreError> {
        let read = self.db().transaction(tenant.clone(), move |c, tenant| {
            run_claimed_before_in_tx(c, tenant, worker_id, claim_id).boxed()
        });
        read.await
    }

    /// The first of the runs, as many as one message carries; the others go back at once.
    fn fit(&self, worker_id: Uuid, runs: Vec<Run>) -> Vec<Run> {
        let mut messages = messages(runs, MESSAGE_BYTES).into_iter();
        let first = messages.next().unwrap_or_default();
        let release = |run: Run| Release {
            guard: Guard { grant: run.grant_key(), worker_id, epoch: UNARY_EPOCH },
            begun_too: true,
            undelivered: false,
        };
        self.engine.releases.give_back(messages.flatten().map(release).collect());
        first
    }

    /// Keeps leases alive. Answers which grants are lost, and which runs to stop.
    pub async fn heartbeat(
        &self,
        tenant: TenantId,
        worker_id: Uuid,
        heartbeat: Heartbeat,
    ) -> Result<(Vec<GrantKey>, Vec<CancelOrder>), EngineError> {
        self.worker(&tenant, worker_id).await?;
        let answer = self.engine.leases.beat(worker_id, UNARY_EPOCH, heartbeat).await?;
        if answer.replaced {
            // A worker that has a stream sends its heartbeats there.
            return Err(Refusal::not_found(Resource::Worker, worker_id).into());
        }
        let orders = self.db().read((), move |c, ()| async move { cancel_pending(c, &[worker_id]).await }.boxed());
        let (cancels, revokes): (Vec<CancelOrder>, Vec<CancelOrder>) =
            orders.await?.into_iter().partition(|order| order.kind == CancelKind::Cancel);
        let revoked: Vec<GrantKey> = revokes.iter().map(|order| order.grant).collect();
        let mut lost = answer.lost;
        lost.extend(&revoked);
        if !revoked.is_empty() {
            self.db().write(revoked, |c, revoked| cancel_sent(c, revoked).boxed()).await?;
        }
        lost.sort();
        lost.dedup();
        Ok((lost, cancels))
    }

    /// Ends a claimed run, and answers it as it is then.
    pub async fn report(&self, tenant: TenantId, worker_id: Uuid, report: Report) -> Result<Run, EngineError> {
        let run_id = report.grant.run_id;
        let guard = Guard { grant: report.grant, worker_id, epoch: UNARY_EPOCH };
        self.run(&tenant, run_id).await?;
        self.engine.results.report(guard, Arc::new(report.outcome)).await?;
        self.run(&tenant, run_id).await
    }

    /// Adds to the log of a claimed run; answers up to which number its events are kept.
    pub async fn append_events(
        &self,
        tenant: TenantId,
        worker_id: Uuid,
        batch: EventBatch,
    ) -> Result<i64, EngineError> {
        self.run(&tenant, batch.grant.run_id).await?;
        let through_seq = batch.first_seq + batch.entries.len() as i64 - 1;
        let guard = Guard { grant: batch.grant, worker_id, epoch: UNARY_EPOCH };
        let events = GuardedEvents { guard, first_seq: batch.first_seq, entries: batch.entries };
        self.engine.events.append(events).await?;
        Ok(through_seq)
    }

    /// Asks a worker to end what it holds and take no more.
    pub async fn drain(&self, tenant: TenantId, worker_id: Uuid) -> Result<Worker, EngineError> {
        let drained = self.db().write(tenant.clone(), move |c, tenant| worker_drain(c, tenant, worker_id).boxed());
        let (exists, effects) = drained.await?;
        if !exists {
            return Err(Refusal::not_found(Resource::Worker, worker_id).into());
        }
        self.engine.wakeups.send(effects);
        self.worker(&tenant, worker_id).await
    }

    /// The newest workers of some states; none named = those that are not gone.
    pub async fn list(
        &self,
        tenant: TenantId,
        states: Vec<WorkerState>,
        page: PageRequest,
    ) -> Result<Page<Worker>, EngineError> {
        let scope = PageScope::new("ListWorkers", &tenant).with("states", states.iter().map(|state| state.as_str()));
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let max_bytes = self.limits.page_bytes;
        let list = self.engine.db(Class::Normal).read((tenant, states), move |c, (tenant, states)| {
            async move {
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|worker: &Worker| worker.id).or(after);
                    fill.take(worker_list(c, tenant, states, before, wanted).await?, wanted);
                }
                Ok(fill)
            }
            .boxed()
        });
        Ok(list.await?.finish(|last| scope.encode(last.id)))
    }

    fn db(&self) -> &Db {
        self.engine.db(Class::Priority)
    }

    async fn register(
        &self,
        tenant: &TenantId,
        request: &ClaimRequest,
        lease: Duration,
    ) -> Result<(Uuid, bool), StoreError> {
        let profile = WorkerProfile {
            name: request.worker_name.clone(),
            lanes: request.lanes.clone(),
            kinds: request.kinds.clone(),
            labels: Default::default(),
            version: String::new(),
        };
        let registered = self.db().write((tenant.clone(), profile), move |c, (tenant, profile)| {
            worker_upsert_unary(c, tenant, profile, lease).boxed()
        });
        registered.await
    }

    /// The id under which runs are claimed for a request that can be repeated: the first call's.
    async fn claim_id(
        &self,
        tenant: &TenantId,
        worker_id: Uuid,
        request_id: &str,
        request: &ClaimRequest,
    ) -> Result<Uuid, EngineError> {
        let payload = format!(
            "{worker_id} {:?} {:?} {} {:?} {:?}",
            request.lanes, request.kinds, request.max_runs, request.wait, request.lease_timeout
        );
        let request = Request {
            tenant: tenant.clone(),
            scope: "Claim",
            request_id: Some(request_id.to_owned()),
            payload_hash: payload_hash([payload.as_str()]),
        };
        // Nothing is written but the id itself.
        let claim_id = idempotent::create(
            self.db(),
            request,
            (),
            |_, (), _| ready(Ok(Ok(()))).boxed(),
            |_, (), id| ready(Ok(Ok(id))).boxed(),
        );
        claim_id.await
    }

    async fn run(&self, tenant: &TenantId, run_id: Uuid) -> Result<Run, EngineError> {
        let read = self.db().read(tenant.clone(), move |c, tenant| run_get(c, tenant, run_id).boxed());
        Ok(read.await?.ok_or(Refusal::not_found(Resource::Run, run_id))?)
    }

    async fn worker(&self, tenant: &TenantId, worker_id: Uuid) -> Result<Worker, EngineError> {
        let read = self.db().read(tenant.clone(), move |c, tenant| worker_get(c, tenant, worker_id).boxed());
        Ok(read.await?.ok_or(Refusal::not_found(Resource::Worker, worker_id))?)
    }
}

fn assignments(runs: Vec<Run>) -> Vec<Assignment> {
    runs.into_iter().map(|run| Assignment { run }).collect()
}
