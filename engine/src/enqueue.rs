//! New runs of all callers, in batches.
//!
//! Calls with request ids have batches of their own, because they may wait for another transaction that holds the same id.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::EngineError;
use crate::batch::batcher::{Abandoned, BatchBounds, BatchRequest, Batcher, batches};
use crate::batch::foreign_locks::{LockedRows, Locks};
use crate::batch::halving::halve;
use crate::db::{Db, PgConnection, StoreError};
use crate::domain::weight::Weight;
use crate::domain::{Refusal, Resource, RunRequest, TenantId};
use crate::idempotent::in_progress;
use crate::settings::OUTAGE_RETRY_DELAY;
use crate::store::effects::Effects;
use crate::store::request::batch::{RequestKey, request_claim_many_in_tx, request_release_many_in_tx};
use crate::store::request::id::{RequestClaim, request_first};
use crate::store::run::enqueue::{ENQUEUED, NewRun, run_created, run_enqueue};
use crate::store::session::lock::session_open_in_tx;
use crate::telemetry::Metrics;
use crate::wakeups::Wakeups;

/// The waiting calls are a few seconds of work: a caller that waits longer has given up. A batch takes 2,000 runs, or one call of
/// up to 10,000.
const BOUNDS: BatchBounds = BatchBounds {
    waiting: 10_000,
    waiting_items: 20_000,
    waiting_bytes: 64 << 20,
    items: 2_000,
    bytes: 16 << 20,
    abandoned: Abandoned::Drop,
};

/// How long a batch is tried again after a commit that was not answered.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The scope of request ids of runs, for every method that enqueues runs.
const REQUEST_SCOPE: &str = "EnqueueRun";

/// A call that enqueues all of its runs or none.
#[derive(Debug, Clone)]
pub struct EnqueueCall {
    runs: Arc<Vec<NewRun>>,
}

impl EnqueueCall {
    fn sessions(&self) -> BTreeSet<Uuid> {
        self.runs.iter().map(|run| run.request.spec.session_id).collect()
    }
}

impl BatchRequest for EnqueueCall {
    fn items(&self) -> usize {
        self.runs.len()
    }
}

impl Weight for EnqueueCall {
    fn weight(&self) -> usize {
        self.runs.iter().map(|run| run.request.weight()).sum()
    }
}

/// The runs of a call.
#[derive(Debug, Clone)]
pub struct Enqueued {
    /// In the order of the call.
    pub ids: Vec<Uuid>,
    /// `None` for a run that an earlier call with the same request id has made.
    pub created_at: Vec<Option<DateTime<Utc>>>,
}

/// Where calls are submitted.
#[derive(Debug, Clone)]
pub struct Enqueue {
    plain: Batcher<EnqueueCall, Verdict>,
    with_request_id: Batcher<EnqueueCall, Verdict>,
}

impl Enqueue {
    /// The handle and its two loops.
    pub fn new(
        db: Db,
        wakeups: Wakeups,
        metrics: &Metrics,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (counted, locked) = (metrics.clone(), Arc::new(LockedRows::new(db.clone(), Locks::SessionKeys)));
        let work = move |calls: Vec<EnqueueCall>| {
            let (db, wakeups, metrics, locked) = (db.clone(), wakeups.clone(), counted.clone(), locked.clone());
            async move {
                let results = halve(calls, |calls| write_free(db.clone(), wakeups.clone(), &locked, calls)).await;
                let results: Vec<_> = results.into_iter().map(Result::flatten).collect();
                metrics.runs_enqueued.inc_by(results.iter().map(fresh).sum());
                results
            }
        };
        let (plain, run_plain) = batches(BOUNDS, closing.clone(), metrics.measured("enqueue", work.clone()));
        let (with_request_id, run_with_request_id) = batches(BOUNDS, closing, metrics.measured("enqueue", work));
        let run = async {
            tokio::join!(run_plain, run_with_request_id);
        };
        (Self { plain, with_request_id }, run)
    }

