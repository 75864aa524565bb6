//! The dispatcher: gives ready runs to the free slots of this replica's workers.
//!
//! A batch claims for each group of workers (same lanes, same kinds) in turn, a statement each: one statement for groups that
//! overlap would hand out the same rows twice. Batches follow each other while there is work and room; then a wakeup or new
//! room begins the next, and a group for which nothing was left is looked at again after a wakeup only. The poll
//! (`background/poll.rs`) wakeups at what nobody else did.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, StoreError};
use crate::dispatch::contention::{Contention, Met};
use crate::dispatch::demand;
use crate::dispatch::demand::{GroupDemand, UnaryClaim};
use crate::domain::Run;
use crate::settings::{OUTAGE_RETRY_DELAY, POLL_INTERVAL};
use crate::store::run::claim::{
    ClaimGroup, ClaimKey, Claimed, run_claim, run_claim_turn_in_tx, run_claim_undo, run_claimable,
};
use crate::stream::registry::Registry;
use crate::stream::releases::Releases;
use crate::telemetry::{Metrics, spans};
use crate::wakeups::{Topic, Wakeups};

/// Slots that a group offers in a first batch, so that a lone run is not claimed with a list of all idle workers.
const FIRST_CLAIM_SLOTS: usize = 64;

/// Slots that a group offers in the batches after a full one: more brings no more speed.
const FULL_CLAIM_SLOTS: usize = 500;

/// Of so many groups it is known at the most what their queues are like; what is forgotten is looked at again.
const CONTENTIONS: usize = 1_000;

/// For how long a claim that was not answered is looked for: longer than a statement can live.
const LOST_CLAIM_WATCH: Duration = Duration::from_secs(60);

/// What a batch found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// Nobody had room, so nothing was looked for.
    Unasked,
    /// All that could be claimed was.
    All,
    /// There is more, but others were at it.
    Contended,
    /// There is more, and the way of looking for it has changed.
    Again,
    /// A group got as many runs as it had slots: there may be more.
    Full,
}

/// What a claim came to, or several.
#[derive(Debug, Clone, Copy)]
struct Batch {
    found: Found,
    /// So many runs.
    given: usize,
    /// For how long the next one waits where others were in the way.
    pause: Duration,
    /// It has looked as far as can be seen.
    has_looked: bool,
}

impl Batch {
    fn of(found: Found, given: usize) -> Batch {
        Batch { found, given, pause: Duration::MAX, has_looked: found != Found::Again }
    }

    fn and(self, next: Batch) -> Batch {
        Batch {
            found: self.found.max(next.found),
            given: self.given + next.given,
            pause: self.pause.min(next.pause),
            has_looked: self.has_looked && next.has_looked,
        }
    }
}

/// Gives runs to workers.
#[derive(Debug)]
pub struct Dispatcher {
    db: Db,
    wakeups: Wakeups,
    registry: Arc<Registry>,
    releases: Releases,
    metrics: Metrics,
    server_id: Uuid,
    batch: AtomicI64,
    /// Batches that gave something to somebody: they rotate who is first.
    rotation: AtomicUsize,
    /// Unary calls that wait for runs.
    claims: Mutex<Vec<UnaryClaim>>,
    room: Notify,
    /// Claims that were not answered, and until when they are looked for.
    lost_claims: Mutex<Vec<(ClaimKey, Instant)>>,
}

impl Dispatcher {
    pub fn new(
        db: Db,
        wakeups: Wakeups,
        registry: Arc<Registry>,
        releases: Releases,
        metrics: Metrics,
        server_id: Uuid,
    ) -> Self {
        Self {
            db,
            wakeups,
            registry,
            releases,
            metrics,
            server_id,
            batch: AtomicI64::new(0),
            rotation: AtomicUsize::new(0),
            claims: Mutex::default(),
            room: Notify::new(),
            lost_claims: Mutex::default(),
        }
    }

    /// Says that a worker has room for more.
    pub fn room(&self) {
        self.room.notify_one();
    }

