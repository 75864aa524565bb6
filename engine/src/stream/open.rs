//! Opens a worker's stream: registers the worker, and settles the grants that it holds.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::Engine;
use crate::EngineError;
use crate::db::{Class, PgConnection, StoreError};
use crate::domain::frame::{Hello, Resume, ServerFrame, Welcome};
use crate::domain::{GrantKey, Refusal, TenantId};
use crate::settings::HEARTBEATS_PER_LEASE;
use crate::store::effects::Effects;
use crate::store::run::claim::ClaimGroup;
use crate::store::run::guard::Guard;
use crate::store::run::lease::{LeaseBeat, run_heartbeat, run_lease_extend};
use crate::store::run::lock::run_lock_in_tx;
use crate::store::run::release::{Release, run_release_in_tx};
use crate::store::run::report::{Begin, run_begin_in_tx};
use crate::store::worker::record::{
    HeldGrant, StreamOpening, worker_held_in_tx, worker_insert, worker_lock_in_tx, worker_resume_in_tx, worker_runs,
};
use crate::stream::connection::{Connection, OUTBOX_FRAMES};
use crate::wakeups::Topic;

/// The state with which a stream begins.
#[derive(Debug, Clone, Default)]
struct Opened {
    epoch: i64,
    /// The grants that the worker names and that still stand.
    standing: Vec<HeldGrant>,
    /// Standing grants whose starts are not written yet, because other transactions lock their runs.
    unwritten: Vec<GrantKey>,
    /// The effects of settling the grants; and a wakeup for work, because the stream has room.
    effects: Effects,
}

/// Opens the stream of a worker: registers it, so that the dispatcher sees it, and sends `Welcome`.
pub async fn open(
    engine: &Arc<Engine>,
    tenant: TenantId,
    hello: Hello,
) -> Result<(Arc<Connection>, mpsc::Receiver<ServerFrame>), EngineError> {
    let lease = engine.settings.lease_timeout;
    let new_opening = |worker_id: Uuid, secret: &str| StreamOpening {
        worker_id,
        tenant: tenant.clone(),
        profile: hello.profile.clone(),
        secret_hash: hash(secret),
        server_id: engine.server_id,
        lease,
    };
    let resumed = match hello.resume.clone() {
        Some(resume) => {
            let opening = new_opening(resume.worker_id, &resume.secret);
            let (worker_id, secret) = (resume.worker_id, resume.secret.clone());
            match resume_worker(engine, opening, resume).await? {
                Resumed::Opened(opened) => Some((worker_id, secret, opened)),
                Resumed::Unknown => None,
                Resumed::Late => return Err(Refusal::StreamReplaced.into()),
            }
        }
        None => None,
    };
    let (worker_id, secret, opened) = match resumed {
        Some(resumed) => resumed,
        None => {
            let (worker_id, secret) = (Uuid::now_v7(), new_secret());
            let opening = new_opening(worker_id, &secret);
            let db = engine.db(Class::Priority);
            let inserted = db.write(opening, |c, opening| worker_insert(c, opening).boxed());
            (worker_id, secret, Opened { epoch: inserted.await?, effects: Effects::WORK, ..Opened::default() })
        }
    };

    let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
    let group = claim_group(tenant, &hello);
    let connection = Connection::new(worker_id, hello.profile.name.clone(), opened.epoch, group, lease, outbox);
    for held in &opened.standing {
        let started = Instant::now().checked_sub(held.started_ago).unwrap_or_else(Instant::now);
        connection.grants().resume(held.grant, held.attempt, started);
    }
    connection.grants().unwritten(opened.unwritten);
    connection.send(ServerFrame::Welcome(Welcome {
        worker_id,
        secret,
        stream_epoch: opened.epoch,
        heartbeat_interval: lease / HEARTBEATS_PER_LEASE,
        lease_timeout: lease,
        event_credits: engine.settings.event_credits,
        standing: opened.standing.iter().map(|held| held.grant).collect(),
    }));
    engine.registry.add(connection.clone());
    // The worker gets the orders that came while it was away.
    engine.wakeups.give_here(Topic::Cancels);
    engine.wakeups.send(opened.effects);
    tracing::info!(%worker_id, worker = hello.profile.name, epoch = opened.epoch, held = opened.standing.len(), "worker connected");
    Ok((connection, frames))
}

/// The result of a resume.
enum Resumed {
    Opened(Opened),
    /// There is no such worker, or this is not its secret.
    Unknown,
    /// The worker gave this resume up, and a later one was served before. This one does not name the grants that began since.
    Late,
}

