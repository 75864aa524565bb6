//! Gives memory back to the system.
//!
//! The allocator of the C library keeps what its threads have freed, in an area for each of them. Without this, a server would stay at
//! its peak for ever.

use std::time::Duration;

use engine::db::Db;
use tokio_util::sync::CancellationToken;

use crate::telemetry::process;

/// How often the server looks. To give memory back takes a few milliseconds.
const INTERVAL: Duration = Duration::from_secs(10);

/// A change of the used memory that is worth a try: it has grown by this since the last try, or the last try gave so much back.
const CHANGE_BYTES: i64 = 8 << 20;

/// Without such a change, every so many intervals there is a try all the same: what was freed since does not show.
const TRY_ANYWAY: u32 = 6;

/// Gives memory back now and then, until `closing`.
pub async fn give_back(db: Db, closing: CancellationToken) {
    let (mut left, mut gain, mut looks) = (resident(), 0, 0);
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = closing.cancelled() => return,
        }
        looks += 1;
        let now = resident();
        if now < left.saturating_add(CHANGE_BYTES) && gain < CHANGE_BYTES && looks < TRY_ANYWAY {
            continue;
        }
        db.shrink();
        // It fails only if it panics, which it does not.
        let _ = tokio::task::spawn_blocking(trim).await;
        left = resident();
        (gain, looks) = (now - left, 0);
    }
}

fn resident() -> i64 {
    process::usage().map_or(0, |usage| usage.resident_bytes)
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: it takes the allocator's own locks, and changes nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries keep little.
#[cfg(not(target_env = "gnu"))]
fn trim() {}
