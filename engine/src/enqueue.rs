//! New runs of all callers, in batches.
//!
//! Calls with request ids have batches of their own, because they may wait for another transaction that holds the same id. So have calls
//! that a batch has found locked, by their session or their request id: these alone wait long.

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
use crate::db::clock::DatabaseClock;
use crate::db::{Db, PgConnection, StoreError};
use crate::domain::weight::Weight;
use crate::domain::{Refusal, Resource, RunRequest, TenantId};
use crate::idempotent::in_progress;
use crate::settings::OUTAGE_RETRY_DELAY;
use crate::store::effects::Effects;
use crate::store::request::batch::{RequestKey, request_claim_many_in_tx, request_release_many_in_tx};
use crate::store::request::id::{RequestClaim, request_first};
use crate::store::run::enqueue::{ENQUEUED, NewRun, run_created, run_enqueue};
use crate::store::session::lock::{Door, session_open_in_tx};
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
    clock: DatabaseClock,
    plain: Batcher<EnqueueCall, Judged>,
    with_request_id: Batcher<EnqueueCall, Judged>,
    /// For calls that one of the others has found locked.
    locked: Batcher<EnqueueCall, Judged>,
}

impl Enqueue {
    /// The handle and its loops.
    pub fn new(
        db: Db,
        wakeups: Wakeups,
        metrics: &Metrics,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let clock = db.clock().clone();
        let work = {
            let (db, wakeups, counted) = (db.clone(), wakeups.clone(), metrics.clone());
            move |calls: Vec<EnqueueCall>| {
                let (db, wakeups, counted) = (db.clone(), wakeups.clone(), counted.clone());
                async move {
                    let write = |calls| batch(db.clone(), wakeups.clone(), calls, Waits::No);
                    count(halve(calls, write).await, &counted)
                }
            }
        };
        let (counted, rows) = (metrics.clone(), Arc::new(LockedRows::new(db.clone(), Locks::SessionKeys)));
        let waiting = move |calls: Vec<EnqueueCall>| {
            let (db, wakeups, counted, rows) = (db.clone(), wakeups.clone(), counted.clone(), rows.clone());
            async move {
                let results = halve(calls, |calls| write_free(db.clone(), wakeups.clone(), &rows, calls)).await;
                count(results.into_iter().map(Result::flatten).collect(), &counted)
            }
        };
        let (plain, run_plain) = batches(BOUNDS, closing.clone(), metrics.measured("enqueue", work.clone()));
        let (with_request_id, run_with_request_id) =
            batches(BOUNDS, closing.clone(), metrics.measured("enqueue", work));
        let (locked, run_locked) = batches(BOUNDS, closing, metrics.measured("enqueue_locked", waiting));
        let run = async {
            tokio::join!(run_plain, run_with_request_id, run_locked);
        };
        (Self { clock, plain, with_request_id, locked }, run)
    }

    /// Enqueues runs, all or none. When this returns, they are committed.
    pub async fn enqueue(&self, tenant: &TenantId, requests: Vec<RunRequest>) -> Result<Enqueued, EngineError> {
        let request_id = requests.iter().find_map(|request| request.request_id.clone());
        let hash = |request: &RunRequest| request.request_id.as_ref().map(|_| request.identity().hash().to_vec());
        let new_run = |request: RunRequest| NewRun {
            id: self.clock.new_id(),
            tenant: tenant.clone(),
            request_hash: hash(&request),
            request,
        };
        let call = EnqueueCall { runs: Arc::new(requests.into_iter().map(new_run).collect()) };
        let batches = if request_id.is_some() { &self.with_request_id } else { &self.plain };
        let judged = match batches.submit(call.clone()).await {
            Ok(None) | Err(EngineError::Store(StoreError::LockTimeout | StoreError::RequestHeld)) => {
                self.locked.submit(call).await
            }
            judged => judged,
        };
        match judged {
            Ok(Some(verdict)) => Ok(verdict?),
            Ok(None) => Err(StoreError::LockTimeout.into()),
            Err(EngineError::Store(error)) => Err(in_progress(error, request_id.unwrap_or_default())),
            Err(error) => Err(error),
        }
    }
}

/// Counts the runs that the calls have made.
fn count(results: Vec<Result<Judged, EngineError>>, metrics: &Metrics) -> Vec<Result<Judged, EngineError>> {
    let enqueued = results.iter().flatten().flatten().flatten();
    let made = enqueued.flat_map(|enqueued| &enqueued.created_at).filter(|created_at| created_at.is_some()).count();
    metrics.runs_enqueued.inc_by(made as u64);
    results
}

/// What became of a call. `None`: another transaction has locked one of its sessions, and nothing was written.
type Judged = Option<Result<Enqueued, Refusal>>;
type Verdicts = Vec<Judged>;

/// Whether a batch waits for what other transactions have locked: not at all for sessions and briefly for request ids, or long for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
}

