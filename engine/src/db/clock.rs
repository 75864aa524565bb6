//! The clock of the database, as this server knows it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// If the database's clock goes back by more than this, ids go back with it. Otherwise they stay in order.
const SET_BACK_US: i64 = 1_000_000;

/// Makes ids by the database's clock, so that their order is the same whichever server made them and however wrong its clock is.
#[derive(Debug, Clone)]
pub struct DatabaseClock {
    /// How far the database's clock is ahead of this machine's.
    ahead_us: Arc<AtomicI64>,
    /// Keeps the ids of one millisecond in order.
    context: Arc<Mutex<ContextV7>>,
}

impl Default for DatabaseClock {
    fn default() -> Self {
        Self { ahead_us: Arc::default(), context: Arc::new(Mutex::new(context())) }
    }
}

fn context() -> ContextV7 {
    ContextV7::new().with_additional_precision()
}

impl DatabaseClock {
    /// Notes the time of the database at some moment since `asked`. The clocks count as before, if that can be: an answer that takes long
    /// proves little. So the error is at most as long as the fastest answer takes.
    pub fn note(&self, database: DateTime<Utc>, asked: SystemTime) {
        let (database, asked, answered) = (database.timestamp_micros(), micros(asked), micros(SystemTime::now()));
        let (least, most) = (database.saturating_sub(answered), database.saturating_sub(asked));
        let before = self.ahead_us.load(Ordering::Relaxed);
        let ahead = if (least..=most).contains(&before) { before } else { least + (most - least) / 2 };
        self.ahead_us.store(ahead, Ordering::Relaxed);
        if ahead < before - SET_BACK_US {
            // It would stay at the time before.
            *self.context.lock().unwrap_or_else(PoisonError::into_inner) = context();
        }
    }

    /// A new id: a UUIDv7. Lists are ordered by it.
    pub fn new_id(&self) -> Uuid {
        let now = micros(SystemTime::now()).saturating_add(self.ahead_us.load(Ordering::Relaxed)).max(0);
        let (seconds, nanos) = (now / 1_000_000, (now % 1_000_000) * 1_000);
        let seconds = u64::try_from(seconds).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(&*self.context, seconds, u32::try_from(nanos).unwrap_or_default()))
    }
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn seconds(id: Uuid) -> i64 {
        i64::try_from(id.get_timestamp().expect("it has a time").to_unix().0).expect("it is near")
    }

    #[test]
    fn ids_follow_the_clock_of_the_database_and_are_in_order() {
        for ahead in [TimeDelta::hours(1), TimeDelta::hours(-1)] {
            let clock = DatabaseClock::default();
            let now = Utc::now();
            assert!((seconds(clock.new_id()) - now.timestamp()).abs() <= 60);
            clock.note(now + ahead, now.into());
            let ids: Vec<_> = (0..1_000).map(|_| clock.new_id()).collect();
            assert!(ids.is_sorted());
            assert!((seconds(ids[0]) - (now + ahead).timestamp()).abs() <= 60);
        }
    }
}
