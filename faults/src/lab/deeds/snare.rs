//! What happens exactly at a COMMIT, at a statement, or at the beginning of a session.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::super::deed::Snare;
use super::network::how;
use crate::proxy::{Cut, Proxy, Trap};

/// Between two traps; most statements are let alone, so that some work is done.
const AGAIN: Duration = Duration::from_millis(300);

/// Whoever meets these is told to try again, or to come back later.
const FAILURES: [(&str, &str); 5] = [
    ("40P01", "deadlock detected"),
    ("40001", "could not serialize access due to concurrent update"),
    ("55P03", "canceling statement due to lock timeout"),
    ("53100", "could not extend file: No space left on device"),
    ("57014", "canceling statement due to statement timeout"),
];
const STARTUP_FAILURES: [(&str, &str); 2] =
    [("53300", "sorry, too many clients already"), ("57P03", "the database system is starting up")];

/// Lays traps until the end, and takes away those that have not sprung.
pub(super) async fn lay(line: &Proxy, snare: Snare, mut rng: StdRng, end: Instant) {
    while Instant::now() < end {
        line.arm(trap(snare, &mut rng));
        if snare == Snare::Startup {
            // Who has a session needs no other.
            line.cut(Cut::Rst);
        }
        sleep(rng.random_range(Duration::ZERO..AGAIN)).await;
    }
    line.disarm();
}

fn trap(snare: Snare, rng: &mut StdRng) -> Trap {
    match snare {
        Snare::BeforeCommit => Trap::CutBeforeCommit(how(rng)),
        Snare::AfterCommit => Trap::CutAfterCommit(how(rng)),
        Snare::Statement => {
            let (sqlstate, message) = FAILURES[rng.random_range(0..FAILURES.len())];
            Trap::FailStatement { sqlstate, message }
        }
        Snare::Startup => {
            let (sqlstate, message) = STARTUP_FAILURES[rng.random_range(0..STARTUP_FAILURES.len())];
            Trap::FailStartup { sqlstate, message }
        }
    }
}