/// Resumes a worker that knows its secret. A grant that it names stands if the worker still holds it. The worker did not start a grant that
/// it does not name, so that grant is given back: at once, or when no other transaction has its run locked.
async fn resume_worker(engine: &Engine, opening: StreamOpening, resume: Resume) -> Result<Resumed, StoreError> {
    let (db, worker_id) = (engine.db(Class::Engine), resume.worker_id);
    let runs = db.read((), move |c, ()| worker_runs(c, worker_id).boxed()).await?;
    let resumed = engine.locked_runs.around(&runs, |locked| {
        db.transaction((opening.clone(), resume.clone(), locked), |c, (opening, resume, locked)| {
            async move {
                let Some(worker) = worker_lock_in_tx(c, &opening.tenant, resume.worker_id).await? else {
                    return Ok((Resumed::Unknown, Vec::new()));
                };
                if !bool::from(worker.secret_hash.ct_eq(&opening.secret_hash)) {
                    return Ok((Resumed::Unknown, Vec::new()));
                }
                if resume.sequence != 0 && resume.sequence <= worker.resume_sequence {
                    return Ok((Resumed::Late, Vec::new()));
                }
                let epoch = worker_resume_in_tx(c, opening, resume.sequence).await?;
                let (opened, left) = settle_held(c, resume.worker_id, epoch, &resume.held, locked).await?;
                Ok((Resumed::Opened(opened), left))
            }
            .boxed()
        })
    });
    let ((resumed, left), _) = resumed.await?;
    engine.releases.give_back(left);
    Ok(resumed)
}

/// Settles the grants that a worker holds. Locked runs stay as they are: their named grants stand, and the others are returned, to be
/// given back later.
async fn settle_held(
    c: &mut PgConnection,
    worker_id: Uuid,
    epoch: i64,
    named: &[GrantKey],
    locked: &HashSet<Uuid>,
) -> Result<(Opened, Vec<Release>), StoreError> {
    let free: Vec<Uuid> = worker_runs(c, worker_id).await?.into_iter().filter(|run| !locked.contains(run)).collect();
    run_lock_in_tx(c, &free).await?;
    let held = worker_held_in_tx(c, worker_id).await?;
    let named: HashSet<GrantKey> = named.iter().copied().collect();
    let guard = |grant: GrantKey| Guard { grant, worker_id, epoch };
    let is_locked = |grant: GrantKey| locked.contains(&grant.run_id);
    let (mut standing, unknown): (Vec<HeldGrant>, Vec<HeldGrant>) =
        held.into_iter().partition(|held| named.contains(&held.grant));
    let release = |held: &HeldGrant| Release { guard: guard(held.grant), begun_too: true, undelivered: !held.begun };
    let (left, releases): (Vec<Release>, Vec<Release>) =
        unknown.iter().map(release).partition(|release| is_locked(release.guard.grant));
    let mut effects = Effects::WORK;
    if !releases.is_empty() {
        effects |= run_release_in_tx(c, &releases).await?.1;
    }
    // The worker was ordered to start, and its server did not write the start before it lost the stream.
    let begin = |held: &HeldGrant| Begin { guard: guard(held.grant), started_ago: held.started_ago };
    let (later, begins): (Vec<Begin>, Vec<Begin>) =
        standing.iter().filter(|held| !held.begun).map(begin).partition(|begin| is_locked(begin.guard.grant));
    if !begins.is_empty() {
        effects |= run_begin_in_tx(c, &begins).await?.1;
    }
    standing.iter_mut().filter(|held| !held.begun).for_each(|held| held.attempt += 1);
    let (late, beats): (Vec<Guard>, Vec<Guard>) =
        standing.iter().map(|held| guard(held.grant)).partition(|guard| is_locked(guard.grant));
    if !beats.is_empty() {
        let beat = |guard: Guard| LeaseBeat { guard, progress: None };
        effects |= run_heartbeat(c, &beats.into_iter().map(beat).collect::<Vec<_>>()).await?.1;
    }
    if !late.is_empty() {
        run_lease_extend(c, &late).await?;
    }
    let unwritten = later.into_iter().map(|begin| begin.guard.grant).collect();
    Ok((Opened { epoch, standing, unwritten, effects }, left))
}

/// The group of a worker: its lanes and kinds, in an order that does not depend on the worker.
fn claim_group(tenant: TenantId, hello: &Hello) -> ClaimGroup {
    let mut group = ClaimGroup { tenant, lanes: hello.profile.lanes.clone(), kinds: hello.profile.kinds.clone() };
    group.lanes.sort();
    group.lanes.dedup();
    group.kinds.sort();
    group.kinds.dedup();
    group
}

fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