    /// Takes a unary call in; it is answered with runs, or with none at its deadline, but not before one batch.
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
        let mut slots = FIRST_CLAIM_SLOTS;
        let mut contentions: HashMap<ClaimGroup, Contention> = HashMap::new();
        while !closing.is_cancelled() {
            self.undo_lost_claims().await;
            if self.wakeups.awaited(Topic::Work).now_or_never().is_some() {
                contentions.values_mut().for_each(Contention::woken);
            }
            if contentions.len() > CONTENTIONS {
                contentions.clear();
            }
            let demand = self.demand(slots, &contentions);
            let batch = self.claim_number(demand, &mut contentions).await;
            self.answer_due_claims(batch.as_ref().err());
            let pause = match batch {
                Ok(Batch { found: Found::Full, .. }) => {
                    slots = FULL_CLAIM_SLOTS;
                    continue;
                }
                Ok(Batch { found: Found::Again, .. }) => continue,
                Ok(Batch { found: Found::Contended, pause, .. }) => Some(pause),
                Ok(Batch { found: Found::All, .. }) => {
                    slots = FIRST_CLAIM_SLOTS;
                    self.pause()
                }
                // What was true of the queue when there was room may still be.
                Ok(Batch { found: Found::Unasked, .. }) => self.pause(),
                Err(error) => {
                    tracing::warn!(%error, "a claim batch failed");
                    // It may have been too much at once.
                    slots = FIRST_CLAIM_SLOTS;
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
                () = self.wakeups.awaited(Topic::Work) => contentions.values_mut().for_each(Contention::woken),
                () = self.room.notified() => {}
                () = pause => {}
                () = closing.cancelled() => {}
            }
        }
        self.lock_claims().clear();
    }

    /// One batch: claims for each group, one after the other, and delivers what it got.
    async fn claim_number(
        &self,
        demand: Vec<GroupDemand>,
        contentions: &mut HashMap<ClaimGroup, Contention>,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch::of(Found::Unasked, 0);
        let all: HashSet<Uuid> = demand.iter().flat_map(GroupDemand::calls).collect();
        for demand in demand {
            let calls: HashSet<Uuid> = demand.calls().collect();
            let contention = contentions.entry(demand.group.clone()).or_default();
            let claimed = self.claim_for(demand, contention).await.inspect_err(|_| {
                contention.failed();
                self.looked(&all);
            })?;
            if claimed.has_looked {
                self.looked(&calls);
            }
            batch = batch.and(claimed);
        }
        if batch.given > 0 {
            self.rotation.fetch_add(1, Ordering::Relaxed);
        }
        Ok(batch)
    }

