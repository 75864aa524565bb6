//! Bad durations and times.

use prost_types::{Duration, Timestamp};

/// Invalid durations, and durations beyond the limit of every field.
pub const BAD_DURATIONS: [(&str, Duration); 9] = [
    ("the longest", Duration { seconds: i64::MAX, nanos: 999_999_999 }),
    ("the shortest", Duration { seconds: i64::MIN, nanos: -999_999_999 }),
    ("out of any bounds", Duration { seconds: i64::MIN, nanos: i32::MIN }),
    ("negative", Duration { seconds: -1, nanos: 0 }),
    ("negative by a nanosecond", Duration { seconds: 0, nanos: -1 }),
    ("of mixed sign", Duration { seconds: 1, nanos: -1 }),
    ("of mixed sign, the other way", Duration { seconds: -1, nanos: 1 }),
    ("of a second in nanoseconds", Duration { seconds: 0, nanos: 1_000_000_000 }),
    ("of 10,000 years and more", Duration { seconds: 315_576_000_001, nanos: 0 }),
];

/// Invalid times, and times that can not be stored.
pub const BAD_TIMES: [(&str, Timestamp); 6] = [
    ("in the year 10000", Timestamp { seconds: 253_402_300_800, nanos: 0 }),
    ("before the year 1", Timestamp { seconds: -62_135_596_801, nanos: 0 }),
    ("the last", Timestamp { seconds: i64::MAX, nanos: 999_999_999 }),
    ("the first", Timestamp { seconds: i64::MIN, nanos: 0 }),
    ("of negative nanoseconds", Timestamp { seconds: 0, nanos: -1 }),
    ("of a second in nanoseconds", Timestamp { seconds: 0, nanos: 1_000_000_000 }),
];
