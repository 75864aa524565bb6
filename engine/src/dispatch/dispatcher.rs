//! The dispatcher: gives ready runs to the free slots of this server's workers.
//!
//! It works in passes. A pass claims for each group of workers (same lanes, same kinds) in turn, with one statement each: a single
//! statement for groups that overlap would give the same rows out twice. Passes follow each other while there are runs and room.
//! Then a wakeup or new room begins the next one. A group whose queue is exhausted is looked at again only after a wakeup; the poll
//! (`repair/poll.rs`) gives one for runs of which no wakeup came.
//!
//! The `Strategy` decides the next step; the dispatcher carries it out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, TryFutureExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, StoreError};
use crate::dispatch::contention::{Claim, Found, Step};
use crate::dispatch::demand;
use crate::dispatch::demand::{ClaimAnswer, GroupDemand, UnaryClaim};
use crate::dispatch::lost_claims::LostClaims;
use crate::dispatch::strategy::Strategy;
use crate::domain::weight::Weight;
use crate::domain::{Refusal, Run};
use crate::settings::POLL_INTERVAL;
use crate::store::request::claim_call::{ClaimCall, ClaimCallState};
use crate::store::run::claim::{Claimed, run_claim, run_claim_repeatable_in_tx, run_claim_turn_in_tx, run_claimable};
use crate::stream::offers::Offers;
use crate::stream::registry::Registry;
use crate::stream::releases::Releases;
use crate::telemetry::{Metrics, spans};
use crate::wakeups::{Topic, Wakeups};

/// Gives runs to workers.
#[derive(Debug)]
pub struct Dispatcher {
    db: Db,
    wakeups: Wakeups,
    registry: Arc<Registry>,
    releases: Releases,
    offers: Arc<Offers>,
    metrics: Metrics,
    lost_claims: LostClaims,
    /// The number of passes that gave a run to a worker. It rotates which worker is first.
    rotation: AtomicUsize,
    /// Unary calls that wait for runs.
    calls: Mutex<Vec<UnaryClaim>>,
    room: Notify,
}

impl Dispatcher {
    pub fn new(
        db: Db,
        wakeups: Wakeups,
        registry: Arc<Registry>,
        releases: Releases,
        offers: Arc<Offers>,
        metrics: Metrics,
        server_id: Uuid,
    ) -> Self {
        Self {
            lost_claims: LostClaims::new(db.clone(), wakeups.clone(), server_id),
            db,
            wakeups,
            registry,
            releases,
            offers,
            metrics,
            rotation: AtomicUsize::new(0),
            calls: Mutex::default(),
            room: Notify::new(),
        }
    }

    /// Says that a worker has room for more runs.
    pub fn room(&self) {
        self.room.notify_one();
    }

    /// Says that workers have accepted runs, or lost them: there is room for others, if it was short.
    pub fn accepted(&self) {
        if self.offers.take_short() {
            self.room();
        }
    }

    /// Takes a unary call. It is answered with runs, or with none at its deadline, but not before a claim has looked for it.
    pub fn claim(&self, call: UnaryClaim) {
        let mut calls = self.lock_calls();
        // The same call again takes the place of the first one.
        let claim_id = |call: &UnaryClaim| call.repeatable.as_ref().map(|call| call.claim_id);
        let is_same = |waiting: &mut UnaryClaim| claim_id(&call).is_some() && claim_id(waiting) == claim_id(&call);
        for superseded in calls.extract_if(.., is_same) {
            let request_id = superseded.repeatable.as_ref().map(|call| call.request_id.clone()).unwrap_or_default();
            superseded.answer(Err(Refusal::RequestInProgress(request_id).into()));
        }
        calls.push(call);
        drop(calls);
        self.room();
    }