    /// Enqueues runs, all or none. When this returns, they are committed.
    pub async fn enqueue(&self, tenant: &TenantId, requests: Vec<RunRequest>) -> Result<Enqueued, EngineError> {
        let request_id = requests.iter().find_map(|request| request.request_id.clone());
        let new_run = |request| NewRun { id: Uuid::now_v7(), tenant: tenant.clone(), request };
        let call = EnqueueCall { runs: Arc::new(requests.into_iter().map(new_run).collect()) };
        let batches = if request_id.is_some() { &self.with_request_id } else { &self.plain };
        match batches.submit(call).await {
            Ok(result) => Ok(result?),
            Err(EngineError::Store(error)) => Err(in_progress(error, request_id.unwrap_or_default())),
            Err(error) => Err(error),
        }
    }
}

/// The number of runs that a call has made.
fn fresh(result: &Result<Verdict, EngineError>) -> u64 {
    let enqueued = result.iter().flatten();
    enqueued.flat_map(|enqueued| &enqueued.created_at).filter(|created_at| created_at.is_some()).count() as u64
}

type Verdict = Result<Enqueued, Refusal>;
type Verdicts = Vec<Verdict>;

/// Writes the calls whose sessions no other transaction has locked. The others fail with `LockTimeout`.
async fn write_free(
    db: Db,
    wakeups: Wakeups,
    locked: &LockedRows,
    calls: Arc<[EnqueueCall]>,
) -> Result<Vec<Result<Verdict, EngineError>>, StoreError> {
    locked.around_each(calls, EnqueueCall::sessions, |free, _| batch(db.clone(), wakeups.clone(), free)).await
}

/// Writes one batch. The ids are made before the write, so after a commit that was not answered they show whether it happened. The
/// batch looks for them first. If none is there it writes the same again: that write waits for a commit that is still on its way, and
/// then fails on the same ids.
async fn batch(db: Db, wakeups: Wakeups, calls: Arc<[EnqueueCall]>) -> Result<Verdicts, StoreError> {
    let until = Instant::now() + COMMIT_TIMEOUT;
    let mut in_doubt = false;
    loop {
        let written = match in_doubt {
            true => match look_up(&db, &wakeups, &calls).await {
                Ok(Some(verdicts)) => return Ok(verdicts),
                Ok(None) => write(&db, &wakeups, calls.clone()).await,
                Err(error) => Err(error),
            },
            false => write(&db, &wakeups, calls.clone()).await,
        };
        match written {
            Ok(verdicts) => return Ok(verdicts),
            Err(StoreError::CommitUnknown(_)) => in_doubt = true,
            Err(StoreError::Constraint { constraint, .. }) if &*constraint == "runs_pkey" => {
                in_doubt = true;
                continue;
            }
            Err(error) if !(in_doubt && error.is_passing()) => return Err(error),
            Err(_) => {}
        }
        if Instant::now() > until {
            return Err(StoreError::CommitUnknown("the database did not come back".into()));
        }
        tokio::time::sleep(OUTAGE_RETRY_DELAY).await;
    }
}

/// The verdicts of a batch whose commit was not answered; `None` if none of its runs is there. One transaction wrote all of them, so
/// one run proves the commit.
async fn look_up(db: &Db, wakeups: &Wakeups, calls: &[EnqueueCall]) -> Result<Option<Verdicts>, StoreError> {
    let ids: Vec<Uuid> = calls.iter().flat_map(|call| call.runs.iter().map(|run| run.id)).collect();
    let created = db.read(ids, |c, ids| run_created(c, ids).boxed()).await?;
    if created.is_empty() {
        return Ok(None);
    }
    wakeups.send(ENQUEUED);
    let mut verdicts = Vec::with_capacity(calls.len());
    for call in calls {
        if call.runs.iter().any(|run| created.contains_key(&run.id)) {
            verdicts.push(Ok(made_before(db, call, &created).await?));
        } else {
            // The call was refused, or it repeated an earlier request. To judge it again makes no run twice.
            verdicts.extend(write(db, wakeups, Arc::from([call.clone()])).await?);
        }
    }
    Ok(Some(verdicts))
}

