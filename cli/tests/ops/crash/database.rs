use std::time::{Duration, Instant};

use crate::ops::{client::shell, crash::shift::Shift, fixture::Fixture, gate::eventually};

// The sleeps here are the faults themselves: a lease must outlive an outage of this duration. No sleep waits for a
// condition.

/// The duration of the outage: longer than a lease.
const OUTAGE: Duration = Duration::from_secs(40);
/// The duration of the hang: longer than the deadline of database work.
const HANG: Duration = Duration::from_secs(15);
const SEVERAL_SHORT_LEASES: Duration = Duration::from_secs(6);
/// The time within which a caller gets an error about the database.
const NOTICED: Duration = Duration::from_secs(6);

/// Every worker connected once: the server was there all the time.
fn assert_same_streams(fixture: &Fixture) {
    for worker in &fixture.workers {
        assert_eq!(worker.journal.events("connected").len(), 1, "{:?}", worker.journal);
    }
}

#[tokio::test]
async fn a_postgresql_that_is_killed_and_started_again_costs_no_run() {
    let mut fixture = Fixture::with_own_postgresql().await;
    fixture.serve(&[]);
    let mut shift = Shift::begin(&mut fixture, 12).await;

    fixture.postgresql().kill_hard().await.unwrap();
    let died = Instant::now();
    // Half of the programs end while the database is away.
    shift.end_early_ones().await;
    let unready = eventually("not ready", || !fixture.servers[0].is_ready()).await;
    assert!(unready < NOTICED, "{unready:?}");
    let asked = Instant::now();
    let refused = fixture.client().enqueue(shell(&shift.session, "true")).await.unwrap_err();
    assert_eq!(client::reason(&refused).as_deref(), Some("DATABASE_UNAVAILABLE"), "{refused:?}");
    let answered = asked.elapsed();
    assert!(answered < NOTICED, "{answered:?}");
    tokio::time::sleep(OUTAGE.saturating_sub(died.elapsed())).await;
    fixture.postgresql().restart().await.unwrap();
    let away = died.elapsed();
    let ready = eventually("ready again", || fixture.servers[0].is_ready()).await;
    shift.end_all(&fixture.client()).await;
    assert_same_streams(&fixture);
    println!(
        "away for {away:?}; not ready after {unready:?}, call refused after {answered:?}, ready again after {ready:?}"
    );
}

#[tokio::test]
async fn a_postgresql_that_hangs_for_15_s_costs_no_run() {
    let mut fixture = Fixture::with_own_postgresql().await;
    fixture.serve(&[]);
    let mut shift = Shift::begin(&mut fixture, 12).await;

    fixture.postgresql().pause().await.unwrap();
    let hung = Instant::now();
    shift.end_early_ones().await;
    let unready = eventually("not ready", || !fixture.servers[0].is_ready()).await;
    assert!(unready < NOTICED, "{unready:?}");
    tokio::time::sleep(HANG.saturating_sub(hung.elapsed())).await;
    fixture.postgresql().resume().await.unwrap();
    let ready = eventually("ready again", || fixture.servers[0].is_ready()).await;
    shift.end_all(&fixture.client()).await;
    assert_same_streams(&fixture);
    println!("not ready after {unready:?}, ready again after {ready:?}");
}

#[tokio::test]
async fn a_short_lease_outlives_a_postgresql_that_hangs_and_then_dies() {
    let mut fixture = Fixture::with_own_postgresql().await;
    fixture.serve(&["--lease-timeout", "2s"]);
    let mut shift = Shift::begin(&mut fixture, 4).await;
    fixture.postgresql().pause().await.unwrap();
    shift.end_early_ones().await;
    tokio::time::sleep(SEVERAL_SHORT_LEASES).await;
    fixture.postgresql().kill_hard().await.unwrap();
    tokio::time::sleep(SEVERAL_SHORT_LEASES).await;
    fixture.postgresql().restart().await.unwrap();
    shift.end_all(&fixture.client()).await;
    assert_same_streams(&fixture);
}
