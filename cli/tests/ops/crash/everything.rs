use std::time::Duration;

use crate::ops::{crash::shift::Shift, house::House};

/// Twice the lease of 30 s.
const OUTAGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_outage_of_postgresql_and_all_servers_for_two_leases_costs_no_run() {
    let mut house = House::with_own_postgresql().await;
    house.serve(&[]);
    house.serve(&[]);
    let mut shift = Shift::begin(&mut house, 20).await;

    let first = house.kill_server(0);
    let second = house.kill_server(0);
    house.postgresql().kill_hard().await.unwrap();
    // Half of the programs end while there is nobody to report to.
    shift.end_early_ones().await;
    tokio::time::sleep(OUTAGE).await;
    house.postgresql().restart().await.unwrap();
    house.serve_again(first);
    house.serve_again(second);
    shift.end_all(&house.client()).await;
}
