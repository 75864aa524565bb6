use std::time::{Duration, Instant};

use crate::ops::{client::shell, crash::shift::Shift, gate::eventually, house::House};

// The times that are slept through here are the faults themselves: how long it lasts is what a lease has to outlive, and no
// signal stands for it. Nothing is waited for in this way.

/// How long PostgreSQL is away: longer than a lease.
const OUTAGE: Duration = Duration::from_secs(40);
/// How long PostgreSQL hangs: longer than a unit of database work may take.
const HANG: Duration = Duration::from_secs(15);
const SEVERAL_SHORT_LEASES: Duration = Duration::from_secs(6);
/// How soon whoever asks learns that there is no database.
const NOTICED: Duration = Duration::from_secs(6);

/// The server was there all the time and has said so: no worker had to come again.
fn assert_same_streams(house: &House) {
    for worker in &house.workers {
        assert_eq!(worker.journal.events("connected").len(), 1, "{:?}", worker.journal);
    }
}

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
    assert!(unready < NOTICED, "{unready:?}");
    let asked = Instant::now();
    let refused = house.client().enqueue(shell(&shift.session, "true")).await.unwrap_err();
    assert_eq!(client::reason(&refused).as_deref(), Some("DATABASE_UNAVAILABLE"), "{refused:?}");
    let answered = asked.elapsed();
    assert!(answered < NOTICED, "{answered:?}");
    tokio::time::sleep(OUTAGE.saturating_sub(died.elapsed())).await;
    house.postgresql().restart().await.unwrap();
    let away = died.elapsed();
    let ready = eventually("ready again", || house.servers[0].is_ready()).await;
    shift.end_all(&house.client()).await;
    assert_same_streams(&house);
    println!(
        "away for {away:?}; not ready after {unready:?}, call refused after {answered:?}, ready again after {ready:?}"
    );
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
    assert!(unready < NOTICED, "{unready:?}");
    tokio::time::sleep(HANG.saturating_sub(hung.elapsed())).await;
    house.postgresql().resume().await.unwrap();
    let ready = eventually("ready again", || house.servers[0].is_ready()).await;
    shift.end_all(&house.client()).await;
    assert_same_streams(&house);
    println!("not ready after {unready:?}, ready again after {ready:?}");
}

#[tokio::test]
async fn a_short_lease_outlives_a_postgresql_that_hangs_and_then_dies() {
    let mut house = House::with_own_postgresql().await;
    house.serve(&["--lease-timeout", "2s"]);
    let mut shift = Shift::begin(&mut house, 4).await;
    house.postgresql().pause().await.unwrap();
    shift.end_early_ones().await;
    tokio::time::sleep(SEVERAL_SHORT_LEASES).await;
    house.postgresql().kill_hard().await.unwrap();
    tokio::time::sleep(SEVERAL_SHORT_LEASES).await;
    house.postgresql().restart().await.unwrap();
    shift.end_all(&house.client()).await;
    assert_same_streams(&house);
}