/// The runs of a committed call. If one of them is missing, an earlier call with the same request id has made another run.
async fn made_before(
    db: &Db,
    call: &EnqueueCall,
    created: &BTreeMap<Uuid, DateTime<Utc>>,
) -> Result<Enqueued, StoreError> {
    let mut enqueued = Enqueued { ids: Vec::new(), created_at: Vec::new() };
    for run in call.runs.iter() {
        let created_at = created.get(&run.id).copied();
        let id = match (&run.request.request_id, created_at) {
            (Some(request_id), None) => {
                let first = db.read((run.tenant.clone(), request_id.clone()), |c, (tenant, request_id)| {
                    request_first(c, tenant, REQUEST_SCOPE, request_id).boxed()
                });
                first.await?.unwrap_or(run.id)
            }
            _ => run.id,
        };
        enqueued.ids.push(id);
        enqueued.created_at.push(created_at);
    }
    Ok(enqueued)
}

async fn write(db: &Db, wakeups: &Wakeups, calls: Arc<[EnqueueCall]>) -> Result<Verdicts, StoreError> {
    let has_request_id = calls.iter().any(|call| call.runs.iter().any(|run| run.request.request_id.is_some()));
    let at_once = if has_request_id { None } else { write_at_once(db, calls.clone()).await? };
    let (verdicts, effects) = match at_once {
        Some(written) => written,
        None => write_apart(db, calls).await?,
    };
    wakeups.send(effects);
    Ok(verdicts)
}

/// All calls in one statement, if none is refused.
async fn write_at_once(db: &Db, calls: Arc<[EnqueueCall]>) -> Result<Option<(Verdicts, Effects)>, StoreError> {
    let written = db.write(calls.clone(), |c, calls| {
        async move {
            let runs: Vec<&NewRun> = calls.iter().flat_map(|call| call.runs.iter()).collect();
            run_enqueue(c, &runs).await
        }
        .boxed()
    });
    let Some((created_at, effects)) = written.await? else { return Ok(None) };
    let enqueued = |call: &EnqueueCall| Enqueued {
        ids: call.runs.iter().map(|run| run.id).collect(),
        created_at: vec![Some(created_at); call.runs.len()],
    };
    Ok(Some((calls.iter().map(|call| Ok(enqueued(call))).collect(), effects)))
}

/// Judges call by call, and writes the calls that are not refused.
async fn write_apart(db: &Db, calls: Arc<[EnqueueCall]>) -> Result<(Verdicts, Effects), StoreError> {
    db.transaction(calls, |c, calls| {
        async move {
            let sessions: BTreeSet<Uuid> = calls.iter().flat_map(EnqueueCall::sessions).collect();
            let open = session_open_in_tx(c, &sessions.into_iter().collect::<Vec<_>>()).await?;
            let mut verdicts: Vec<Result<Vec<Uuid>, Refusal>> =
                calls.iter().map(|call| check_sessions(call, &open)).collect();
            claim_requests(c, calls, &mut verdicts).await?;

            let fresh = |(call, verdict)| fresh_runs(call, verdict);
            let new: Vec<&NewRun> = calls.iter().zip(&verdicts).flat_map(fresh).collect();
            let (created_at, effects) = match new.is_empty() {
                true => (None, Effects::NONE),
                false => {
                    let written = run_enqueue(c, &new).await?;
                    let (created_at, effects) =
                        written.ok_or_else(|| StoreError::defect("a locked session is closed"))?;
                    (Some(created_at), effects)
                }
            };
            let enqueued = |(call, ids): (&EnqueueCall, Vec<Uuid>)| Enqueued {
                created_at: call.runs.iter().zip(&ids).map(|(run, id)| created_at.filter(|_| run.id == *id)).collect(),
                ids,
            };
            let verdicts = calls.iter().zip(verdicts).map(|(call, verdict)| verdict.map(|ids| enqueued((call, ids))));
            Ok((verdicts.collect(), effects))
        }
        .boxed()
    })
    .await
}

