//! Enqueuing and cancelling runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use engine::Engine;
use engine::EngineError;
use engine::domain::{Refusal, Resource, Run, RunSpec, RunStatus, TenantId};
use engine::store::run::cancel::run_cancel_in_tx;
use engine::store::run::read::run_get;
use engine::wakeups::Topic;

/// Use cases of runs. Watching and waiting are in `watch.rs`, tailing a log in `tail.rs`.
#[derive(Debug, Clone)]
pub struct Runs {
    pub(super) engine: Arc<Engine>,
    /// A task for each stream.
    pub(super) streams: TaskTracker,
    /// The server is shutting down: streams say goodbye and end.
    pub(super) shutdown: CancellationToken,
}

impl Runs {
    pub fn new(engine: Arc<Engine>, streams: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { engine, streams, shutdown }
    }

    /// Enqueues runs, all or none. When this returns they are committed.
    pub async fn enqueue(&self, tenant: TenantId, specs: Vec<RunSpec>) -> Result<Vec<Uuid>, EngineError> {
        Ok(self.engine.enqueue.enqueue(&tenant, specs).await?.ids)
    }

    /// Enqueues one run, and answers it as it was enqueued; for a repeated request, as it is now.
    pub async fn enqueue_one(&self, tenant: TenantId, spec: RunSpec) -> Result<Run, EngineError> {
        let enqueued = self.engine.enqueue.enqueue(&tenant, vec![spec.clone()]).await?;
        let id = enqueued.ids.first().copied().unwrap_or_default();
        let Some(created_at) = enqueued.created_at.first().copied().flatten() else {
            return self.get(&tenant, id).await;
        };
        let later = spec.run_after.is_some_and(|due| due > created_at);
        Ok(Run {
            id,
            tenant_id: tenant,
            session_id: spec.session_id,
            lane: spec.lane,
            priority: spec.priority,
            kind: spec.kind,
            params: spec.params,
            labels: spec.labels,
            status: RunStatus::Queued,
            wait_reason: later.then_some(engine::domain::run::WaitReason::Scheduled),
            attempt: 0,
            max_attempts: spec.max_attempts,
            timeout: spec.timeout,
            claimed_by: None,
            worker_id: None,
            fence: 0,
            revision: 1,
            progress: None,
            result: None,
            error: None,
            cancellation: None,
            created_at,
            updated_at: created_at,
            run_after: spec.run_after.unwrap_or(created_at),
            claimed_at: None,
            started_at: None,
            finished_at: None,
            heartbeat_at: None,
            traceparent: spec.traceparent,
        })
    }

    /// Asks a run to stop, and answers it as it is then.
    pub async fn cancel(
        &self,
        tenant: TenantId,
        run_id: Uuid,
        reason: String,
        grace: Duration,
    ) -> Result<Run, EngineError> {
        let engine = &self.engine;
        let cancelled = engine.workers_db.transaction(move |c| {
            let (tenant, reason) = (tenant.clone(), reason.clone());
            Box::pin(async move {
                let told = run_cancel_in_tx(c, &tenant, &[run_id], &reason, grace).await?;
                Ok((told, run_get(c, &tenant, run_id).await?))
            })
        });
        let (told, run) = cancelled.await?;
        let run = run.ok_or(Refusal::not_found(Resource::Run, run_id))?;
        if told > 0 {
            engine.hints.give(Topic::Cancels);
        }
        engine.hints.give(Topic::Changes);
        Ok(run)
    }

    pub(super) async fn get(&self, tenant: &TenantId, run_id: Uuid) -> Result<Run, EngineError> {
        let tenant = tenant.clone();
        let read = self.engine.requests_db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { run_get(c, &tenant, run_id).await })
        });
        Ok(read.await?.ok_or(Refusal::not_found(Resource::Run, run_id))?)
    }
}
