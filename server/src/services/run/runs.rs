//! The use cases of runs: enqueued, read and cancelled. `watch.rs` and `tail.rs` stream them.

use std::sync::Arc;
use std::time::Duration;

use engine::db::Class;
use engine::domain::event::{EventLevel, EventPosition, RunEvent};
use engine::domain::filter::RunFilter;
use engine::domain::page::{Page, PageFill, PageRequest, PageScope};
use engine::domain::{Limits, Refusal, Resource, Run, RunRequest, TenantId};
use engine::store::event::read::event_list;
use engine::store::run::cancel::run_cancel_in_tx;
use engine::store::run::read::{run_exists, run_get, run_list};
use engine::{Engine, EngineError};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The use cases of runs.
#[derive(Debug, Clone)]
pub struct Runs {
    pub(super) engine: Arc<Engine>,
    limits: Arc<Limits>,
    /// A task for each stream.
    pub(super) streams: TaskTracker,
    /// The server is shutting down: streams say goodbye and end.
    pub(super) shutdown: CancellationToken,
}

impl Runs {
    pub fn new(engine: Arc<Engine>, limits: Arc<Limits>, streams: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { engine, limits, streams, shutdown }
    }

    /// Enqueues runs, all or none. When this returns they are committed.
    pub async fn enqueue(&self, tenant: TenantId, requests: Vec<RunRequest>) -> Result<Vec<Uuid>, EngineError> {
        Ok(self.engine.enqueue.enqueue(&tenant, requests).await?.ids)
    }

    /// Enqueues one run, and answers it as it was enqueued; for a repeated request, as it is now.
    pub async fn enqueue_one(&self, tenant: TenantId, request: RunRequest) -> Result<Run, EngineError> {
        let enqueued = self.engine.enqueue.enqueue(&tenant, vec![request.clone()]).await?;
        let id = enqueued.ids.first().copied().unwrap_or_default();
        let Some(created_at) = enqueued.created_at.first().copied().flatten() else {
            return self.get(&tenant, id).await;
        };
        Ok(Run::enqueued(id, tenant, request.spec, request.run_after, created_at))
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
        let cancelled = engine.db(Class::Priority).transaction((tenant, reason), move |c, (tenant, reason)| {
            async move {
                let effects = run_cancel_in_tx(c, tenant, &[run_id], reason, grace).await?;
                Ok((effects, run_get(c, tenant, run_id).await?))
            }
            .boxed()
        });
        let (effects, run) = cancelled.await?;
        let run = run.ok_or(Refusal::not_found(Resource::Run, run_id))?;
        engine.wakeups.send(effects);
        Ok(run)
    }

    /// One run.
    pub async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Run, EngineError> {
        let run = self.engine.db(Class::Normal).read(tenant.clone(), move |c, tenant| run_get(c, tenant, id).boxed());
        Ok(run.await?.ok_or(Refusal::not_found(Resource::Run, id))?)
    }

    /// The newest runs that match.
    pub async fn list(&self, tenant: TenantId, filter: RunFilter, page: PageRequest) -> Result<Page<Run>, EngineError> {
        let scope = filter_scope("ListRuns", &tenant, &filter);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let max_bytes = self.limits.page_bytes;
        let list = self.engine.db(Class::Normal).read((tenant, filter), move |c, (tenant, filter)| {
            async move {
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|run: &Run| run.id).or(after);
                    fill.take(run_list(c, tenant, filter, before, wanted).await?, wanted);
                }
                Ok(fill)
            }
            .boxed()
        });
        Ok(list.await?.finish(|last| scope.encode(last.id)))
    }

    /// The first events of a run's log, of a level or above.
    pub async fn list_events(
        &self,
        tenant: TenantId,
        run_id: Uuid,
        min_level: EventLevel,
        page: PageRequest,
    ) -> Result<Page<RunEvent>, EngineError> {
        let scope = PageScope::new("ListRunEvents", &tenant)
            .with("run", [run_id.to_string()])
            .with("level", [min_level.as_str()]);
        let after: EventPosition = scope.decode(&page.token)?.unwrap_or_default();
        let max_bytes = self.limits.page_bytes;
        let list = self.engine.db(Class::Normal).read(tenant, move |c, tenant| {
            async move {
                if !run_exists(c, tenant, run_id).await? {
                    return Ok(None);
                }
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let after = fill.last().map_or(after, |event: &RunEvent| event.position);
                    let rows = event_list(c, tenant, run_id, after, min_level, wanted).await?;
                    fill.take(rows, wanted);
                }
                Ok(Some(fill))
            }
            .boxed()
        });
        let fill = list.await?.ok_or(Refusal::not_found(Resource::Run, run_id))?;
        Ok(fill.finish(|last| scope.encode(last.position)))
    }
}

/// What a page of runs is bound to.
fn filter_scope(method: &str, tenant: &TenantId, filter: &RunFilter) -> PageScope {
    PageScope::new(method, tenant)
        .with("session", filter.session_id.map(|id| id.to_string()))
        .with("lanes", filter.lanes.iter().map(|lane| lane.as_str()))
        .with("statuses", filter.statuses.iter().map(|status| status.as_str()))
        .with("kinds", filter.kinds.iter().map(String::as_str))
        .with("label keys", filter.labels.keys().map(String::as_str))
        .with("labels", filter.labels.iter().map(|(key, value)| format!("{key}={value}")))
}
