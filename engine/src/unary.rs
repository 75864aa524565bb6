//! The calls of workers without a stream: they claim, send heartbeats, report and append events, one call each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::ready;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Class, Db, StoreError};
use crate::dispatch::demand::UnaryClaim;
use crate::domain::event::EventBatch;
use crate::domain::frame::{Assignment, Heartbeat, Report};
use crate::domain::weight::{MESSAGE_BYTES, messages};
use crate::domain::worker::{ClaimRequest, Order, OrderKind, WorkerProfile};
use crate::domain::{GrantKey, Identity, Refusal, Resource, Run, TenantId};
use crate::idempotent::{self, Request};
use crate::store::event::append::GuardedEvents;
use crate::store::run::claim::{ClaimGroup, run_claimed_before_in_tx};
use crate::store::run::guard::{Guard, UNARY_EPOCH};
use crate::store::run::orders::order_pending;
use crate::store::run::read::run_get;
use crate::store::run::release::Release;
use crate::store::worker::read::worker_get;
use crate::store::worker::record::worker_upsert_unary;
use crate::stream::orders::forget_revokes;
use crate::{Engine, EngineError};

/// The calls of a tenant's workers.
#[derive(Debug)]
pub struct UnaryCalls<'e> {
    engine: &'e Engine,
    db: &'e Db,
    tenant: TenantId,
}

impl<'e> UnaryCalls<'e> {
    /// Calls whose own work in the database is of a class.
    pub fn new(engine: &'e Engine, class: Class, tenant: TenantId) -> Self {
        Self { engine, db: engine.db(class), tenant }
    }

    /// Claims runs and starts them. Waits for the first run if the request says so, but not longer than until `shutdown`.
    pub async fn claim(
        &self,
        request: ClaimRequest,
        shutdown: &CancellationToken,
    ) -> Result<(Uuid, Vec<Assignment>), EngineError> {
        let lease = request.lease_timeout.unwrap_or(self.engine.settings.lease_timeout);
        let (worker_id, draining) = self.register(&request, lease).await?;
        let claim_id = match &request.request_id {
            Some(request_id) => Some(self.claim_id(request_id, &request.identity(worker_id)).await?),
            None => None,
        };
        if let Some(claim_id) = claim_id
            && let Some(runs) = self.claimed_before(worker_id, claim_id).await?
        {
            return Ok((worker_id, self.assignments(worker_id, runs)));
        }
        if draining {
            return Err(Refusal::WorkerDraining(worker_id).into());
        }

        let (reply, mut answered) = oneshot::channel();
        self.engine.dispatcher.claim(UnaryClaim {
            call: Uuid::now_v7(),
            worker_id,
            worker_name: request.worker_name,
            group: ClaimGroup { tenant: self.tenant.clone(), lanes: request.lanes, kinds: request.kinds },
            max_runs: usize::try_from(request.max_runs).unwrap_or(1),
            lease,
            claim_id,
            deadline: Instant::now() + request.wait,
            looked: false,
            reply,
        });
        let answer = tokio::select! {
            answer = &mut answered => answer.ok(),
            () = shutdown.cancelled() => {
                // After `close` the dispatcher gives the runs back. The worker gets the runs that were sent before.
                answered.close();
                answered.try_recv().ok()
            }
        };
        let mut runs = answer.ok_or(EngineError::ShuttingDown)??;
        if let (true, Some(claim_id)) = (runs.is_empty(), claim_id) {
            // An earlier call with the same request id may have claimed runs meanwhile.
            runs = self.claimed_before(worker_id, claim_id).await?.unwrap_or_default();
        }
        Ok((worker_id, self.assignments(worker_id, runs)))
    }

    /// Keeps leases alive. Returns the grants that are lost, and the cancels of the worker's runs.
    pub async fn heartbeat(
        &self,
        worker_id: Uuid,
        heartbeat: Heartbeat,
    ) -> Result<(Vec<GrantKey>, Vec<Order>), EngineError> {
        let tenant = self.tenant.clone();
        let worker = self.db.read(tenant, move |c, tenant| worker_get(c, tenant, worker_id).boxed());
        worker.await?.ok_or(Refusal::not_found(Resource::Worker, worker_id))?;
        let answer = self.engine.leases.beat(worker_id, UNARY_EPOCH, heartbeat).await?;
        if answer.replaced {
            // A worker that has a stream sends its heartbeats there.
            return Err(Refusal::not_found(Resource::Worker, worker_id).into());
        }
        let orders = self.db.read((), move |c, ()| async move { order_pending(c, &[worker_id]).await }.boxed());
        let (mut cancels, revokes): (Vec<Order>, Vec<Order>) =
            orders.await?.into_iter().partition(|order| order.kind == OrderKind::Cancel);
        let revoked: Vec<GrantKey> = revokes.iter().map(|order| order.grant).collect();
        let mut lost = answer.lost;
        lost.extend(&revoked);
        forget_revokes(self.db, revoked).await?;
        lost.sort();
        lost.dedup();
        shorten(&mut cancels, MESSAGE_BYTES);
        Ok((lost, cancels))
    }

