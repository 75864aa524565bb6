//! The guard of every write of a worker. A write that touches no row means that the worker has lost its lease.

use uuid::Uuid;

use crate::domain::GrantKey;

/// The epoch of workers without a stream.
pub const UNARY_EPOCH: i64 = 0;

/// The grant, the worker and its stream. A write of a worker names them in WHERE, beside the state that it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guard {
    pub grant: GrantKey,
    pub worker_id: Uuid,
    /// [`UNARY_EPOCH`] for workers without a stream.
    pub epoch: i64,
}

impl Guard {
    /// Guards a write of a worker without a stream.
    pub fn unary(grant: GrantKey, worker_id: Uuid) -> Self {
        Self { grant, worker_id, epoch: UNARY_EPOCH }
    }
}

/// Guards as the columns of an `unnest`.
pub(crate) struct GuardColumns {
    pub(crate) run_ids: Vec<Uuid>,
    pub(crate) fences: Vec<i64>,
    pub(crate) worker_ids: Vec<Uuid>,
    pub(crate) epochs: Vec<i64>,
}

impl GuardColumns {
    pub(crate) fn of(guards: &[Guard]) -> Self {
        Self {
            run_ids: guards.iter().map(|guard| guard.grant.run_id).collect(),
            fences: guards.iter().map(|guard| guard.grant.fence).collect(),
            worker_ids: guards.iter().map(|guard| guard.worker_id).collect(),
            epochs: guards.iter().map(|guard| guard.epoch).collect(),
        }
    }
}
