//! A worker opens its stream: who it is, and what it still holds.

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
use crate::domain::{Lease, Refusal, TenantId};
use crate::settings::HEARTBEATS_PER_LEASE;
use crate::store::run::claim::ClaimGroup;
use crate::store::run::guard::Guard;
use crate::store::run::lease::{LeaseBeat, run_heartbeat};
use crate::store::run::release::{Release, run_release_in_tx};
use crate::store::run::report::{Begin, run_begin_in_tx};
use crate::store::worker::record::{
    HeldGrant, StreamOpening, worker_held_in_tx, worker_insert, worker_lock_in_tx, worker_resume_in_tx,
};
use crate::stream::connection::{Connection, OUTBOX_FRAMES};
use crate::wakeups::Topic;

/// What an opened stream begins with.
#[derive(Debug, Clone)]
struct Opened {
    epoch: i64,
    /// The grants that still stand, of those that the worker names.
    standing: Vec<HeldGrant>,
}

/// Opens the stream of a worker: registers it, answers `Welcome`, and hands it over to the dispatcher.
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
            (worker_id, secret, Opened { epoch: inserted.await?, standing: Vec::new() })
        }
    };

    let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
    let group = claim_group(tenant, &hello);
    let connection = Connection::new(worker_id, hello.profile.name.clone(), opened.epoch, group, lease, outbox);
    for grant in &opened.standing {
        let started = Instant::now().checked_sub(grant.started_ago).unwrap_or_else(Instant::now);
        connection.book().resume(grant.lease, grant.attempt, started);
    }
    connection.send(ServerFrame::Welcome(Welcome {
        worker_id,
        secret,
        stream_epoch: opened.epoch,
        heartbeat_interval: lease / HEARTBEATS_PER_LEASE,
        lease_timeout: lease,
        event_credits: engine.settings.event_credits,
        standing: opened.standing.iter().map(|grant| grant.lease).collect(),
    }));
    engine.registry.add(connection.clone());
    // What the worker was to be told while it was away, it is told now.
    engine.hints.give_here(Topic::Cancels);
    engine.hints.give(Topic::Changes);
    engine.hints.give(Topic::Work);
    tracing::info!(%worker_id, worker = hello.profile.name, epoch = opened.epoch, held = opened.standing.len(), "worker connected");
    Ok((connection, frames))
}

/// What came of a resume.
enum Resumed {
    Opened(Opened),
    /// There is no such worker, or this is not its secret.
    Unknown,
    /// The worker gave this resume up, and a later one of it was understood before. What that began is not named here.
    Late,
}

/// Takes a worker up again that knows its secret. What it names stands if it is still its own; what it does not name, it
/// was not told to start, so that goes back at once.
async fn resume_worker(engine: &Engine, opening: StreamOpening, resume: Resume) -> Result<Resumed, StoreError> {
    let resumed = engine.db(Class::Engine).transaction((opening, resume), |c, (opening, resume)| {
        async move {
            let Some(worker) = worker_lock_in_tx(c, &opening.tenant, resume.worker_id).await? else {
                return Ok(Resumed::Unknown);
            };
            if !bool::from(worker.secret_hash.ct_eq(&opening.secret_hash)) {
                return Ok(Resumed::Unknown);
            }
            if resume.sequence != 0 && resume.sequence <= worker.resume_sequence {
                return Ok(Resumed::Late);
            }
            let epoch = worker_resume_in_tx(c, opening, resume.sequence).await?;
            let standing = settle_held(c, resume.worker_id, epoch, &resume.held).await?;
            Ok(Resumed::Opened(Opened { epoch, standing }))
        }
        .boxed()
    });
    resumed.await
}

async fn settle_held(
    c: &mut PgConnection,
    worker_id: Uuid,
    epoch: i64,
    named: &[Lease],
) -> Result<Vec<HeldGrant>, StoreError> {
    let held = worker_held_in_tx(c, worker_id).await?;
    let named: HashSet<Lease> = named.iter().copied().collect();
    let guard = |lease: Lease| Guard { lease, worker_id, epoch };
    let (mut standing, unknown): (Vec<HeldGrant>, Vec<HeldGrant>) =
        held.into_iter().partition(|grant| named.contains(&grant.lease));
    if !unknown.is_empty() {
        let release =
            |grant: &HeldGrant| Release { guard: guard(grant.lease), begun_too: true, undelivered: !grant.begun };
        run_release_in_tx(c, &unknown.iter().map(release).collect::<Vec<_>>()).await?;
    }
    // The worker was told to start, and the server that told it did not come to write that down.
    let begins: Vec<Begin> = standing
        .iter()
        .filter(|grant| !grant.begun)
        .map(|grant| Begin { guard: guard(grant.lease), started_ago: grant.started_ago })
        .collect();
    if !begins.is_empty() {
        run_begin_in_tx(c, &begins).await?;
        standing.iter_mut().filter(|grant| !grant.begun).for_each(|grant| grant.attempt += 1);
    }
    if !standing.is_empty() {
        let beat = |grant: &HeldGrant| LeaseBeat { guard: guard(grant.lease), progress: None };
        run_heartbeat(c, &standing.iter().map(beat).collect::<Vec<_>>()).await?;
    }
    Ok(standing)
}

/// Workers of one group serve the same lanes and kinds, in whatever order they named them.
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
