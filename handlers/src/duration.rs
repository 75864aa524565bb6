//! A duration in params: seconds as a number, or text such as "1m 30s".

use std::{fmt, time::Duration};

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Longer than any attempt may take. The limit keeps sums of durations in range.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A duration of up to a year.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DurationParam(pub(crate) Duration);

impl<'de> Deserialize<'de> for DurationParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // For a float, the deserializer of the params converts any number. Text still comes as text.
        deserializer.deserialize_f64(DurationVisitor).map(Self)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration of up to a year, as seconds or as text such as \"1m 30s\"")
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= LONGEST);
        duration.ok_or_else(|| E::invalid_value(Unexpected::Float(seconds), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        let duration = humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST);
        duration.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use worker::{HandlerError, Probe};

    use super::*;

    fn read(value: Value) -> Result<DurationParam, HandlerError> {
        Probe::with_params(value).0.params()
    }

    #[test]
    fn seconds_and_text_are_read_and_the_rest_is_refused() {
        for (value, expected) in [
            (json!(2), 2000),
            (json!(0.5), 500),
            (serde_json::from_str("1.50").unwrap(), 1500),
            (json!("1m 30s"), 90_000),
            (json!("5ms"), 5),
        ] {
            let read: DurationParam = read(value).unwrap();
            assert_eq!(read.0, Duration::from_millis(expected));
        }
        for value in [json!(-1), json!(-0.5), json!("soon"), json!(1e300), json!(null), json!({})] {
            let Err(HandlerError::Failed(failure)) = read(value.clone()) else { panic!("{value} was read") };
            assert!(failure.message.starts_with("params: expected a duration"), "{}", failure.message);
        }
    }
}
