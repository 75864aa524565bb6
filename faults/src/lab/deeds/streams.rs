//! Whether workers keep their streams while only the database is away: their servers are there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::super::house::House;
use super::super::plan::Step;

/// Who lost a stream at the end of an outage has another one by now.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How things were before.
pub(super) struct Before {
    begun: u64,
    accepted: u64,
}

/// Looks, if this is an outage of the database and of nothing else.
pub(super) fn look(house: &House, step: &Step) -> Option<Before> {
    let begun = house.wellness.alone().filter(|_| step.deed.act().ends_postgres())?;
    Some(Before { begun, accepted: accepted(house) })
}

/// Holds the workers to it, unless something else has been done meanwhile.
pub(super) async fn stayed(house: &Arc<House>, before: Option<Before>) {
    let Some(before) = before else { return };
    sleep(AFTERWARDS).await;
    let now = accepted(house);
    if house.wellness.alone_since(before.begun) {
        house.notebook.count("outages of the database alone");
        if now != before.accepted {
            let more = now - before.accepted;
            house.notebook.violation(format!("workers connected {more} times while only the database was away"));
        }
    }
}

/// How often workers have connected.
fn accepted(house: &House) -> u64 {
    house.worker_lines.iter().flatten().map(|line| line.accepted()).sum()
}
