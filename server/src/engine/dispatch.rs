//! The dispatcher: gives ready runs to the free slots of this replica's workers.
//!
//! A round claims for each group of workers (same lanes, same kinds) in turn, in one transaction: one statement for groups
//! that overlap would hand out the same rows twice. Rounds follow each other while there is work and room; then a hint, new
//! room, or the poll begins the next.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::demand::{self, GroupDemand, UnaryClaim};
use super::hints::{Hints, Topic};
use super::registry::Registry;
use super::releases::Releases;
use super::settings::{OUTAGE_RETRY_DELAY, POLL_INTERVAL};
use crate::domain::Run;
use crate::store::claim::{ClaimRound, run_claim_in_tx, run_claim_undo, run_claimable_in_tx};
use crate::store::{Db, StoreError};
use crate::telemetry::{Metrics, spans};

/// Slots that a group offers in a first round, so that a lone run is not claimed with a list of all idle workers.
const FIRST_ROUND_SLOTS: usize = 64;

/// Slots that a group offers in the rounds after a full one: more brings no more speed.
const FULL_ROUND_SLOTS: usize = 500;

/// How long a round waits in which another replica was at the same runs, doubled each time.
const CONTENTION_DELAY: Duration = Duration::from_millis(1);
const CONTENTION_DELAY_MAX: Duration = Duration::from_millis(100);

/// For how long a claim whose commit was not answered is looked for: longer than a transaction can live.
const LOST_ROUND_WATCH: Duration = Duration::from_secs(60);

/// What a round found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A group got as many runs as it had slots: there may be more.
    Full,
    /// There is more, but another replica was at it.
    Contended,
    /// All that could be claimed was.
    All,
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
    /// Unary calls that wait for runs.
    claims: Mutex<Vec<UnaryClaim>>,
    room: Notify,
    /// Rounds whose commit was not answered, and until when they are looked for.
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
        let mut contention = CONTENTION_DELAY;
        while !closing.is_cancelled() {
            self.undo_lost_rounds().await;
            let demand = self.demand(slots);
            let idle = demand.is_empty();
            let round = self.claim_round(demand).await;
            self.answer_due_claims(round.as_ref().err());
            let pause = match round {
                Ok(Found::Full) => {
                    (slots, contention) = (FULL_ROUND_SLOTS, CONTENTION_DELAY);
                    continue;
                }
                Ok(Found::Contended) => {
                    contention = (contention * 2).min(CONTENTION_DELAY_MAX);
                    Some(contention)
                }
                Ok(Found::All) => {
                    (slots, contention) = (FIRST_ROUND_SLOTS, CONTENTION_DELAY);
                    // Without room there is nothing to look for, but for unary calls that end and lost rounds.
                    (!idle || self.is_waited_for()).then(|| self.pause())
                }
                Err(error) => {
                    tracing::warn!(%error, "a claim round failed");
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
                () = self.hints.awaited(Topic::Work) => {}
                () = self.room.notified() => {}
                () = pause => {}
                () = closing.cancelled() => {}
            }
        }
        self.lock_claims().clear();
    }

    /// One round, first to last: claim, commit, deliver.
    async fn claim_round(&self, demand: Vec<GroupDemand>) -> Result<Found, StoreError> {
        if demand.is_empty() {
            return Ok(Found::All);
        }
        let (began, clock) = (Instant::now(), spans::clock());
        let by = ClaimRound { server_id: self.server_id, round: self.round.fetch_add(1, Ordering::Relaxed) };
        let demand = Arc::new(demand);
        let claimed = self.db.transaction({
            let demand = demand.clone();
            move |c| {
                let demand = demand.clone();
                Box::pin(async move {
                    let mut claimed: Vec<(Vec<Run>, bool)> = Vec::with_capacity(demand.len());
                    for group in demand.iter() {
                        let runs = run_claim_in_tx(c, &group.group, &group.slots, by).await?;
                        let more = runs.len() < group.slots.len() && run_claimable_in_tx(c, &group.group).await?;
                        claimed.push((runs, more));
                    }
                    Ok(claimed)
                })
            }
        });
        let claimed = match claimed.await {
            Ok(claimed) => claimed,
            Err(error) => {
                if matches!(error, StoreError::CommitUnknown(_)) {
                    self.lock_lost_rounds().push((by, Instant::now() + LOST_ROUND_WATCH));
                }
                return Err(error);
            }
        };
        self.metrics.claim_round_seconds.observe(began.elapsed().as_secs_f64());
        let (mut found, mut any) = (Found::All, false);
        for (group, (runs, more)) in demand.iter().zip(claimed) {
            any |= !runs.is_empty();
            if runs.len() == group.slots.len() {
                found = Found::Full;
            } else if more && found == Found::All {
                found = Found::Contended;
            }
            self.metrics.claimed(&runs);
            spans::claimed(&runs, clock);
            self.deliver(group, runs);
        }
        if any {
            self.hints.give(Topic::Changes);
        }
        Ok(found)
    }

    /// Hands the claimed runs to the workers whose slots they got; what can not be handed over is given back.
    fn deliver(&self, group: &GroupDemand, runs: Vec<Run>) {
        for (holder, runs) in group.split(runs) {
            if let Some(undeliverable) = demand::hand_over(&holder, runs, &self.claims) {
                self.releases.give_back(undeliverable);
            }
        }
    }

    /// Who has room now. Calls that nobody waits for any more are forgotten.
    fn demand(&self, slots: usize) -> Vec<GroupDemand> {
        let mut claims = self.lock_claims();
        claims.retain(|claim| !claim.reply.is_closed());
        claims.iter_mut().for_each(|claim| claim.looked = true);
        demand::collect(&self.registry.all(), &claims, slots, self.round.load(Ordering::Relaxed) as usize)
    }

    fn is_waited_for(&self) -> bool {
        !self.lock_claims().is_empty() || !self.lock_lost_rounds().is_empty()
    }

    /// Until the next poll, or the end of a unary call's wait.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let next = self.lock_claims().iter().map(|claim| claim.deadline.saturating_duration_since(now)).min();
        next.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL)
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

    /// Gives back what rounds claimed whose commit was not answered. The commit may come late, so it is looked for until
    /// no such transaction can be alive any more.
    async fn undo_lost_rounds(&self) {
        let lost = self.lock_lost_rounds().clone();
        for (by, _) in &lost {
            let by = *by;
            match self.db.run(move |c| Box::pin(run_claim_undo(c, by))).await {
                Ok(0) => {}
                Ok(_) => {
                    tracing::info!(round = by.round, "a claim whose commit was not answered was given back");
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
