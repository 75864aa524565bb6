//! The room for runs: the free slots of streams, and the unary calls that wait.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::EngineError;
use crate::domain::{GrantKey, Run};
use crate::store::request::claim_call::ClaimCall;
use crate::store::run::claim::{ClaimGroup, Slot};
use crate::store::run::guard::{Guard, UNARY_EPOCH};
use crate::store::run::release::{Release, Unanswered};
use crate::stream::connection::Connection;
use crate::stream::offers::Offers;

/// A unary call that waits for runs.
#[derive(Debug)]
pub struct UnaryClaim {
    /// Tells calls of the same worker apart.
    pub call: Uuid,
    pub worker_id: Uuid,
    pub worker_name: String,
    pub group: ClaimGroup,
    pub max_runs: usize,
    pub lease: Duration,
    /// What the call is in the database, if it can be repeated.
    pub repeatable: Option<Arc<ClaimCall>>,
    pub deadline: Instant,
    /// Whether a claim that saw the whole queue has looked for it.
    pub looked: bool,
    pub reply: oneshot::Sender<Result<ClaimAnswer, EngineError>>,
}

/// The answer to a unary call.
#[derive(Debug)]
pub enum ClaimAnswer {
    /// The runs that it got; none at its deadline.
    Runs(Vec<Run>),
    /// It was given runs by a claim whose answer was lost. The database has them.
    Written,
}

impl UnaryClaim {
    /// Answers the call. False if its caller has gone.
    pub fn answer(self, answer: Result<ClaimAnswer, EngineError>) -> bool {
        self.reply.send(answer).is_ok()
    }
}

/// A worker that offers a slot.
#[derive(Debug, Clone)]
pub enum Holder {
    Stream(Arc<Connection>),
    Call { call: Uuid, worker_id: Uuid, repeatable: Option<Arc<ClaimCall>> },
}

/// The slots of one group, and the holder of each.
#[derive(Debug)]
pub struct GroupDemand {
    pub group: ClaimGroup,
    pub slots: Vec<Slot>,
    /// Whether some of them belong to a unary call for which no claim has looked yet.
    pub is_new: bool,
    holders: Vec<Holder>,
}

impl GroupDemand {
    /// The unary calls that got slots.
    pub fn calls(&self) -> impl Iterator<Item = Uuid> {
        self.holders.iter().filter_map(|holder| match holder {
            Holder::Call { call, .. } => Some(*call),
            Holder::Stream(_) => None,
        })
    }

    /// Those of the unary calls that can be repeated, each once.
    pub fn repeatable(&self) -> Vec<Arc<ClaimCall>> {
        let mut seen = HashSet::new();
        let calls = self.holders.iter().filter_map(|holder| match holder {
            Holder::Call { repeatable: Some(call), .. } => Some(call),
            Holder::Call { .. } | Holder::Stream(_) => None,
        });
        calls.filter(|call| seen.insert(call.call)).cloned().collect()
    }

    /// The same demand without the slots of these unary calls.
    pub fn without(&self, calls: &HashSet<Uuid>) -> Self {
        let stays = |holder: &Holder| !matches!(holder, Holder::Call { call, .. } if calls.contains(call));
        let kept = self.slots.iter().zip(&self.holders).filter(|(_, holder)| stays(holder));
        let (slots, holders) = kept.map(|(slot, holder)| (slot.clone(), holder.clone())).unzip();
        Self { group: self.group.clone(), slots, is_new: self.is_new, holders }
    }

    /// The runs of each holder: the first run got the first slot.
    pub fn split(&self, runs: Vec<Run>) -> Vec<(Holder, Vec<Run>)> {
        let mut split: BTreeMap<Uuid, (Holder, Vec<Run>)> = BTreeMap::new();
        for (holder, run) in self.holders.iter().zip(runs) {
            let key = match holder {
                Holder::Stream(connection) => connection.worker_id,
                Holder::Call { call, .. } => *call,
            };
            split.entry(key).or_insert_with(|| (holder.clone(), Vec::new())).1.push(run);
        }
        split.into_values().collect()
    }
}

/// The room of one holder.
struct Offer {
    holder: Holder,
    slot: Slot,
    free: usize,
    /// Whether it is a unary call for which no claim has looked yet. It may not wait for a second claim.
    is_new: bool,
}

