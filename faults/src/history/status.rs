//! The status of a run.

use std::fmt;

use proto::v1::RunStatus as Wire;
use serde::{Deserialize, Serialize};

/// The six statuses of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    Claimed,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl Status {
    /// From the contract; none for an unknown value.
    pub fn of_wire(status: i32) -> Option<Self> {
        match Wire::try_from(status).ok()? {
            Wire::Unspecified => None,
            Wire::Queued => Some(Status::Queued),
            Wire::Claimed => Some(Status::Claimed),
            Wire::Running => Some(Status::Running),
            Wire::Succeeded => Some(Status::Succeeded),
            Wire::Failed => Some(Status::Failed),
            Wire::Cancelled => Some(Status::Cancelled),
        }
    }

    /// Terminal states are final.
    pub fn is_terminal(self) -> bool {
        matches!(self, Status::Succeeded | Status::Failed | Status::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Queued => "queued",
            Status::Claimed => "claimed",
            Status::Running => "running",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        })
    }
}
