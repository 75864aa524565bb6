//! A worker whose stream was lost connects again: the server settles the grants that the worker held.

use std::collections::{HashMap, HashSet};

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
use crate::store::run::lock::run_lock_in_tx;
use crate::store::run::release::{Release, run_release_in_tx};
use crate::store::run::report::{GrantStart, Refused, outcome_earlier_in_tx, run_start_in_tx};
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
    /// The grants that the worker names and that do not stand, each with whether it ended by a report of this worker.
    pub settled: Vec<(GrantKey, bool)>,
    /// The effects of settling the grants; and wakeups, because the stream has room and older ones must end.
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
    let resumed = engine.locked_runs.around(&runs, |locked, _| {
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

/// Settles the grants that a worker holds. Returns also the grants of locked runs that are to be given back later.
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
    let settlement = settle(held, named, locked, |grant| Guard { grant, worker_id, epoch });
    let mut effects = Effects::WORK | Effects::STREAMS;
    if !settlement.releases.is_empty() {
        effects |= run_release_in_tx(c, &settlement.releases).await?.1;
    }
    if !settlement.starts.is_empty() {
        effects |= run_start_in_tx(c, &settlement.starts).await?.1;
    }
    if !settlement.beats.is_empty() {
        effects |= run_heartbeat(c, &settlement.beats).await?.1;
    }
    if !settlement.locked.is_empty() {
        run_lease_extend(c, &settlement.locked).await?;
    }
    let Settlement { standing, unwritten, later, .. } = settlement;
    let stands: HashSet<GrantKey> = standing.iter().map(|held| held.grant).collect();
    let fallen: Vec<Guard> = named
        .iter()
        .filter(|grant| !stands.contains(grant))
        .map(|grant| Guard { grant: *grant, worker_id, epoch })
        .collect();
    let refused: Vec<Refused<'_>> = fallen.iter().map(|guard| Refused::any(*guard)).collect();
    let reported = if refused.is_empty() { HashMap::new() } else { outcome_earlier_in_tx(c, &refused).await? };
    let settled = fallen.iter().map(|guard| (guard.grant, reported.contains_key(&guard.grant))).collect();
    Ok((Opened { epoch, standing, unwritten, settled, effects }, later))
}

/// What a resume makes of the grants that its worker holds.
#[derive(Debug, Default)]
struct Settlement {
    /// The grants that the worker names, each with the attempt that it has started.
    standing: Vec<HeldGrant>,
    /// Starts of standing grants. The worker was sent a Start, and its server did not write it before it lost the stream.
    starts: Vec<GrantStart>,
    /// Standing grants of locked runs whose starts are written later.
    unwritten: Vec<GrantKey>,
    /// Heartbeats of standing grants.
    beats: Vec<LeaseBeat>,
    /// Standing grants of locked runs: only their leases are extended.
    locked: Vec<Guard>,
    /// Grants that the worker does not name. They are given back.
    releases: Vec<Release>,
    /// The same of locked runs. They are given back later.
    later: Vec<Release>,
}

/// Decides about each grant that a worker holds. A locked run stays as it is.
fn settle(
    held: Vec<HeldGrant>,
    named: &[GrantKey],
    locked: &HashSet<Uuid>,
    guard_of: impl Fn(GrantKey) -> Guard,
) -> Settlement {
    let named: HashSet<GrantKey> = named.iter().copied().collect();
    let mut settlement = Settlement::default();
    for mut held in held {
        let (guard, is_locked) = (guard_of(held.grant), locked.contains(&held.grant.run_id));
        if !named.contains(&held.grant) {
            let release = Release { guard, started_too: true, undelivered: !held.started, unanswered: None };
            if is_locked {
                settlement.later.push(release)
            } else {
                settlement.releases.push(release)
            }
            continue;
        }
        if !held.started {
            held.attempt += 1;
            if is_locked {
                settlement.unwritten.push(held.grant);
            } else {
                settlement.starts.push(GrantStart { guard, started_ago: held.started_ago });
            }
        }
        if is_locked {
            settlement.locked.push(guard);
        } else {
            settlement.beats.push(LeaseBeat { guard, progress: None });
        }
        settlement.standing.push(held);
    }
    settlement
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(run: u128) -> GrantKey {
        GrantKey { run_id: Uuid::from_u128(run), fence: 1 }
    }

    fn held(run: u128, started: bool) -> HeldGrant {
        HeldGrant { grant: key(run), started, attempt: i32::from(started), started_ago: Duration::ZERO }
    }

    /// Settles a grant that has started, and the next one that has not.
    fn settled(named: &[GrantKey], locked: &[GrantKey]) -> Settlement {
        let locked: HashSet<Uuid> = locked.iter().map(|grant| grant.run_id).collect();
        let guard = |grant| Guard { grant, worker_id: Uuid::from_u128(9), epoch: 2 };
        settle(vec![held(1, true), held(2, false)], named, &locked, guard)
    }

    fn standing(settlement: &Settlement) -> Vec<(GrantKey, i32)> {
        settlement.standing.iter().map(|held| (held.grant, held.attempt)).collect()
    }

    fn grants<'a>(guards: impl IntoIterator<Item = &'a Guard>) -> Vec<GrantKey> {
        guards.into_iter().map(|guard| guard.grant).collect()
    }

    fn released(releases: &[Release]) -> Vec<(GrantKey, bool)> {
        assert!(releases.iter().all(|release| release.started_too));
        releases.iter().map(|release| (release.guard.grant, release.undelivered)).collect()
    }

    #[test]
    fn a_named_grant_stands_and_has_started() {
        let settlement = settled(&[key(1), key(2)], &[]);
        assert_eq!(standing(&settlement), [(key(1), 1), (key(2), 1)]);
        assert_eq!(grants(settlement.starts.iter().map(|start| &start.guard)), [key(2)]);
        assert_eq!(grants(settlement.beats.iter().map(|beat| &beat.guard)), [key(1), key(2)]);
        assert!(settlement.locked.is_empty() && settlement.unwritten.is_empty());
        assert!(settlement.releases.is_empty() && settlement.later.is_empty());
    }

    #[test]
    fn a_named_grant_of_a_locked_run_stands_and_only_its_lease_is_written() {
        let settlement = settled(&[key(1), key(2)], &[key(1), key(2)]);
        assert_eq!(standing(&settlement), [(key(1), 1), (key(2), 1)]);
        assert_eq!(grants(&settlement.locked), [key(1), key(2)]);
        assert_eq!(settlement.unwritten, [key(2)]);
        assert!(settlement.starts.is_empty() && settlement.beats.is_empty());
    }

    #[test]
    fn a_grant_that_is_not_named_is_given_back_when_its_run_is_free() {
        let settlement = settled(&[], &[key(1)]);
        assert_eq!(released(&settlement.later), [(key(1), false)]);
        assert_eq!(released(&settlement.releases), [(key(2), true)]);
        assert!(settlement.standing.is_empty() && settlement.beats.is_empty() && settlement.locked.is_empty());
    }

    #[test]
    fn a_name_with_another_fence_is_another_grant_and_one_that_is_not_held_is_nothing() {
        let other_fence = GrantKey { fence: 2, ..key(1) };
        let settlement = settled(&[other_fence, key(3)], &[]);
        assert_eq!(released(&settlement.releases), [(key(1), false), (key(2), true)]);
        assert!(settlement.standing.is_empty());
    }
}
