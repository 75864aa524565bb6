//! Reads of workers.

use std::sync::Arc;

use uuid::Uuid;

use engine::EngineError;
use engine::db::Db;
use engine::domain::page::{Page, PageFill, PageRequest, PageScope};
use engine::domain::worker::{Worker, WorkerState};
use engine::domain::{Limits, TenantId};
use engine::store::worker::read::worker_list;

/// The reads of workers.
#[derive(Debug, Clone)]
pub struct WorkersRead {
    db: Db,
    limits: Arc<Limits>,
}

impl WorkersRead {
    pub fn new(db: Db, limits: Arc<Limits>) -> Self {
        Self { db, limits }
    }

    /// The newest workers of some states; none named = those that are not gone.
    pub async fn list(
        &self,
        tenant: &TenantId,
        states: Vec<WorkerState>,
        page: PageRequest,
    ) -> Result<Page<Worker>, EngineError> {
        let scope = PageScope::new("ListWorkers", tenant).with("states", states.iter().map(|state| state.as_str()));
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let (tenant, states, max_bytes) = (tenant.clone(), Arc::new(states), self.limits.page_bytes);
        let list = self.db.run(move |c| {
            let (tenant, states) = (tenant.clone(), Arc::clone(&states));
            Box::pin(async move {
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|worker: &Worker| worker.id).or(after);
                    fill.take(worker_list(c, &tenant, &states, before, wanted).await?, wanted, worker_bytes);
                }
                Ok(fill)
            })
        });
        Ok(list.await?.finish(|last| scope.encode(last.id)))
    }
}

fn worker_bytes(worker: &Worker) -> usize {
    let kinds: usize = worker.kinds.iter().map(|kind| kind.len() + 8).sum();
    let labels: usize = worker.labels.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
    512 + worker.name.len() + worker.version.len() + kinds + labels
}