/// The runs that a call makes: none if it was refused, and not those that an earlier call with the same request id has made.
fn fresh_runs<'c>(
    call: &'c EnqueueCall,
    verdict: &'c Result<Vec<Uuid>, Refusal>,
) -> impl Iterator<Item = &'c NewRun> + 'c {
    let ids = verdict.as_deref().unwrap_or_default();
    call.runs.iter().zip(ids).filter(|(run, id)| run.id == **id).map(|(run, _)| run)
}

/// The ids of a call's runs, if all their sessions take runs.
fn check_sessions(call: &EnqueueCall, open: &BTreeMap<(String, Uuid), bool>) -> Result<Vec<Uuid>, Refusal> {
    for run in call.runs.iter() {
        let session = run.request.spec.session_id;
        match open.get(&(run.tenant.as_str().to_owned(), session)) {
            Some(true) => {}
            Some(false) => return Err(Refusal::SessionClosed(session)),
            None => return Err(Refusal::not_found(Resource::Session, session)),
        }
    }
    Ok(call.runs.iter().map(|run| run.id).collect())
}

/// Puts the ids that earlier calls have made for the same request ids into the verdicts. Refuses calls that use a request id for
/// something else.
async fn claim_requests(
    c: &mut PgConnection,
    calls: &[EnqueueCall],
    verdicts: &mut [Result<Vec<Uuid>, Refusal>],
) -> Result<(), StoreError> {
    let mut places = Vec::new();
    let mut keys = Vec::new();
    for (call_index, call) in calls.iter().enumerate() {
        for (run_index, run) in call.runs.iter().enumerate() {
            if verdicts[call_index].is_ok()
                && let Some(request_id) = &run.request.request_id
            {
                places.push((call_index, run_index));
                keys.push(RequestKey {
                    tenant: run.tenant.clone(),
                    scope: REQUEST_SCOPE,
                    request_id: request_id.clone(),
                    payload_hash: run.request.identity().hash().to_vec(),
                    resource_ids: vec![run.id],
                });
            }
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let claims = request_claim_many_in_tx(c, &keys).await?;
    for ((call_index, run_index), (claim, key)) in places.iter().zip(claims.into_iter().zip(&keys)) {
        match (&mut verdicts[*call_index], claim) {
            (Ok(ids), RequestClaim::Repeated(first)) => ids[*run_index] = first.first().copied().unwrap_or_default(),
            (verdict @ Ok(_), RequestClaim::Reused) => {
                *verdict = Err(Refusal::RequestIdReused(key.request_id.clone()));
            }
            (Ok(_), RequestClaim::Fresh) | (Err(_), _) => {}
        }
    }
    // A refused call leaves nothing behind. But its run may already be the answer to another call of this batch with the same request
    // id. Then the batch fails and is halved, until each call is judged alone.
    let refused: Vec<(usize, RequestKey)> = places
        .into_iter()
        .zip(keys)
        .filter(|((call_index, _), _)| verdicts[*call_index].is_err())
        .map(|((call_index, _), key)| (call_index, key))
        .collect();
    if is_shared(calls, &refused) {
        return Err(StoreError::Serialization("a refused call shares a request id with another".into()));
    }
    let refused: Vec<RequestKey> = refused.into_iter().map(|(_, key)| key).collect();
    if refused.is_empty() { Ok(()) } else { request_release_many_in_tx(c, &refused).await }
}

/// Whether another call names a request id of a refused one.
fn is_shared(calls: &[EnqueueCall], refused: &[(usize, RequestKey)]) -> bool {
    let refused: BTreeMap<(&TenantId, &str), usize> =
        refused.iter().map(|(call, key)| ((&key.tenant, key.request_id.as_str()), *call)).collect();
    calls.iter().enumerate().any(|(index, call)| {
        call.runs.iter().any(|run| {
            let id = run.request.request_id.as_deref();
            id.and_then(|id| refused.get(&(&run.tenant, id))).is_some_and(|call| *call != index)
        })
    })
}
