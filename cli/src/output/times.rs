//! Times and durations of the contract as text for people.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;

/// The time of a timestamp; none if it is not set or out of range.
pub(crate) fn moment(time: Option<&Timestamp>) -> Option<DateTime<Utc>> {
    let time = time?;
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

/// The duration from one time to a later one; none if either is not set, zero if the second is earlier.
pub(crate) fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Option<Duration> {
    Some((moment(to)? - moment(from)?).to_std().unwrap_or_default())
}

/// The time since then, by this machine's clock.
pub(crate) fn since(time: Option<&Timestamp>) -> Option<Duration> {
    Some((Utc::now() - moment(time)?).to_std().unwrap_or_default())
}

/// A time with its zone, as `2030-01-31T12:00:00.000Z`; empty if it is not set.
pub(crate) fn absolute(time: Option<&Timestamp>) -> String {
    moment(time).map_or_else(String::new, |moment| moment.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// A duration as `3 ms`, `1.25 s`, `4m 05s`, `3h 12m` or `5d 2h`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.as_millis() < 10 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{:.2} s", span.as_secs_f64()),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A duration in its largest unit, as `12s`, `3m`, `5h` or `2d`.
pub(crate) fn age(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A duration of the contract; none if it is not set or negative.
pub(crate) fn positive(span: Option<&prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(*span?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_spelled_with_two_figures_that_matter() {
        let spelled = |millis| span(Duration::from_millis(millis));
        assert_eq!(spelled(0), "0.0 ms");
        assert_eq!(spelled(999), "999 ms");
        assert_eq!(spelled(1_250), "1.25 s");
        assert_eq!(spelled(245_000), "4m 05s");
        assert_eq!(spelled(11_520_000), "3h 12m");
        assert_eq!(spelled(439_200_000), "5d 2h");
    }

    #[test]
    fn a_clock_that_runs_behind_gives_no_negative_span() {
        let time = |seconds| Timestamp { seconds, nanos: 0 };
        assert_eq!(between(Some(&time(9)), Some(&time(7))), Some(Duration::ZERO));
        assert_eq!(between(Some(&time(7)), Some(&time(9))), Some(Duration::from_secs(2)));
        assert_eq!(between(None, Some(&time(9))), None);
    }
}
