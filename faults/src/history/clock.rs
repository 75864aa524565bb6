//! The one clock of all histories.

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// Microseconds of CLOCK_MONOTONIC, which all processes of a machine share and nobody can set.
pub fn now_us() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock").num_microseconds()
}
