//! A worker whose stream was lost connects again: the server settles the grants that the worker held.

use std::collections::HashSet;

use futures::FutureExt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::Engine;
use crate::db::{Class, PgConnection, StoreError};
use crate::domain::GrantKey;
use crate::domain::frame::Resume;
use crate::store::effects::Effects;
use crate::store::run::guard::Guard;
use crate::store::run::lease::{LeaseBeat, run_heartbeat, run_lease_extend};
use crate::store::run::release::{Release, run_release_in_tx};
use crate::store::run::report::{GrantStart, run_lock_in_tx, run_start_in_tx};
use crate::store::worker::record::{
    HeldGrant, StreamOpening, worker_held_in_tx, worker_lock_in_tx, worker_resume_in_tx, worker_runs,
};

/// The state with which a stream starts.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    pub epoch: i64,
    /// The grants that the worker names and that still stand.
    pub standing: Vec<HeldGrant>,
    /// Standing grants whose starts are not written yet, because other transactions lock their runs.
    pub unwritten: Vec<GrantKey>,
    /// The effects of settling the grants; and a wakeup for work, because the stream has room.
    pub effects: Effects,
}

/// The result of a resume.
pub enum Resumed {
    Opened(Opened),
    /// There is no such worker, or this is not its secret.
    Unknown,
    /// The worker gave this resume up, and a later one was served before. This one does not name the grants that started since.
    Late,
}

/// Resumes a worker that knows its secret. A grant that it names stands if the worker still holds it. The worker did not start a grant that
/// it does not name, so that grant is given back: at once, or when no other transaction has its run locked.
pub async fn resume_worker(engine: &Engine, opening: StreamOpening, resume: Resume) -> Result<Resumed, StoreError> {
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
    let release =
        |held: &HeldGrant| Release { guard: guard(held.grant), started_too: true, undelivered: !held.started };
    let (left, releases): (Vec<Release>, Vec<Release>) =
        unknown.iter().map(release).partition(|release| is_locked(release.guard.grant));
    let mut effects = Effects::WORK;
    if !releases.is_empty() {
        effects |= run_release_in_tx(c, &releases).await?.1;
    }
    // The worker was sent a Start, and its server did not write it before it lost the stream.
    let start = |held: &HeldGrant| GrantStart { guard: guard(held.grant), started_ago: held.started_ago };
    let (later, starts): (Vec<GrantStart>, Vec<GrantStart>) =
        standing.iter().filter(|held| !held.started).map(start).partition(|start| is_locked(start.guard.grant));
    if !starts.is_empty() {
        effects |= run_start_in_tx(c, &starts).await?.1;
    }
    standing.iter_mut().filter(|held| !held.started).for_each(|held| held.attempt += 1);
    let (late, beats): (Vec<Guard>, Vec<Guard>) =
        standing.iter().map(|held| guard(held.grant)).partition(|guard| is_locked(guard.grant));
    if !beats.is_empty() {
        let beat = |guard: Guard| LeaseBeat { guard, progress: None };
        effects |= run_heartbeat(c, &beats.into_iter().map(beat).collect::<Vec<_>>()).await?.1;
    }
    if !late.is_empty() {
        run_lease_extend(c, &late).await?;
    }
    let unwritten = later.into_iter().map(|start| start.guard.grant).collect();
    Ok((Opened { epoch, standing, unwritten, effects }, left))
}
