//! Parsers for single values of the command line. Each error says what was expected.

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use proto::v1;
use serde::de::IgnoredAny;

use super::listen::ListenAddress;
use crate::errors::UsageError;

/// A lane by its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Lane {
    A,
    B,
    C,
    D,
}

impl From<Lane> for v1::Lane {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::A => Self::A,
            Lane::B => Self::B,
            Lane::C => Self::C,
            Lane::D => Self::D,
        }
    }
}

impl From<Lane> for worker::Lane {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::A => Self::A,
            Lane::B => Self::B,
            Lane::C => Self::C,
            Lane::D => Self::D,
        }
    }
}

/// A label as `KEY=VALUE`. The value may hold further equal signs and may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("expected KEY=VALUE".to_owned()),
        }
    }
}

/// A duration with its unit, as `250ms`, `30s`, `5m` or `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("expected a duration such as `30s` or `5m`: {error}"))
}

/// An address to listen on: an address or name and a port, or a port on loopback.
pub(crate) fn port_or_address(text: &str) -> Result<ListenAddress, String> {
    if let Ok(port) = text.parse() {
        return Ok(ListenAddress::on_loopback(port));
    }
    text.parse().map_err(|_| "expected a port such as `9090`, or an address such as `10.0.0.5:9090`".to_owned())
}

/// A ratio from 0 to 1.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// A time: RFC 3339, or `+` and a duration from now by this machine's clock.
pub(crate) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Some(from_now) = text.strip_prefix('+') {
        let span = chrono::Duration::from_std(duration(from_now)?).map_err(|_| "too far in the future".to_owned())?;
        return Utc::now().checked_add_signed(span).ok_or_else(|| "too far in the future".to_owned());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.with_timezone(&Utc))
        .map_err(|error| format!("expected a time such as `2030-01-31T12:00:00Z`, or `+5m` from now: {error}"))
}

/// A JSON text: on the command line itself, in `@FILE`, or `-` for standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonInput {
    Text(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for JsonInput {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-" {
            Ok(Self::Stdin)
        } else if let Some(path) = text.strip_prefix('@') {
            Ok(Self::File(PathBuf::from(path)))
        } else {
            check_json(text)?;
            Ok(Self::Text(text.to_owned()))
        }
    }
}

impl JsonInput {
    /// The text unchanged, so that large integers keep their value.
    pub(crate) fn read(&self) -> Result<String, UsageError> {
        let (text, origin) = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::File(path) => (fs::read_to_string(path), path.display().to_string()),
            Self::Stdin => {
                let mut text = String::new();
                (io::stdin().lock().read_to_string(&mut text).map(|_| text), "standard input".to_owned())
            }
        };
        let text = text.map_err(|error| UsageError::new(format!("can not read {origin}: {error}")))?;
        check_json(&text).map_err(|error| UsageError::new(format!("{origin}: {error}")))?;
        Ok(text)
    }
}

fn check_json(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| format!("expected JSON, `@FILE`, or `-` for standard input: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_keeps_further_equal_signs_in_its_value() {
        assert_eq!("a=b=c".parse(), Ok(Label { key: "a".to_owned(), value: "b=c".to_owned() }));
        assert_eq!("a=".parse(), Ok(Label { key: "a".to_owned(), value: String::new() }));
    }

    #[test]
    fn a_label_needs_a_key_and_an_equal_sign() {
        assert!("a".parse::<Label>().is_err());
        assert!("=b".parse::<Label>().is_err());
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("90").is_err());
    }

    #[test]
    fn a_moment_is_absolute_or_counted_from_now() {
        let expected = DateTime::from_timestamp(1_893_456_000, 0).unwrap();
        assert_eq!(moment("2030-01-01T02:00:00+02:00"), Ok(expected));
        let soon = moment("+1h").unwrap() - Utc::now();
        assert!(soon > chrono::Duration::minutes(59) && soon <= chrono::Duration::hours(1));
        assert!(moment("tomorrow").is_err());
        assert!(moment("+300000000y").is_err());
    }

    #[test]
    fn a_json_value_names_its_origin_by_its_first_character() {
        assert_eq!("-".parse(), Ok(JsonInput::Stdin));
        assert_eq!("@a/b.json".parse(), Ok(JsonInput::File(PathBuf::from("a/b.json"))));
        assert_eq!("{\"a\":1}".parse(), Ok(JsonInput::Text("{\"a\":1}".to_owned())));
        assert!("{a".parse::<JsonInput>().is_err());
    }

    #[test]
    fn json_from_a_file_is_checked_and_kept_to_the_letter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("params.json");
        fs::write(&path, "{ \"n\": 123456789012345678901234567890 }\n").unwrap();
        let text = JsonInput::File(path.clone()).read().unwrap();
        assert_eq!(text, "{ \"n\": 123456789012345678901234567890 }\n");
        fs::write(&path, "{").unwrap();
        assert!(JsonInput::File(path).read().unwrap_err().to_string().contains("params.json"));
    }
}