    /// Dispatches until `closing`. Then it drops the unary calls that still wait, which ends them.
    pub async fn run(self: Arc<Self>, closing: CancellationToken) {
        let mut strategy = Strategy::default();
        while !closing.is_cancelled() {
            self.lost_claims.give_back().await;
            if self.wakeups.awaited(Topic::Work).now_or_never().is_some() {
                strategy.woken();
            }
            let (step, failure) = self.pass(&mut strategy).await;
            if let Some(error) = &failure {
                tracing::warn!(%error, "a claim failed");
            }
            self.answer_due_calls(failure.as_ref());
            let delay = match step {
                Step::ClaimAgain | Step::ClaimInTurn | Step::ClaimWithoutTurn => continue,
                Step::LookAgain(delay) | Step::LookFurther(delay) | Step::Retry(delay) => Some(delay),
                Step::Wait => self.until_needed(),
            };
            let delay = async {
                match delay {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wakeups.awaited(Topic::Work) => strategy.woken(),
                () = self.room.notified() => {}
                () = delay => {}
                () = closing.cancelled() => {}
            }
        }
        self.lock_calls().clear();
    }

    /// One pass: claims for each group that has room, one after the other, and delivers the runs. Returns the next step, and the error
    /// of a pass that failed.
    async fn pass(&self, strategy: &mut Strategy) -> (Step, Option<StoreError>) {
        let demand = self.demand(strategy);
        let all: HashSet<Uuid> = demand.iter().flat_map(GroupDemand::calls).collect();
        let mut steps = Vec::with_capacity(demand.len());
        let mut given = 0;
        for demand in demand {
            let calls: HashSet<Uuid> = demand.calls().collect();
            let claim = strategy.claim(&demand.group, demand.slots.len());
            let demand = Arc::new(demand);
            let (found, locked, error) = self.claim_for(&demand, claim).await;
            let step = strategy.after_claim(&demand.group, found, Instant::now());
            steps.push(step);
            match step {
                Step::Retry(_) => {
                    self.looked(&all);
                    return (strategy.after_pass(&steps), error);
                }
                Step::ClaimWithoutTurn => {
                    tracing::info!("a turn to claim did not come in time: claims go on without turns");
                    self.metrics.claim_turns_missed.inc();
                }
                _ => {}
            }
            if step.has_looked() {
                // A call that could not be given runs has not looked, unless there are none.
                self.looked(&calls.into_iter().filter(|call| step == Step::Wait || !locked.contains(call)).collect());
            }
            if let Found::Runs { given: runs, .. } = found {
                given += runs;
            }
        }
        if given > 0 {
            self.rotation.fetch_add(1, Ordering::Relaxed);
        }
        (strategy.after_pass(&steps), None)
    }

    /// Claims for one group and delivers the runs. Returns what the claim found, the calls whose request ids other transactions had locked,
    /// and the error.
    async fn claim_for(&self, demand: &Arc<GroupDemand>, claim: Claim) -> (Found, HashSet<Uuid>, Option<StoreError>) {
        let clock = spans::clock();
        let calls = demand.repeatable();
        let (claimed, states) = match self.claim_runs(demand, &calls, claim).await {
            Ok(claimed) => claimed,
            Err(error @ StoreError::LockTimeout) => return (Found::LockTimeout, HashSet::new(), Some(error)),
            Err(error) => return (Found::Failure, HashSet::new(), Some(error)),
        };
        let Claimed { runs, looked, effects } = claimed;
        let given = runs.len();
        let left_out: Vec<(&Arc<ClaimCall>, ClaimCallState)> =
            calls.iter().zip(states).filter(|(_, state)| *state != ClaimCallState::Newest).collect();
        let locked = self.answer_left_out(&left_out);
        let demand = match left_out.is_empty() {
            true => demand.clone(),
            false => Arc::new(demand.without(&left_out.iter().map(|(call, _)| call.call).collect())),
        };
        // A call whose request id is locked still asks for runs.
        let slots = demand.slots.len() + locked.len();
        if given > 0 {
            self.offers.claimed(given, runs.weight());
            self.metrics.claimed(&runs);
            spans::claimed(&runs, clock);
            self.deliver(&demand, runs);
            self.wakeups.send(effects);
            return (Found::Runs { slots, given, claimable: looked, look_at: claim.look_at }, locked, None);
        }
        // The answer of a claim that got no run does not have the number of locked runs that it looked at.
        let look_at = claim.look_at;
        let count = self.db.list(demand, move |c, demand| run_claimable(c, &demand.group, look_at).boxed());
        match count.await {
            Ok(claimable) => (Found::Runs { slots, given, claimable, look_at }, locked, None),
            Err(error) => (Found::Failure, locked, Some(error)),
        }
    }

    /// Claims for one group, in one statement; if some of its calls can be repeated, in one transaction that also returns their states.
    async fn claim_runs(
        &self,
        demand: &Arc<GroupDemand>,
        calls: &[Arc<ClaimCall>],
        claim: Claim,
    ) -> Result<(Claimed, Vec<ClaimCallState>), StoreError> {
        let (began, demand) = (Instant::now(), demand.clone());
        let (key, most, in_turn) = (self.lost_claims.new_key(), claim.look_at, claim.in_turn);
        let (input, calls) = ((demand, calls.to_vec()), calls.to_vec());
        let claimed = if in_turn {
            let claimed = self.db.turn(input, move |c, (demand, calls)| {
                async move {
                    run_claim_turn_in_tx(c, &demand.group.tenant).await?;
                    run_claim_repeatable_in_tx(c, &demand.group, &demand.slots, calls, most, key).await
                }
                .boxed()
            });
            claimed.await
        } else if calls.is_empty() {
            let claimed = self.db.write(input, move |c, (demand, _)| {
                run_claim(c, &demand.group, &demand.slots, most, key).map_ok(|claimed| (claimed, Vec::new())).boxed()
            });
            claimed.await
        } else {
            let claimed = self.db.transaction(input, move |c, (demand, calls)| {
                run_claim_repeatable_in_tx(c, &demand.group, &demand.slots, calls, most, key).boxed()
            });
            claimed.await
        };
        match &claimed {
            Ok(_) => self.metrics.claim_seconds.observe(began.elapsed().as_secs_f64()),
            // The claim may be committed, or may still commit.
            Err(StoreError::CommitUnknown(_)) => self.lost_claims.add(key, calls),
            Err(_) => {}
        }
        claimed
    }

    /// Answers the calls that a claim left out. Those whose request ids other transactions have locked wait on until their deadline. Returns
    /// them.
    fn answer_left_out(&self, left_out: &[(&Arc<ClaimCall>, ClaimCallState)]) -> HashSet<Uuid> {
        let (mut calls, now) = (self.lock_calls(), Instant::now());
        let mut locked = HashSet::new();
        for (left, state) in left_out {
            let is_due = |call: &UnaryClaim| *state != ClaimCallState::Locked || call.deadline <= now;
            let answer = || match state {
                ClaimCallState::Answered => Ok(ClaimAnswer::Written),
                _ => Err(Refusal::RequestInProgress(left.request_id.clone()).into()),
            };
            match calls.extract_if(.., |call| call.call == left.call && is_due(call)).next() {
                // A caller that has gone does not read its answer.
                Some(call) => drop(call.answer(answer())),
                None => drop(locked.insert(left.call)),
            }
        }
        locked
    }

    /// Delivers the claimed runs to the holders of their slots, and gives back those that can not be delivered.
    fn deliver(&self, group: &GroupDemand, runs: Vec<Run>) {
        for (holder, runs) in group.split(runs) {
            self.releases.give_back(demand::deliver(&holder, runs, &self.calls, &self.offers));
        }
    }

    /// The room of the groups that may find runs. A group with a call for which no claim has looked yet always counts. Forgets calls
    /// whose caller has gone.
    fn demand(&self, strategy: &Strategy) -> Vec<GroupDemand> {
        let mut calls = self.lock_calls();
        calls.retain(|call| !call.reply.is_closed());
        let rotation = self.rotation.load(Ordering::Relaxed);
        let mut demand = demand::collect(&self.registry.all(), &calls, &self.offers, strategy.slots(), rotation);
        drop(calls);
        demand.retain(|demand| demand.is_new || strategy.may_find(&demand.group));
        demand
    }

    /// Marks unary calls for which a claim has looked.
    fn looked(&self, looked: &HashSet<Uuid>) {
        let mut calls = self.lock_calls();
        calls.iter_mut().filter(|call| looked.contains(&call.call)).for_each(|call| call.looked = true);
    }

    /// How long the dispatcher may wait for a wakeup or for room: until a unary call ends, or until it looks for lost claims again.
    /// Without either there is no bound: the poll finds the runs of which no wakeup came.
    fn until_needed(&self) -> Option<Duration> {
        let now = Instant::now();
        let next = self.lock_calls().iter().map(|call| call.deadline.saturating_duration_since(now)).min();
        if next.is_none() && self.lost_claims.is_empty() {
            return None;
        }
        Some(next.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL))
    }

    /// Answers unary calls that are due and for which a claim has looked: with no runs, or with the error of the claim.
    fn answer_due_calls(&self, failure: Option<&StoreError>) {
        let now = Instant::now();
        for due in self.lock_calls().extract_if(.., |call| call.looked && call.deadline <= now) {
            due.answer(failure.map_or(Ok(ClaimAnswer::Runs(Vec::new())), |error| Err(error.clone().into())));
        }
    }

    fn lock_calls(&self) -> MutexGuard<'_, Vec<UnaryClaim>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
