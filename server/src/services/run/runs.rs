//! The use cases of runs, except for the streams of `watch.rs` and `tail.rs`.

use std::sync::Arc;
use std::time::Duration;

use engine::domain::event::{EventLevel, EventPosition, RunEvent};
use engine::domain::filter::RunFilter;
use engine::domain::page::{Page, PageRequest, PageScope};
use engine::domain::{Refusal, Resource, Run, RunRequest, RunStatus};
use engine::listing;
use engine::store::event::read::event_list;
use engine::store::run::cancel::run_cancel_in_tx;
use engine::store::run::read::{run_exists, run_get, run_list};
use engine::{Engine, EngineError};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::edge::caller::Caller;

/// How long the cancel of a claimed run waits between looks at the run: the server of its worker takes it back within milliseconds, or writes
/// that it has started. A server that does not answer is not waited for.
const CLAIMED_WAITS_MS: [u64; 6] = [5, 10, 20, 40, 80, 160];

/// Enqueues, reads, cancels and streams runs.
#[derive(Debug, Clone)]
pub struct Runs {
    pub(super) engine: Arc<Engine>,
    /// Has one task for each stream.
    pub(super) streams: TaskTracker,
    /// Cancelled when the server shuts down. Streams then say goodbye and end.
    pub(super) shutdown: CancellationToken,
}

impl Runs {
    pub fn new(engine: Arc<Engine>, streams: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { engine, streams, shutdown }
    }

    /// Enqueues all of these runs or none. They are committed when this returns.
    pub async fn enqueue(&self, caller: Caller, requests: Vec<RunRequest>) -> Result<Vec<Uuid>, EngineError> {
        Ok(self.engine.enqueue.enqueue(&caller.tenant, requests).await?.ids)
    }

    /// Enqueues one run and returns it as enqueued. A repeated request returns the run in its present state.
    pub async fn enqueue_one(&self, caller: Caller, request: RunRequest) -> Result<Run, EngineError> {
        let enqueued = self.engine.enqueue.enqueue(&caller.tenant, vec![request.clone()]).await?;
        let id = enqueued.ids.first().copied().unwrap_or_default();
        let Some(created_at) = enqueued.created_at.first().copied().flatten() else {
            return self.get(&caller, id).await;
        };
        Ok(Run::enqueued(id, caller.tenant, request.spec, request.run_after, created_at))
    }

    /// Cancels a run, or asks it to stop if it is held, and returns its state afterwards.
    pub async fn cancel(
        &self,
        caller: Caller,
        run_id: Uuid,
        reason: String,
        grace: Duration,
    ) -> Result<Run, EngineError> {
        let engine = &self.engine;
        let cancelled =
            engine.db(caller.class).transaction((caller.tenant.clone(), reason), move |c, (tenant, reason)| {
                async move {
                    let effects = run_cancel_in_tx(c, tenant, &[run_id], reason, grace).await?;
                    Ok((effects, run_get(c, tenant, run_id).await?))
                }
                .boxed()
            });
        let (effects, run) = cancelled.await?;
        let mut run = run.ok_or(Refusal::not_found(Resource::Run, run_id))?;
        engine.wakeups.send(effects);
        for delay in CLAIMED_WAITS_MS.map(Duration::from_millis) {
            if run.status != RunStatus::Claimed {
                break;
            }
            tokio::time::sleep(delay).await;
            run = self.get(&caller, run_id).await?;
        }
        Ok(run)
    }

    /// One run.
    pub async fn get(&self, caller: &Caller, id: Uuid) -> Result<Run, EngineError> {
        let db = self.engine.db(caller.class);
        let run = db.read(caller.tenant.clone(), move |c, tenant| run_get(c, tenant, id).boxed());
        Ok(run.await?.ok_or(Refusal::not_found(Resource::Run, id))?)
    }

    /// The newest runs that match the filter.
    pub async fn list(&self, caller: Caller, filter: RunFilter, page: PageRequest) -> Result<Page<Run>, EngineError> {
        let scope = PageScope::new("ListRuns", &caller.tenant).with_filter(&filter);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let (db, input) = (self.engine.db(caller.class), (caller.tenant, filter));
        let fill = listing::fill(
            db,
            input,
            &page,
            after,
            |run: &Run| run.id,
            |c, (tenant, filter), before, wanted| run_list(c, tenant, filter, before, wanted).boxed(),
        );
        Ok(fill.await?.finish(|last| scope.encode(last.id)))
    }

    /// One page of a run's events, oldest first, of this level or above.
    pub async fn list_events(
        &self,
        caller: Caller,
        run_id: Uuid,
        min_level: EventLevel,
        page: PageRequest,
    ) -> Result<Page<RunEvent>, EngineError> {
        let scope = PageScope::new("ListRunEvents", &caller.tenant)
            .with("run", [run_id.to_string()])
            .with("level", [min_level.as_str()]);
        let after: Option<EventPosition> = scope.decode(&page.token)?;
        let db = self.engine.db(caller.class);
        let exists = db.read(caller.tenant.clone(), move |c, tenant| run_exists(c, tenant, run_id).boxed());
        if !exists.await? {
            return Err(Refusal::not_found(Resource::Run, run_id).into());
        }
        let position = |event: &RunEvent| event.position;
        let fill = listing::fill(db, caller.tenant, &page, after, position, move |c, tenant, after, wanted| {
            event_list(c, tenant, run_id, after.unwrap_or_default(), min_level, wanted).boxed()
        });
        Ok(fill.await?.finish(|last| scope.encode(last.position)))
    }
}