/// Writes the calls whose sessions no other transaction has locked. The others fail with `LockTimeout`.
async fn write_free(
    db: Db,
    wakeups: Wakeups,
    locked: &LockedRows,
    calls: Arc<[EnqueueCall]>,
) -> Result<Vec<Result<Judged, EngineError>>, StoreError> {
    let write = |free, _| batch(db.clone(), wakeups.clone(), free, Waits::Yes);
    locked.around_each(calls, EnqueueCall::sessions, write).await
}

/// Writes one batch. The ids are made before the write, so after a commit that was not answered they show whether it happened. The
/// batch looks for them first. If none is there it writes the same again: that write waits for a commit that is still on its way, and
/// then fails on the same ids.
async fn batch(db: Db, wakeups: Wakeups, calls: Arc<[EnqueueCall]>, waits: Waits) -> Result<Verdicts, StoreError> {
    let until = Instant::now() + COMMIT_TIMEOUT;
    let mut in_doubt = false;
    loop {
        let written = match in_doubt {
            true => match look_up(&db, &wakeups, &calls, waits).await {
                Ok(Some(verdicts)) => return Ok(verdicts),
                Ok(None) => write(&db, &wakeups, calls.clone(), waits).await,
                Err(error) => Err(error),
            },
            false => write(&db, &wakeups, calls.clone(), waits).await,
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
async fn look_up(
    db: &Db,
    wakeups: &Wakeups,
    calls: &[EnqueueCall],
    waits: Waits,
) -> Result<Option<Verdicts>, StoreError> {
    let ids: Vec<Uuid> = calls.iter().flat_map(|call| call.runs.iter().map(|run| run.id)).collect();
    let created = db.read(ids, |c, ids| run_created(c, ids).boxed()).await?;
    if created.is_empty() {
        return Ok(None);
    }
    wakeups.send(ENQUEUED);
    let mut verdicts = Vec::with_capacity(calls.len());
    for call in calls {
        if call.runs.iter().any(|run| created.contains_key(&run.id)) {
            verdicts.push(Some(Ok(made_before(db, call, &created).await?)));
        } else {
            // The call was refused, or it repeated an earlier request. To judge it again makes no run twice.
            verdicts.extend(write(db, wakeups, Arc::from([call.clone()]), waits).await?);
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

async fn write(db: &Db, wakeups: &Wakeups, calls: Arc<[EnqueueCall]>, waits: Waits) -> Result<Verdicts, StoreError> {
    let has_request_id = calls.iter().any(|call| call.runs.iter().any(|run| run.request.request_id.is_some()));
    let apart = has_request_id || waits == Waits::Yes;
    let at_once = if apart { None } else { write_at_once(db, calls.clone()).await? };
    let (verdicts, effects) = match at_once {
        Some(written) => written,
        None => write_apart(db, calls, waits).await?,
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
    Ok(Some((calls.iter().map(|call| Some(Ok(enqueued(call)))).collect(), effects)))
}

/// Judges call by call, and writes the calls that are not refused. What a request id has made comes first: a session that has closed
/// since, or is locked, changes nothing about it.
async fn write_apart(db: &Db, calls: Arc<[EnqueueCall]>, waits: Waits) -> Result<(Verdicts, Effects), StoreError> {
    match waits {
        Waits::No => db.turn(calls, |c, calls| write_apart_in_tx(c, calls, Waits::No).boxed()).await,
        Waits::Yes => db.transaction(calls, |c, calls| write_apart_in_tx(c, calls, Waits::Yes).boxed()).await,
    }
}

async fn write_apart_in_tx(
    c: &mut PgConnection,
    calls: &[EnqueueCall],
    waits: Waits,
) -> Result<(Verdicts, Effects), StoreError> {
    let new_ids = |call: &EnqueueCall| Some(Ok(call.runs.iter().map(|run| run.id).collect()));
    let mut judgements: Vec<Judgement> = calls.iter().map(new_ids).collect();
    let claimed = claim_requests(c, calls, &mut judgements).await?;
    check_sessions(c, calls, &mut judgements, waits).await?;
    release_requests(c, calls, &judgements, claimed).await?;

    let fresh = |(call, judgement)| fresh_runs(call, judgement);
    let new: Vec<&NewRun> = calls.iter().zip(&judgements).flat_map(fresh).collect();
    let (created_at, effects) = match new.is_empty() {
        true => (None, Effects::NONE),
        false => {
            let written = run_enqueue(c, &new).await?;
            let (created_at, effects) = written.ok_or_else(|| StoreError::defect("a locked session is closed"))?;
            (Some(created_at), effects)
        }
    };
    let enqueued = |call: &EnqueueCall, ids: Vec<Uuid>| Enqueued {
        created_at: call.runs.iter().zip(&ids).map(|(run, id)| created_at.filter(|_| run.id == *id)).collect(),
        ids,
    };
    let judged = |(call, judgement): (&EnqueueCall, Judgement)| -> Judged {
        judgement.map(|verdict| verdict.map(|ids| enqueued(call, ids)))
    };
    Ok((calls.iter().zip(judgements).map(judged).collect(), effects))
}

/// The ids of a call's runs, or why it has none. `None`: another transaction has locked one of its sessions.
type Judgement = Option<Result<Vec<Uuid>, Refusal>>;

/// The runs that a call makes: none if it was refused, and not those that an earlier call with the same request id has made.
fn fresh_runs<'c>(call: &'c EnqueueCall, judgement: &'c Judgement) -> impl Iterator<Item = &'c NewRun> + 'c {
    let ids = judgement.iter().flatten().flatten();
    call.runs.iter().zip(ids).filter(|(run, id)| run.id == **id).map(|(run, _)| run)
}

/// Refuses calls with new runs whose sessions take no runs.
async fn check_sessions(
    c: &mut PgConnection,
    calls: &[EnqueueCall],
    judgements: &mut [Judgement],
    waits: Waits,
) -> Result<(), StoreError> {
    let fresh = |(call, judgement)| fresh_runs(call, judgement).map(|run| run.request.spec.session_id);
    let sessions: BTreeSet<Uuid> = calls.iter().zip(judgements.iter()).flat_map(fresh).collect();
    if sessions.is_empty() {
        return Ok(());
    }
    let sessions: Vec<Uuid> = sessions.into_iter().collect();
    let doors = session_open_in_tx(c, &sessions, waits == Waits::Yes).await?;
    for (call, judgement) in calls.iter().zip(judgements) {
        let door = |run: &NewRun| {
            let session = run.request.spec.session_id;
            (session, doors.get(&(run.tenant.as_str().to_owned(), session)).copied())
        };
        let found: Vec<(Uuid, Option<Door>)> = fresh_runs(call, judgement).map(door).collect();
        let refusal = found.iter().find_map(|(session, door)| match door {
            Some(Door::Open | Door::Locked) => None,
            Some(Door::Closed) => Some(Refusal::SessionClosed(*session)),
            None => Some(Refusal::not_found(Resource::Session, *session)),
        });
        match refusal {
            Some(refusal) => *judgement = Some(Err(refusal)),
            None if found.iter().any(|(_, door)| *door == Some(Door::Locked)) => *judgement = None,
            None => {}
        }
    }
    Ok(())
}

/// Puts the ids that earlier calls have made for the same request ids into the judgements. Refuses calls that use a request id for
/// something else. Returns the request ids of each call, by its place.
async fn claim_requests(
    c: &mut PgConnection,
    calls: &[EnqueueCall],
    judgements: &mut [Judgement],
) -> Result<Vec<(usize, RequestKey)>, StoreError> {
    let mut places = Vec::new();
    let mut keys = Vec::new();
    for (call_index, call) in calls.iter().enumerate() {
        for (run_index, run) in call.runs.iter().enumerate() {
            if let (Some(request_id), Some(hash)) = (&run.request.request_id, &run.request_hash) {
                places.push((call_index, run_index));
                keys.push(RequestKey {
                    tenant: run.tenant.clone(),
                    scope: REQUEST_SCOPE,
                    request_id: request_id.clone(),
                    payload_hash: hash.clone(),
                    resource_ids: vec![run.id],
                });
            }
        }
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let claims = request_claim_many_in_tx(c, &keys).await?;
    for ((call_index, run_index), (claim, key)) in places.iter().zip(claims.into_iter().zip(&keys)) {
        match (&mut judgements[*call_index], claim) {
            (Some(Ok(ids)), RequestClaim::Repeated(first)) => {
                ids[*run_index] = first.first().copied().unwrap_or_default();
            }
            (judgement @ Some(Ok(_)), RequestClaim::Reused) => {
                *judgement = Some(Err(Refusal::RequestIdReused(key.request_id.clone())));
            }
            (Some(Ok(_)), RequestClaim::Fresh) | (Some(Err(_)) | None, _) => {}
        }
    }
    Ok(places.into_iter().map(|(call_index, _)| call_index).zip(keys).collect())
}

/// Releases the request ids of calls that write nothing: such a call leaves nothing behind. But its run may already be the answer to
/// another call of this batch with the same request id. Then the batch fails and is halved, until each call is judged alone.
async fn release_requests(
    c: &mut PgConnection,
    calls: &[EnqueueCall],
    judgements: &[Judgement],
    claimed: Vec<(usize, RequestKey)>,
) -> Result<(), StoreError> {
    let writes = |call: &usize| matches!(judgements[*call], Some(Ok(_)));
    let refused: Vec<(usize, RequestKey)> = claimed.into_iter().filter(|(call, _)| !writes(call)).collect();
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
