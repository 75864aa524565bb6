use std::time::Duration;

use crate::ops::{crash::shift::Shift, fixture::Fixture};

/// Twice the lease of 30 s.
const OUTAGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_outage_of_postgresql_and_all_servers_for_two_leases_costs_no_run() {
    let mut fixture = Fixture::with_own_postgresql().await;
    fixture.serve(&[]);
    fixture.serve(&[]);
    let mut shift = Shift::begin(&mut fixture, 20).await;

    let first = fixture.kill_server(0);
    let second = fixture.kill_server(0);
    fixture.postgresql().kill_hard().await.unwrap();
    // Half of the programs end while no server runs.
    shift.end_early_ones().await;
    tokio::time::sleep(OUTAGE).await;
    fixture.postgresql().restart().await.unwrap();
    fixture.serve_again(first);
    fixture.serve_again(second);
    shift.end_all(&fixture.client()).await;
}
