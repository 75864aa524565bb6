use std::time::{Duration, Instant};

use tonic_types::StatusExt;

use crate::ops::{client::shell, crash::shift::Shift, gate::eventually, house::House};

/// How long PostgreSQL hangs: longer than a unit of database work may take.
const HANG: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_postgresql_that_is_killed_and_started_again_costs_no_run() {
    let mut house = House::with_own_postgresql().await;
    house.serve(&[]);
    let mut shift = Shift::begin(&mut house, 12).await;

    house.postgresql().kill_hard().await.unwrap();
    let died = Instant::now();
    // Half of the programs end while there is no database to report to.
    shift.end_early_ones().await;
    let unready = eventually("not ready", || !house.servers[0].is_ready()).await;
    let refused = house.client().enqueue(shell(&shift.session, "true")).await.unwrap_err();
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "DATABASE_UNAVAILABLE", "{refused:?}");
    house.postgresql().restart().await.unwrap();
    let away = died.elapsed();
    let ready = eventually("ready again", || house.servers[0].is_ready()).await;
    shift.end_all(&house.client()).await;
    println!("away for {away:?}; not ready after {unready:?}, ready again after {ready:?}");
}

#[tokio::test]
async fn a_postgresql_that_hangs_for_15_s_costs_no_run() {
    let mut house = House::with_own_postgresql().await;
    house.serve(&[]);
    let mut shift = Shift::begin(&mut house, 12).await;

    house.postgresql().pause().await.unwrap();
    let hung = Instant::now();
    shift.end_early_ones().await;
    let unready = eventually("not ready", || !house.servers[0].is_ready()).await;
    assert!(hung.elapsed() < HANG, "it was noticed in time: {unready:?}");
    tokio::time::sleep(HANG.saturating_sub(hung.elapsed())).await;
    house.postgresql().resume().await.unwrap();
    let ready = eventually("ready again", || house.servers[0].is_ready()).await;
    shift.end_all(&house.client()).await;
    println!("not ready after {unready:?}, ready again after {ready:?}");
}
