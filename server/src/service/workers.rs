//! The unary twins of a worker's stream, and draining.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{ServiceError, connect};
use crate::domain::event::EventBatch;
use crate::domain::frame::{Assignment, Heartbeat, Hello, Report, ServerFrame};
use crate::domain::weight::{MESSAGE_BYTES, messages};
use crate::domain::worker::{CancelKind, CancelOrder, ClaimRequest, Worker, WorkerProfile};
use crate::domain::{Lease, Refusal, Resource, Run, TenantId};
use crate::engine::Engine;
use crate::engine::connection::Connection;
use crate::engine::demand::{UNARY_EPOCH, UnaryClaim};
use crate::engine::hints::Topic;
use crate::store::StoreError;
use crate::store::cancel::{cancel_pending, cancel_told};
use crate::store::claim::{ClaimGroup, run_claimed_before};
use crate::store::event_append::GuardedEvents;
use crate::store::release::Release;
use crate::store::report::Guard;
use crate::store::request::{RequestClaim, payload_hash, request_claim_in_tx};
use crate::store::run_read::run_get;
use crate::store::worker::{worker_drain, worker_upsert_unary};
use crate::store::worker_read::worker_get;

/// Use cases of workers that use unary calls, and of those who drain workers.
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

    /// Where a worker's stream is served.
    pub fn streams(&self) -> &TaskTracker {
        &self.streams
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Opens a worker's stream: [`super::stream::serve`] serves it.
    pub async fn open(
        &self,
        tenant: TenantId,
        hello: Hello,
    ) -> Result<(Arc<Connection>, mpsc::Receiver<ServerFrame>), ServiceError> {
        if self.shutdown.is_cancelled() {
            return Err(ServiceError::ShuttingDown);
        }
        connect::open(&self.engine, tenant, hello).await
    }

    /// Claims runs and starts them; waits for the first if that is wanted.
    pub async fn claim(
        &self,
        tenant: TenantId,
        request: ClaimRequest,
    ) -> Result<(Uuid, Vec<Assignment>), ServiceError> {
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
        let mut runs = answer.ok_or(ServiceError::ShuttingDown)??;
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
        let tenant = tenant.clone();
        let read = self.engine.workers_db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { run_claimed_before(c, &tenant, worker_id, claim_id).await })
        });
        read.await
    }

    /// The first of the runs, as many as one message carries; the others go back at once.
    fn fit(&self, worker_id: Uuid, runs: Vec<Run>) -> Vec<Run> {
        let mut messages = messages(runs, MESSAGE_BYTES).into_iter();
        let first = messages.next().unwrap_or_default();
        let release = |run: Run| Release {
            guard: Guard { lease: Lease { run_id: run.id, fence: run.fence }, worker_id, epoch: UNARY_EPOCH },
            begun_too: true,
            undelivered: false,
        };
        self.engine.releases.give_back(messages.flatten().map(release).collect());
        first
    }

    /// Keeps leases alive, and tells which are lost and which runs shall be stopped.
    pub async fn heartbeat(
        &self,
        tenant: TenantId,
        worker_id: Uuid,
        heartbeat: Heartbeat,
    ) -> Result<(Vec<Lease>, Vec<CancelOrder>), ServiceError> {
        self.worker(&tenant, worker_id).await?;
        let answer = self.engine.leases.beat(worker_id, UNARY_EPOCH, heartbeat).await?;
        if answer.replaced {
            // A worker that has a stream sends its heartbeats there.
            return Err(Refusal::not_found(Resource::Worker, worker_id).into());
        }
        let orders = self.engine.workers_db.run(move |c| {
            Box::pin(async move {
                let orders = cancel_pending(c, &[worker_id]).await?;
                let revoked = |order: &&CancelOrder| order.kind == CancelKind::Revoke;
                let told: Vec<Lease> = orders
                    .iter()
                    .filter(revoked)
                    .map(|order| Lease { run_id: order.run_id, fence: order.fence })
                    .collect();
                if !told.is_empty() {
                    cancel_told(c, &told).await?;
                }
                Ok(orders)
            })
        });
        let (cancels, revokes): (Vec<CancelOrder>, Vec<CancelOrder>) =
            orders.await?.into_iter().partition(|order| order.kind == CancelKind::Cancel);
        let mut lost = answer.lost;
        lost.extend(revokes.iter().map(|order| Lease { run_id: order.run_id, fence: order.fence }));
        lost.sort();
        lost.dedup();
        Ok((lost, cancels))
    }

    /// Ends a claimed run, and answers it as it is then.
    pub async fn report(&self, tenant: TenantId, worker_id: Uuid, report: Report) -> Result<Run, ServiceError> {
        let run_id = report.lease.run_id;
        let guard = Guard { lease: report.lease, worker_id, epoch: UNARY_EPOCH };
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
    ) -> Result<i64, ServiceError> {
        self.run(&tenant, batch.run_id).await?;
        let through_seq = batch.first_seq + batch.entries.len() as i64 - 1;
        let lease = Lease { run_id: batch.run_id, fence: batch.fence };
        let guard = Guard { lease, worker_id, epoch: UNARY_EPOCH };
        let events = GuardedEvents { guard, first_seq: batch.first_seq, entries: batch.entries };
        self.engine.events.append(events).await?;
        Ok(through_seq)
    }

    /// Asks a worker to end what it holds and take no more.
    pub async fn drain(&self, tenant: TenantId, worker_id: Uuid) -> Result<Worker, ServiceError> {
        let of = tenant.clone();
        let drained = self.engine.workers_db.run(move |c| {
            let of = of.clone();
            Box::pin(async move { worker_drain(c, &of, worker_id).await })
        });
        if !drained.await? {
            return Err(Refusal::not_found(Resource::Worker, worker_id).into());
        }
        self.engine.hints.give(Topic::Cancels);
        self.worker(&tenant, worker_id).await
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
        let tenant = tenant.clone();
        let registered = self.engine.workers_db.run(move |c| {
            let (tenant, profile) = (tenant.clone(), profile.clone());
            Box::pin(async move { worker_upsert_unary(c, &tenant, &profile, lease).await })
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
    ) -> Result<Uuid, ServiceError> {
        let payload = format!(
            "{worker_id} {:?} {:?} {} {:?} {:?}",
            request.lanes, request.kinds, request.max_runs, request.wait, request.lease_timeout
        );
        let (hash, new_id) = (payload_hash([payload.as_str()]), Uuid::now_v7());
        let (tenant, id) = (tenant.clone(), request_id.to_owned());
        let claimed = self.engine.workers_db.transaction(move |c| {
            let (tenant, id, hash) = (tenant.clone(), id.clone(), hash.clone());
            Box::pin(async move { request_claim_in_tx(c, &tenant, "Claim", &id, &hash, &[new_id]).await })
        });
        match claimed.await {
            Ok(RequestClaim::Fresh) => Ok(new_id),
            Ok(RequestClaim::Repeated(ids)) => Ok(ids.first().copied().unwrap_or(new_id)),
            Ok(RequestClaim::Reused) => Err(Refusal::RequestIdReused(request_id.to_owned()).into()),
            Err(StoreError::RequestHeld) => Err(Refusal::RequestInProgress(request_id.to_owned()).into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn run(&self, tenant: &TenantId, run_id: Uuid) -> Result<Run, ServiceError> {
        let tenant = tenant.clone();
        let read = self.engine.workers_db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { run_get(c, &tenant, run_id).await })
        });
        Ok(read.await?.ok_or(Refusal::not_found(Resource::Run, run_id))?)
    }

    async fn worker(&self, tenant: &TenantId, worker_id: Uuid) -> Result<Worker, ServiceError> {
        let tenant = tenant.clone();
        let read = self.engine.workers_db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { worker_get(c, &tenant, worker_id).await })
        });
        Ok(read.await?.ok_or(Refusal::not_found(Resource::Worker, worker_id))?)
    }
}

fn assignments(runs: Vec<Run>) -> Vec<Assignment> {
    runs.into_iter().map(|run| Assignment { run }).collect()
}
