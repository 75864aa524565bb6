//! The rules for the grants that a worker holds. No I/O; the clock is an argument.
//!
//! In reading order: the name of a grant (`key`), the table of grants (`grants`), the permission to send more (`credit`, `capacity`), how
//! leases stay alive (`heartbeats`, `progress`) and when an outage freezes them (`outage`), and how a grant ends (`outcome`,
//! `reports`) and how fast that is sent (`pace`).

pub(crate) mod capacity;
pub(crate) mod credit;
pub(crate) mod grants;
pub(crate) mod key;

pub(crate) mod heartbeats;
pub(crate) mod outage;
pub(crate) mod progress;

pub(crate) mod outcome;
pub(crate) mod pace;
pub(crate) mod reports;