    /// Ends a claimed run. Returns the run after that.
    pub async fn report(&self, worker_id: Uuid, report: Report) -> Result<Run, EngineError> {
        let run_id = report.grant.run_id;
        self.run(run_id).await?;
        self.engine.results.report(Guard::unary(report.grant, worker_id), Arc::new(report.outcome)).await?;
        self.run(run_id).await
    }

    /// Adds events to the log of a claimed run. Returns the number of the last one.
    pub async fn append_events(&self, worker_id: Uuid, batch: EventBatch) -> Result<i64, EngineError> {
        self.run(batch.grant.run_id).await?;
        let through_seq = batch.first_seq + batch.entries.len() as i64 - 1;
        let guard = Guard::unary(batch.grant, worker_id);
        let events = GuardedEvents { guard, first_seq: batch.first_seq, entries: batch.entries };
        self.engine.events.append(events).await?;
        Ok(through_seq)
    }

    /// Registers a worker, or finds it by its name. Returns its id, and whether it drains.
    async fn register(&self, request: &ClaimRequest, lease: Duration) -> Result<(Uuid, bool), StoreError> {
        let profile = WorkerProfile {
            name: request.worker_name.clone(),
            lanes: request.lanes.clone(),
            kinds: request.kinds.clone(),
            labels: Default::default(),
            version: String::new(),
        };
        let registered = self.db.write((self.tenant.clone(), profile), move |c, (tenant, profile)| {
            worker_upsert_unary(c, tenant, profile, lease).boxed()
        });
        registered.await
    }

    /// The id that is written into the runs of a call that can be repeated. It belongs to the first call with the request id.
    async fn claim_id(&self, request_id: &str, identity: &Identity) -> Result<Uuid, EngineError> {
        let request = Request {
            tenant: self.tenant.clone(),
            scope: "Claim",
            request_id: Some(request_id.to_owned()),
            payload_hash: identity.hash().to_vec(),
        };
        // Only the id is written.
        let claim_id = idempotent::create(
            self.db,
            request,
            (),
            |_, (), _| ready(Ok(Ok(()))).boxed(),
            |_, (), id| ready(Ok(Ok(id))).boxed(),
        );
        claim_id.await
    }

    /// The runs that an earlier call with the same id has claimed; `None` if there are none.
    async fn claimed_before(&self, worker_id: Uuid, claim_id: Uuid) -> Result<Option<Vec<Run>>, StoreError> {
        let read = self.db.transaction(self.tenant.clone(), move |c, tenant| {
            run_claimed_before_in_tx(c, tenant, worker_id, claim_id).boxed()
        });
        read.await
    }

    /// The first runs, as many as one message carries. Gives the others back.
    fn assignments(&self, worker_id: Uuid, runs: Vec<Run>) -> Vec<Assignment> {
        let mut messages = messages(runs, MESSAGE_BYTES).into_iter();
        let first = messages.next().unwrap_or_default();
        let release = |run: Run| Release {
            guard: Guard::unary(run.grant_key(), worker_id),
            started_too: true,
            undelivered: false,
        };
        self.engine.releases.give_back(messages.flatten().map(release).collect());
        first.into_iter().map(|run| Assignment { run }).collect()
    }

    async fn run(&self, run_id: Uuid) -> Result<Run, EngineError> {
        let read = self.db.read(self.tenant.clone(), move |c, tenant| run_get(c, tenant, run_id).boxed());
        Ok(read.await?.ok_or(Refusal::not_found(Resource::Run, run_id))?)
    }
}

/// Leaves out the reasons of cancels that do not fit into so many bytes. The cancels themselves always arrive.
fn shorten(cancels: &mut [Order], bytes: usize) {
    let mut room = bytes;
    for cancel in cancels {
        match room.checked_sub(cancel.reason.len()) {
            Some(rest) => room = rest,
            None => cancel.reason.clear(),
        }
    }
}
