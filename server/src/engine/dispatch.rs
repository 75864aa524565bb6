//! The dispatcher: gives ready runs to the free slots of this replica's workers.
//!
//! A round claims for each group of workers (same lanes, same kinds) in turn, a statement each: one statement for groups that
//! overlap would hand out the same rows twice. Rounds follow each other while there is work and room; then a hint or new
//! room begins the next, and a group for which nothing was left is looked at again after a hint only. The poll
//! (`background/poll.rs`) hints at what nobody else did.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::contention::Contention;
use super::demand::{self, GroupDemand, UnaryClaim};
use super::hints::{Hints, Topic};
use super::registry::Registry;
use super::releases::Releases;
use super::settings::{OUTAGE_RETRY_DELAY, POLL_INTERVAL};
use crate::domain::Run;
use crate::store::claim::{
    ClaimGroup, ClaimRound, Claimed, run_claim, run_claim_turn_in_tx, run_claim_undo, run_claimable,
};
use crate::store::{Db, StoreError};
use crate::telemetry::{Metrics, spans};

/// Slots that a group offers in a first round, so that a lone run is not claimed with a list of all idle workers.
const FIRST_ROUND_SLOTS: usize = 64;

/// Slots that a group offers in the rounds after a full one: more brings no more speed.
const FULL_ROUND_SLOTS: usize = 500;

/// For how long a claim that was not answered is looked for: longer than a statement can live.
const LOST_ROUND_WATCH: Duration = Duration::from_secs(60);

/// What a round found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// Nobody had room, so nothing was looked for.
    Unasked,
    /// All that could be claimed was.
    All,
    /// There is more, but others were at it.
    Contended,
    /// A group got as many runs as it had slots: there may be more.
    Full,
}

/// Gives runs to workers.
#[derive(Debug)]
pub struct Dispatcher {
    db: Db,
    hints: Hints,
    registry: Arc<Registry>,
    releases: Releases,
    metrics: Metrics,
    server_id: Uuid,
    round: AtomicI64,
    /// Rounds that gave something to somebody: they rotate who is first.
    turn: AtomicUsize,
    /// Unary calls that wait for runs.
    claims: Mutex<Vec<UnaryClaim>>,
    room: Notify,
    /// Claims that were not answered, and until when they are looked for.
    lost_rounds: Mutex<Vec<(ClaimRound, Instant)>>,
}

impl Dispatcher {
    pub fn new(
        db: Db,
        hints: Hints,
        registry: Arc<Registry>,
        releases: Releases,
        metrics: Metrics,
        server_id: Uuid,
    ) -> Self {
        Self {
            db,
            hints,
            registry,
            releases,
            metrics,
            server_id,
            round: AtomicI64::new(0),
            turn: AtomicUsize::new(0),
            claims: Mutex::default(),
            room: Notify::new(),
            lost_rounds: Mutex::default(),
        }
    }

    /// Says that a worker has room for more.
    pub fn room(&self) {
        self.room.notify_one();
    }

    /// Takes a unary call in; it is answered with runs, or with none at its deadline, but not before one round.
    pub fn claim(&self, claim: UnaryClaim) {
        let mut claims = self.lock_claims();
        // The same call again: who waits on the first does so in vain.
        claims.retain(|waiting| claim.claim_id.is_none() || waiting.claim_id != claim.claim_id);
        claims.push(claim);
        drop(claims);
        self.room();
    }

