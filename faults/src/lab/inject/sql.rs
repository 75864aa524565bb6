//! Faults at a COMMIT, at a statement, or at the start of a session.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::network::how;
use crate::lab::fault::SqlFault;
use crate::proxy::{Cut, Proxy, Trap};

/// The longest time between two traps. Most statements pass, so that some work is done.
const AGAIN: Duration = Duration::from_millis(300);

/// Errors that a server must retry.
const FAILURES: [(&str, &str); 5] = [
    ("40P01", "deadlock detected"),
    ("40001", "could not serialize access due to concurrent update"),
    ("55P03", "canceling statement due to lock timeout"),
    ("53100", "could not extend file: No space left on device"),
    ("57014", "canceling statement due to statement timeout"),
];
const STARTUP_FAILURES: [(&str, &str); 2] =
    [("53300", "sorry, too many clients already"), ("57P03", "the database system is starting up")];

/// Sets traps until the end, and removes those that have not sprung.
pub(super) async fn inject(proxy: &Proxy, fault: SqlFault, mut rng: StdRng, end: Instant) {
    while Instant::now() < end {
        proxy.arm(trap(fault, &mut rng));
        if fault == SqlFault::Startup {
            // Only a server without a session opens a new one.
            proxy.cut(Cut::Rst);
        }
        sleep(rng.random_range(Duration::ZERO..AGAIN)).await;
    }
    proxy.disarm();
}

fn trap(fault: SqlFault, rng: &mut StdRng) -> Trap {
    match fault {
        SqlFault::BeforeCommit => Trap::CutBeforeCommit(how(rng)),
        SqlFault::AfterCommit => Trap::CutAfterCommit(how(rng)),
        SqlFault::Statement => {
            let (sqlstate, message) = FAILURES[rng.random_range(0..FAILURES.len())];
            Trap::FailStatement { sqlstate, message }
        }
        SqlFault::Startup => {
            let (sqlstate, message) = STARTUP_FAILURES[rng.random_range(0..STARTUP_FAILURES.len())];
            Trap::FailStartup { sqlstate, message }
        }
    }
}
