//! Reads of runs and of their logs.

use std::sync::Arc;

use uuid::Uuid;

use engine::EngineError;
use engine::db::Db;
use engine::domain::event::{EventLevel, EventPosition, RunEvent};
use engine::domain::filter::RunFilter;
use engine::domain::page::{Page, PageFill, PageRequest, PageScope};
use engine::domain::weight::Weight;
use engine::domain::{Limits, Refusal, Resource, Run, TenantId};
use engine::store::event::read::event_list;
use engine::store::run::read::{run_exists, run_get, run_list};

/// The reads of runs.
#[derive(Debug, Clone)]
pub struct RunsRead {
    db: Db,
    limits: Arc<Limits>,
}

impl RunsRead {
    pub fn new(db: Db, limits: Arc<Limits>) -> Self {
        Self { db, limits }
    }

    /// One run.
    pub async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Run, EngineError> {
        let tenant = tenant.clone();
        let run = self.db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { run_get(c, &tenant, id).await })
        });
        Ok(run.await?.ok_or(Refusal::not_found(Resource::Run, id))?)
    }

    /// The newest runs that match.
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: RunFilter,
        page: PageRequest,
    ) -> Result<Page<Run>, EngineError> {
        let scope = filter_scope("ListRuns", tenant, &filter);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let (tenant, filter, max_bytes) = (tenant.clone(), Arc::new(filter), self.limits.page_bytes);
        let list = self.db.run(move |c| {
            let (tenant, filter) = (tenant.clone(), Arc::clone(&filter));
            Box::pin(async move {
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|run: &Run| run.id).or(after);
                    fill.take(run_list(c, &tenant, &filter, before, wanted).await?, wanted, Run::weight);
                }
                Ok(fill)
            })
        });
        Ok(list.await?.finish(|last| scope.encode(last.id)))
    }

    /// The first events of a run's log, of a level or above.
    pub async fn list_events(
        &self,
        tenant: &TenantId,
        run_id: Uuid,
        min_level: EventLevel,
        page: PageRequest,
    ) -> Result<Page<RunEvent>, EngineError> {
        let scope = PageScope::new("ListRunEvents", tenant)
            .with("run", [run_id.to_string()])
            .with("level", [min_level.as_str()]);
        let after: EventPosition = scope.decode(&page.token)?.unwrap_or_default();
        let (tenant, max_bytes) = (tenant.clone(), self.limits.page_bytes);
        let list = self.db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move {
                if !run_exists(c, &tenant, run_id).await? {
                    return Ok(None);
                }
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let after = fill.last().map_or(after, |event: &RunEvent| event.position);
                    let rows = event_list(c, &tenant, run_id, after, min_level, wanted).await?;
                    fill.take(rows, wanted, RunEvent::weight);
                }
                Ok(Some(fill))
            })
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
