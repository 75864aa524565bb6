//! Durations and times.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::edge::convert::{Fields, Path};

/// The seconds that a `Timestamp` can have: the years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

const NANOS: i32 = 1_000_000_000;

impl Fields<'_> {
    /// A duration from `min` to `max`, in whole milliseconds.
    pub fn duration(&mut self, path: Path<'_>, value: prost_types::Duration, min: Duration, max: Duration) -> Duration {
        let prost_types::Duration { seconds, nanos } = value;
        if nanos <= -NANOS || nanos >= NANOS {
            self.bad(path, format!("expected nanos between -999999999 and 999999999, got {nanos}"));
            return min;
        }
        if (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
            self.bad(path, format!("expected seconds and nanos of one sign, got {seconds} and {nanos}"));
            return min;
        }
        let (Ok(whole), Ok(part)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
            self.bad(path, format!("expected {min:?} to {max:?}, got a negative duration"));
            return min;
        };
        let duration = Duration::new(whole, part);
        if duration < min || duration > max {
            self.bad(path, format!("expected {min:?} to {max:?}, got {duration:?}"));
            return min;
        }
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// As [`Fields::duration`]; `default` if it is unset.
    pub fn duration_or(
        &mut self,
        path: Path<'_>,
        value: Option<prost_types::Duration>,
        default: Duration,
        min: Duration,
        max: Duration,
    ) -> Duration {
        value.map_or(default, |value| self.duration(path, value, min, max))
    }

    /// A time in the years 1 to 9999. It is cut to microseconds, which is what the database keeps.
    pub fn timestamp(&mut self, path: Path<'_>, value: prost_types::Timestamp) -> DateTime<Utc> {
        let prost_types::Timestamp { seconds, nanos } = value;
        if !TIMESTAMP_SECONDS.contains(&seconds) {
            self.bad(path, format!("expected a time in the years 1 to 9999, got {seconds} seconds since 1970"));
        } else if !(0..NANOS).contains(&nanos) {
            self.bad(path, format!("expected nanos from 0 to 999999999, got {nanos}"));
        } else {
            let nanos = u32::try_from(nanos).unwrap_or_default() / 1_000 * 1_000;
            return DateTime::from_timestamp(seconds, nanos).unwrap_or_default();
        }
        DateTime::default()
    }
}

/// A time as a message of the contract.
pub fn timestamp_out(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(NANOS - 1).min(NANOS - 1),
    }
}

/// A duration as a message of the contract.
pub fn duration_out(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use engine::domain::Limits;
    use engine::domain::violation::Violations;

    fn duration(seconds: i64, nanos: i32) -> Result<Duration, Violations> {
        let limits = Limits::default();
        let mut fields = Fields::new(&limits);
        let value = prost_types::Duration { seconds, nanos };
        let duration = fields.duration(Path::Root.field("timeout"), value, Duration::ZERO, Duration::from_secs(60));
        fields.finish(duration)
    }

    fn timestamp(seconds: i64, nanos: i32) -> Result<DateTime<Utc>, Violations> {
        let limits = Limits::default();
        let mut fields = Fields::new(&limits);
        let time = fields.timestamp(Path::Root.field("run_after_time"), prost_types::Timestamp { seconds, nanos });
        fields.finish(time)
    }

    #[test]
    fn durations_have_one_sign_and_bounds() {
        assert_eq!(duration(1, 500_000_999), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration(0, 0), Ok(Duration::ZERO));
        assert_eq!(duration(60, 0), Ok(Duration::from_secs(60)));
        let bad = [
            (60, 1),
            (-1, 0),
            (0, -1),
            (1, -1),
            (-1, 1),
            (i64::MAX, 0),
            (i64::MIN, 0),
            (i64::MIN, i32::MIN),
            (0, NANOS),
        ];
        for (seconds, nanos) in bad {
            assert!(duration(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn times_are_in_the_years_1_to_9999() {
        assert_eq!(timestamp(0, 1_999).map(|time| time.timestamp_subsec_nanos()), Ok(1_000));
        assert!(timestamp(253_402_300_799, 999_999_999).is_ok());
        for (seconds, nanos) in
            [(253_402_300_800, 0), (-62_135_596_801, 0), (i64::MAX, 0), (i64::MIN, -1), (0, -1), (0, NANOS)]
        {
            assert!(timestamp(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_read_back(seconds in TIMESTAMP_SECONDS, micros in 0..1_000_000) {
            let time = timestamp(seconds, micros * 1_000).expect("a time");
            let out = timestamp_out(time);
            prop_assert_eq!((out.seconds, out.nanos), (seconds, micros * 1_000));
        }

        #[test]
        fn no_duration_panics(seconds in any::<i64>(), nanos in any::<i32>()) {
            let _ = duration(seconds, nanos);
        }
    }
}