    /// Runs until `closing`. Unary calls that wait then are dropped, which tells them so.
    pub async fn run(self: Arc<Self>, closing: CancellationToken) {
        let mut slots = FIRST_ROUND_SLOTS;
        let mut contention = Contention::default();
        // Groups for which nothing was left, and no hint has come since.
        let mut exhausted: HashSet<ClaimGroup> = HashSet::new();
        while !closing.is_cancelled() {
            self.undo_lost_rounds().await;
            if self.hints.awaited(Topic::Work).now_or_never().is_some() {
                exhausted.clear();
            }
            let demand = self.demand(slots, &exhausted);
            let round = self.claim_round(demand, &contention, &mut exhausted).await;
            self.answer_due_claims(round.as_ref().err());
            let pause = match round {
                Ok(Found::Full) => {
                    slots = FULL_ROUND_SLOTS;
                    contention.passed();
                    continue;
                }
                Ok(Found::Contended) => Some(contention.met(Instant::now())),
                Ok(Found::All) => {
                    slots = FIRST_ROUND_SLOTS;
                    contention.ended();
                    self.pause()
                }
                // What was true of the queue when there was room may still be.
                Ok(Found::Unasked) => self.pause(),
                Err(StoreError::LockTimeout) if contention.in_turn() => {
                    tracing::info!("another replica holds its turn to claim for long: claims go on without turns");
                    contention.missed_turn(Instant::now());
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "a claim round failed");
                    // It may have been too much at once.
                    slots = FIRST_ROUND_SLOTS;
                    Some(OUTAGE_RETRY_DELAY)
                }
            };
            let pause = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.hints.awaited(Topic::Work) => exhausted.clear(),
                () = self.room.notified() => {}
                () = pause => {}
                () = closing.cancelled() => {}
            }
        }
        self.lock_claims().clear();
    }

    /// One round: claims for each group, one after the other, and delivers what it got.
    async fn claim_round(
        &self,
        demand: Vec<GroupDemand>,
        contention: &Contention,
        exhausted: &mut HashSet<ClaimGroup>,
    ) -> Result<Found, StoreError> {
        let (mut found, mut given) = (Found::Unasked, 0);
        for demand in demand {
            let group = demand.group.clone();
            let (runs, found_for) = self.claim_for(demand, contention).await?;
            if found_for == Found::All {
                exhausted.insert(group);
            }
            (found, given) = (found.max(found_for), given + runs);
        }
        if given > 0 {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// Claims for one group, in one statement, and delivers what it got: so many runs.
    async fn claim_for(&self, demand: GroupDemand, contention: &Contention) -> Result<(usize, Found), StoreError> {
        let (began, clock) = (Instant::now(), spans::clock());
        let by = ClaimRound { server_id: self.server_id, round: self.round.fetch_add(1, Ordering::Relaxed) };
        let demand = Arc::new(demand);
        let (work, beyond) = (demand.clone(), contention.beyond());
        let claimed = if contention.in_turn() {
            let claim = self.db.turn(move |c| {
                let demand = work.clone();
                Box::pin(async move {
                    run_claim_turn_in_tx(c, &demand.group.tenant).await?;
                    run_claim(c, &demand.group, &demand.slots, beyond, by).await
                })
            });
            claim.await
        } else {
            let claim = self.db.statement(move |c| {
                let demand = work.clone();
                Box::pin(async move { run_claim(c, &demand.group, &demand.slots, beyond, by).await })
            });
            claim.await
        };
        let Claimed { runs, looked } = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                // It may have happened, or still happen.
                if matches!(error, StoreError::CommitUnknown(_)) {
                    self.lock_lost_rounds().push((by, Instant::now() + LOST_ROUND_WATCH));
                }
                return Err(error);
            }
        };
        self.metrics.claim_round_seconds.observe(began.elapsed().as_secs_f64());
        let (given, slots) = (runs.len(), demand.slots.len());
        if !runs.is_empty() {
            self.metrics.claimed(&runs);
            spans::claimed(&runs, clock);
            self.deliver(&demand, runs);
            self.hints.give(Topic::Changes);
        }
        // What was not had may be locked by others, with more behind it.
        let is_contended = match given {
            _ if given == slots => return Ok((given, Found::Full)),
            0 => {
                let claimable = self.db.run(move |c| {
                    let demand = demand.clone();
                    Box::pin(async move { run_claimable(c, &demand.group).await })
                });
                claimable.await?
            }
            _ => given < looked,
        };
        Ok((given, if is_contended { Found::Contended } else { Found::All }))
    }

    /// Hands the claimed runs to the workers whose slots they got; what can not be handed over is given back.
    fn deliver(&self, group: &GroupDemand, runs: Vec<Run>) {
        for (holder, runs) in group.split(runs) {
            if let Some(undeliverable) = demand::hand_over(&holder, runs, &self.claims) {
                self.releases.give_back(undeliverable);
            }
        }
    }

    /// Who has room now, and may find something: a call for which nobody has looked may anyhow. Calls that nobody waits for any
    /// more are forgotten.
    fn demand(&self, slots: usize, exhausted: &HashSet<ClaimGroup>) -> Vec<GroupDemand> {
        let mut claims = self.lock_claims();
        claims.retain(|claim| !claim.reply.is_closed());
        let turn = self.turn.load(Ordering::Relaxed);
        let mut demand = demand::collect(&self.registry.all(), &claims, slots, turn);
        demand.retain(|demand| demand.is_new || !exhausted.contains(&demand.group));
        let looked: HashSet<Uuid> = demand.iter().flat_map(GroupDemand::calls).collect();
        claims.iter_mut().for_each(|claim| claim.looked |= looked.contains(&claim.call));
        demand
    }

    fn is_waited_for(&self) -> bool {
        !self.lock_claims().is_empty() || !self.lock_lost_rounds().is_empty()
    }

    /// Until the next poll, or the end of a unary call's wait, if anybody waits: unary calls end, and lost rounds may turn up.
    /// What was not hinted at is found by the poll.
    fn pause(&self) -> Option<Duration> {
        if !self.is_waited_for() {
            return None;
        }
        let now = Instant::now();
        let next = self.lock_claims().iter().map(|claim| claim.deadline.saturating_duration_since(now)).min();
        Some(next.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL))
    }

    /// Answers unary calls whose wait has ended and for which a round has looked: with nothing, or why it failed.
    fn answer_due_claims(&self, failure: Option<&StoreError>) {
        let now = Instant::now();
        for due in self.lock_claims().extract_if(.., |claim| claim.looked && claim.deadline <= now) {
            due.answer(failure.map_or(Ok(Vec::new()), |error| Err(error.clone().into())));
        }
    }

    fn lock_claims(&self) -> MutexGuard<'_, Vec<UnaryClaim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_lost_rounds(&self) -> MutexGuard<'_, Vec<(ClaimRound, Instant)>> {
        self.lost_rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what was claimed without an answer. The commit may come late, so it is looked for until no such statement can
    /// be alive any more.
    async fn undo_lost_rounds(&self) {
        let lost = self.lock_lost_rounds().clone();
        for (by, _) in &lost {
            let by = *by;
            match self.db.run(move |c| Box::pin(run_claim_undo(c, by))).await {
                Ok(0) => {}
                Ok(_) => {
                    tracing::info!(round = by.round, "a claim that was not answered was given back");
                    self.hints.give(Topic::Work);
                }
                Err(error) => {
                    tracing::debug!(%error, "a lost claim can not be looked for yet");
                    return;
                }
            }
        }
        let now = Instant::now();
        self.lock_lost_rounds().retain(|(_, until)| *until > now);
    }
}
