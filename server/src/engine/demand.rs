//! Who has room for runs: the free slots of streams, and unary calls that wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::EngineError;
use super::connection::Connection;
use crate::domain::{Lease, Run};
use crate::store::claim::{ClaimGroup, Slot};
use crate::store::release::Release;
use crate::store::report::Guard;

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
    /// Written into the runs, if the call can be repeated.
    pub claim_id: Option<Uuid>,
    pub deadline: Instant,
    /// A round has looked for it.
    pub looked: bool,
    pub reply: oneshot::Sender<Result<Vec<Run>, EngineError>>,
}

impl UnaryClaim {
    /// Answers the call. False if nobody waits for the answer any more.
    pub fn answer(self, answer: Result<Vec<Run>, EngineError>) -> bool {
        self.reply.send(answer).is_ok()
    }
}

/// Who offers a slot.
#[derive(Debug, Clone)]
pub enum Holder {
    Stream(Arc<Connection>),
    Call(Uuid),
}

/// The slots of one group, and who offers each.
#[derive(Debug)]
pub struct GroupDemand {
    pub group: ClaimGroup,
    pub slots: Vec<Slot>,
    holders: Vec<Holder>,
}

impl GroupDemand {
    /// The runs of each holder: the first run has got the first slot.
    pub fn split(&self, runs: Vec<Run>) -> Vec<(Holder, Vec<Run>)> {
        let mut split: BTreeMap<Uuid, (Holder, Vec<Run>)> = BTreeMap::new();
        for (holder, run) in self.holders.iter().zip(runs) {
            let key = match holder {
                Holder::Stream(connection) => connection.worker_id,
                Holder::Call(call) => *call,
            };
            split.entry(key).or_insert_with(|| (holder.clone(), Vec::new())).1.push(run);
        }
        split.into_values().collect()
    }
}

/// Collects who has room: up to `most` slots a group, dealt out one after the other so that each worker gets its share.
/// `turn` rotates who is first, among groups and within.
pub fn collect(streams: &[Arc<Connection>], calls: &[UnaryClaim], most: usize, turn: usize) -> Vec<GroupDemand> {
    let mut groups: BTreeMap<&ClaimGroup, Vec<(Holder, Slot, usize)>> = BTreeMap::new();
    for connection in streams {
        let free = connection.book().free();
        if free > 0 {
            let slot = Slot {
                worker_id: connection.worker_id,
                worker_name: connection.worker_name.clone(),
                begin: false,
                lease: connection.lease,
                claim_id: None,
            };
            groups.entry(&connection.group).or_default().push((Holder::Stream(connection.clone()), slot, free));
        }
    }
    for call in calls {
        let slot = Slot {
            worker_id: call.worker_id,
            worker_name: call.worker_name.clone(),
            begin: true,
            lease: call.lease,
            claim_id: call.claim_id,
        };
        groups.entry(&call.group).or_default().push((Holder::Call(call.call), slot, call.max_runs));
    }
    let mut demand: Vec<GroupDemand> =
        groups.into_iter().map(|(group, offers)| deal(group.clone(), offers, most, turn)).collect();
    if !demand.is_empty() {
        let first = turn % demand.len();
        demand.rotate_left(first);
    }
    demand
}

fn deal(group: ClaimGroup, mut offers: Vec<(Holder, Slot, usize)>, most: usize, turn: usize) -> GroupDemand {
    let first = turn % offers.len().max(1);
    offers.rotate_left(first);
    let (mut slots, mut holders) = (Vec::new(), Vec::new());
    while slots.len() < most && !offers.is_empty() {
        for (holder, slot, free) in &mut offers {
            if slots.len() == most {
                break;
            }
            slots.push(slot.clone());
            holders.push(holder.clone());
            *free -= 1;
        }
        offers.retain(|(.., free)| *free > 0);
    }
    GroupDemand { group, slots, holders }
}

/// Hands runs to who got them. What can not be handed over is answered, to be given back.
pub fn hand_over(holder: &Holder, runs: Vec<Run>, calls: &Mutex<Vec<UnaryClaim>>) -> Option<Vec<Release>> {
    let leases: Vec<Lease> = runs.iter().map(|run| Lease { run_id: run.id, fence: run.fence }).collect();
    let release = |worker_id: Uuid, epoch: i64, begun_too: bool| {
        let guards = leases.iter().map(|lease| Guard { lease: *lease, worker_id, epoch });
        guards.map(|guard| Release { guard, begun_too, undelivered: false }).collect()
    };
    match holder {
        Holder::Stream(connection) => {
            (!connection.assign(runs)).then(|| release(connection.worker_id, connection.epoch, false))
        }
        Holder::Call(id) => {
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            let position = calls.iter().position(|call| call.call == *id)?;
            let call = calls.swap_remove(position);
            let worker_id = call.worker_id;
            drop(calls);
            (!call.answer(Ok(runs))).then(|| release(worker_id, 0, true))
        }
    }
}