    /// Claims for one group, in one statement, and delivers what it got.
    async fn claim_for(&self, demand: GroupDemand, contention: &mut Contention) -> Result<Batch, StoreError> {
        let (began, clock) = (Instant::now(), spans::clock());
        let by = ClaimKey { server_id: self.server_id, batch: self.batch.fetch_add(1, Ordering::Relaxed) };
        let (most, demand) = (demand.slots.len() + contention.beyond(), Arc::new(demand));
        let claimed = if contention.in_turn() {
            let claim = self.db.turn(demand.clone(), move |c, demand| {
                async move {
                    run_claim_turn_in_tx(c, &demand.group.tenant).await?;
                    run_claim(c, &demand.group, &demand.slots, most, by).await
                }
                .boxed()
            });
            claim.await
        } else {
            let claim = self
                .db
                .write(demand.clone(), move |c, demand| run_claim(c, &demand.group, &demand.slots, most, by).boxed());
            claim.await
        };
        let Claimed { runs, looked, effects } = match claimed {
            Ok(claimed) => claimed,
            Err(StoreError::LockTimeout) if contention.in_turn() => {
                tracing::info!("a turn to claim did not come in time: claims go on without turns");
                self.metrics.claim_turns_missed.inc();
                contention.missed_turn(Instant::now());
                return Ok(Batch::of(Found::Again, 0));
            }
            Err(error) => {
                // It may have happened, or still happen.
                if matches!(error, StoreError::CommitUnknown(_)) {
                    self.lock_lost_claims().push((by, Instant::now() + LOST_CLAIM_WATCH));
                }
                return Err(error);
            }
        };
        self.metrics.claim_seconds.observe(began.elapsed().as_secs_f64());
        let (given, slots) = (runs.len(), demand.slots.len());
        if !runs.is_empty() {
            self.metrics.claimed(&runs);
            spans::claimed(&runs, clock);
            self.deliver(&demand, runs);
            self.wakeups.send(effects);
        }
        if given == slots {
            contention.filled();
            return Ok(Batch::of(Found::Full, given));
        }
        let claimable = if given > 0 {
            looked
        } else {
            self.db.read(demand, move |c, demand| run_claimable(c, &demand.group, most).boxed()).await?
        };
        if claimable > given {
            // What was not had is locked by others, with more behind it if that was not all that it looked at.
            return Ok(match contention.met(claimable == most, Instant::now()) {
                Met::TakesTurns => Batch::of(Found::Again, given),
                Met::LooksFurther(pause) => Batch { pause, has_looked: false, ..Batch::of(Found::Contended, given) },
                Met::Waits(pause) => Batch { pause, ..Batch::of(Found::Contended, given) },
            });
        }
        contention.ended();
        Ok(Batch::of(Found::All, given))
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
    fn demand(&self, slots: usize, contentions: &HashMap<ClaimGroup, Contention>) -> Vec<GroupDemand> {
        let mut claims = self.lock_claims();
        claims.retain(|claim| !claim.reply.is_closed());
        let rotation = self.rotation.load(Ordering::Relaxed);
        let mut demand = demand::collect(&self.registry.all(), &claims, slots, rotation);
        drop(claims);
        let is_exhausted = |group: &ClaimGroup| contentions.get(group).is_some_and(Contention::is_exhausted);
        demand.retain(|demand| demand.is_new || !is_exhausted(&demand.group));
        demand
    }

    /// Marks unary calls for which a batch has looked.
    fn looked(&self, calls: &HashSet<Uuid>) {
        let mut claims = self.lock_claims();
        claims.iter_mut().filter(|claim| calls.contains(&claim.call)).for_each(|claim| claim.looked = true);
    }

    fn is_waited_for(&self) -> bool {
        !self.lock_claims().is_empty() || !self.lock_lost_claims().is_empty()
    }

    /// Until the next poll, or the end of a unary call's wait, if anybody waits: unary calls end, and lost batches may turn up.
    /// What was not woken at is found by the poll.
    fn pause(&self) -> Option<Duration> {
        if !self.is_waited_for() {
            return None;
        }
        let now = Instant::now();
        let next = self.lock_claims().iter().map(|claim| claim.deadline.saturating_duration_since(now)).min();
        Some(next.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL))
    }

    /// Answers unary calls whose wait has ended and for which a batch has looked: with nothing, or why it failed.
    fn answer_due_claims(&self, failure: Option<&StoreError>) {
        let now = Instant::now();
        for due in self.lock_claims().extract_if(.., |claim| claim.looked && claim.deadline <= now) {
            due.answer(failure.map_or(Ok(Vec::new()), |error| Err(error.clone().into())));
        }
    }

    fn lock_claims(&self) -> MutexGuard<'_, Vec<UnaryClaim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_lost_claims(&self) -> MutexGuard<'_, Vec<(ClaimKey, Instant)>> {
        self.lost_claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what was claimed without an answer. The commit may come late, so it is looked for until no such statement can
    /// be alive any more.
    async fn undo_lost_claims(&self) {
        let lost = self.lock_lost_claims().clone();
        for (by, _) in lost {
            match self.db.write(by, |c, by| run_claim_undo(c, *by).boxed()).await {
                Ok((0, _)) => {}
                Ok((_, effects)) => {
                    tracing::info!(batch = by.batch, "a claim that was not answered was given back");
                    self.wakeups.send(effects);
                }
                Err(error) => {
                    tracing::debug!(%error, "a lost claim can not be looked for yet");
                    return;
                }
            }
        }
        let now = Instant::now();
        self.lock_lost_claims().retain(|(_, until)| *until > now);
    }
}