/// Collects the room: up to `most` slots a group, dealt out in turn so that each worker gets its share. `rotation` says which group is
/// first, and which worker in it; but calls for which no claim has looked yet come before all others. Streams get as many slots as there
/// is room for what they have not accepted.
pub fn collect(
    streams: &[Arc<Connection>],
    calls: &[UnaryClaim],
    offers: &Offers,
    most: usize,
    rotation: usize,
) -> Vec<GroupDemand> {
    let mut groups: BTreeMap<&ClaimGroup, Vec<Offer>> = BTreeMap::new();
    // Set before the room is read, so that no new room is missed.
    offers.set_short(true);
    let (mut room, run_bytes, mut is_short) = (offers.room(), offers.run_bytes(), false);
    let slots = streams.iter().map(|connection| (connection, connection.free(run_bytes)));
    let slots = slots.inspect(|(_, slots)| is_short |= slots.is_short).filter(|(_, slots)| slots.count > 0);
    let mut slots: Vec<_> = slots.collect();
    if room < slots.len() {
        // They take turns.
        let first = rotation % slots.len();
        slots.rotate_left(first);
    }
    // Each gets its share, so that one that does not accept does not take the room from others.
    let share = (room / slots.len().max(1)).max(1);
    for (connection, slots) in slots {
        let free = slots.count.min(share).min(room);
        is_short |= free < slots.count;
        room -= free.min(most);
        if free > 0 {
            let slot = Slot {
                worker_id: connection.worker_id,
                worker_name: connection.worker_name.clone(),
                starts: false,
                lease: connection.lease,
                claim_id: None,
            };
            let holder = Holder::Stream(connection.clone());
            groups.entry(&connection.group).or_default().push(Offer { holder, slot, free, is_new: false });
        }
    }
    offers.set_short(is_short);
    for call in calls {
        let slot = Slot {
            worker_id: call.worker_id,
            worker_name: call.worker_name.clone(),
            starts: true,
            lease: call.lease,
            claim_id: call.repeatable.as_ref().map(|call| call.claim_id),
        };
        let holder = Holder::Call { call: call.call, worker_id: call.worker_id, repeatable: call.repeatable.clone() };
        let offer = Offer { holder, slot, free: call.max_runs, is_new: !call.looked };
        groups.entry(&call.group).or_default().push(offer);
    }
    let mut demand: Vec<GroupDemand> =
        groups.into_iter().map(|(group, offers)| deal(group.clone(), offers, most, rotation)).collect();
    if !demand.is_empty() {
        let first = rotation % demand.len();
        demand.rotate_left(first);
    }
    demand
}

fn deal(group: ClaimGroup, mut offers: Vec<Offer>, most: usize, rotation: usize) -> GroupDemand {
    let first = rotation % offers.len().max(1);
    offers.rotate_left(first);
    offers.sort_by_key(|offer| !offer.is_new);
    let is_new = offers.first().is_some_and(|offer| offer.is_new);
    let (mut slots, mut holders) = (Vec::new(), Vec::new());
    while slots.len() < most && !offers.is_empty() {
        for offer in &mut offers {
            if slots.len() == most {
                break;
            }
            slots.push(offer.slot.clone());
            holders.push(offer.holder.clone());
            offer.free -= 1;
        }
        offers.retain(|offer| offer.free > 0);
    }
    GroupDemand { group, slots, is_new, holders }
}

/// Delivers runs to the holder of their slots. Returns the runs that could not be delivered, so that the caller gives them back.
pub fn deliver(holder: &Holder, runs: Vec<Run>, calls: &Mutex<Vec<UnaryClaim>>, offers: &Offers) -> Vec<Release> {
    let release =
        |grants: Vec<GrantKey>, worker_id: Uuid, epoch: i64, started_too: bool, unanswered: Option<Unanswered>| {
            let guards = grants.into_iter().map(|grant| Guard { grant, worker_id, epoch });
            let release = |guard| Release { guard, started_too, undelivered: false, unanswered: unanswered.clone() };
            guards.map(release).collect()
        };
    match holder {
        Holder::Stream(connection) => {
            release(connection.assign(runs, offers), connection.worker_id, connection.epoch, false, None)
        }
        Holder::Call { call, worker_id, repeatable } => {
            let grants: Vec<GrantKey> = runs.iter().map(Run::grant_key).collect();
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = calls.extract_if(.., |waiting| waiting.call == *call).next();
            drop(calls);
            // A call that was repeated meanwhile does not wait any more.
            let is_answered = waiting.is_some_and(|waiting| waiting.answer(Ok(ClaimAnswer::Runs(runs))));
            let unanswered = repeatable.clone().map(|call| Unanswered { call, all: true });
            release(if is_answered { Vec::new() } else { grants }, *worker_id, UNARY_EPOCH, true, unanswered)
        }
    }
}
