//! The calls of workers without a stream: they claim, send heartbeats, report and append events, one call each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::batch::foreign_locks::in_spite_of_locks;
use crate::db::{Class, Db, StoreError};
use crate::dispatch::demand::{ClaimAnswer, UnaryClaim};
use crate::domain::event::EventBatch;
use crate::domain::frame::{Assignment, Heartbeat, Report};
use crate::domain::weight::{MESSAGE_BYTES, messages};
use crate::domain::worker::{ClaimRequest, Order, OrderKind, WorkerProfile};
use crate::domain::{GrantKey, Refusal, Resource, Run, TenantId};
use crate::idempotent::in_progress;
use crate::store::event::append::GuardedEvents;
use crate::store::request::claim_call::{ClaimCall, ClaimCallOpened, claim_call_is_newest, claim_call_open};
use crate::store::run::claim::{ClaimGroup, run_claimed_before};
use crate::store::run::guard::{Guard, UNARY_EPOCH};
use crate::store::run::orders::order_pending;
use crate::store::run::read::run_get;
use crate::store::run::release::{Release, Unanswered};
use crate::store::worker::read::worker_get;
use crate::store::worker::record::worker_upsert_unary;
use crate::stream::orders::forget_revokes;
use crate::{Engine, EngineError};

/// What a call of Claim begins with.
enum OpenedCall {
    /// An earlier call with the same request id was given runs. The worker still holds these.
    Answered(Arc<ClaimCall>, Vec<Run>),
    /// It waits for runs. It has a row in the database if it can be repeated.
    Open(Option<Arc<ClaimCall>>),
}

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
        let deadline = Instant::now() + request.wait;
        let lease = request.lease_timeout.unwrap_or(self.engine.settings.lease_timeout);
        let (worker_id, draining) = self.register(&request, lease).await?;
        loop {
            let repeatable = match self.open_call(&request, worker_id).await? {
                OpenedCall::Answered(call, runs) => {
                    return Ok((worker_id, self.assignments(worker_id, runs, Some(call))));
                }
                OpenedCall::Open(repeatable) => repeatable,
            };
            if draining {
                return Err(Refusal::WorkerDraining(worker_id).into());
            }
            let (reply, answered) = oneshot::channel();
            self.engine.dispatcher.claim(UnaryClaim {
                call: repeatable.as_ref().map_or_else(Uuid::now_v7, |call| call.call),
                worker_id,
                worker_name: request.worker_name.clone(),
                group: ClaimGroup {
                    tenant: self.tenant.clone(),
                    lanes: request.lanes.clone(),
                    kinds: request.kinds.clone(),
                },
                max_runs: usize::try_from(request.max_runs).unwrap_or(1),
                lease,
                repeatable: repeatable.clone(),
                deadline,
                looked: false,
                reply,
            });
            match self.answer(answered, repeatable.as_deref(), shutdown).await? {
                ClaimAnswer::Runs(runs) => {
                    return Ok((worker_id, self.assignments(worker_id, runs, repeatable)));
                }
                // The answer is read under a newer call, so that nothing of it goes back.
                ClaimAnswer::Written => {}
            }
        }
    }

    /// Waits for the answer to a call.
    async fn answer(
        &self,
        mut answered: oneshot::Receiver<Result<ClaimAnswer, EngineError>>,
        repeatable: Option<&ClaimCall>,
        shutdown: &CancellationToken,
    ) -> Result<ClaimAnswer, EngineError> {
        let answer = tokio::select! {
            answer = &mut answered => answer.ok(),
            () = shutdown.cancelled() => {
                // After `close` the dispatcher gives the runs back. The worker gets the runs that were sent before.
                answered.close();
                answered.try_recv().ok()
            }
        };
        match (answer, repeatable) {
            (Some(Ok(ClaimAnswer::Runs(runs))), Some(call)) if runs.is_empty() => {
                // The id of a call that got nothing is free for the next one.
                if self.is_newest(call).await? {
                    return Ok(ClaimAnswer::Runs(runs));
                }
                Err(Refusal::RequestInProgress(call.request_id.clone()).into())
            }
            (Some(answer), _) => answer,
            (None, _) => Err(EngineError::ShuttingDown),
        }
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
        in_spite_of_locks(|| self.engine.events.append(events.clone())).await?;
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

    /// Makes a call the newest one with its request id, if it has one. Reads the answer of an earlier call.
    async fn open_call(&self, request: &ClaimRequest, worker_id: Uuid) -> Result<OpenedCall, EngineError> {
        let Some(request_id) = request.request_id.clone() else { return Ok(OpenedCall::Open(None)) };
        let (call, hash) = (Uuid::now_v7(), request.identity(worker_id).hash().to_vec());
        let input = (self.tenant.clone(), request_id.clone(), hash);
        let opened = self.db.transaction(input, move |c, (tenant, request_id, hash)| {
            async move {
                let opened = claim_call_open(c, tenant, request_id, hash, call).await?;
                let runs = match opened {
                    ClaimCallOpened::Answered(claim_id) => run_claimed_before(c, tenant, worker_id, claim_id).await?,
                    ClaimCallOpened::Open(_) | ClaimCallOpened::Reused => Vec::new(),
                };
                Ok((opened, runs))
            }
            .boxed()
        });
        let named = |claim_id| {
            let (tenant, request_id) = (self.tenant.clone(), request_id.clone());
            Arc::new(ClaimCall { tenant, request_id, claim_id, call })
        };
        match opened.await.map_err(|error| in_progress(error, request_id.clone()))? {
            (ClaimCallOpened::Answered(claim_id), runs) => Ok(OpenedCall::Answered(named(claim_id), runs)),
            (ClaimCallOpened::Open(claim_id), _) => Ok(OpenedCall::Open(Some(named(claim_id)))),
            (ClaimCallOpened::Reused, _) => Err(Refusal::RequestIdReused(request_id.clone()).into()),
        }
    }

    /// Whether no later call has the request id of this one.
    async fn is_newest(&self, call: &ClaimCall) -> Result<bool, StoreError> {
        self.db.read(call.clone(), |c, call| claim_call_is_newest(c, call).boxed()).await
    }

    /// The first runs, as many as one message carries. Gives the others back, unless a later call is answered with them.
    fn assignments(&self, worker_id: Uuid, runs: Vec<Run>, call: Option<Arc<ClaimCall>>) -> Vec<Assignment> {
        let mut messages = messages(runs, MESSAGE_BYTES).into_iter();
        let first = messages.next().unwrap_or_default();
        let release = |run: Run| Release {
            guard: Guard::unary(run.grant_key(), worker_id),
            started_too: true,
            undelivered: false,
            unanswered: call.clone().map(|call| Unanswered { call, all: false }),
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
