//! The expected statuses: codes such as 404, and classes such as `2xx`.

use std::fmt;

use hyper::StatusCode;
use serde_json::Value;

/// One or more codes and classes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expect(Vec<Pattern>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pattern {
    Code(u16),
    /// The first digit.
    Class(u16),
}

impl Default for Expect {
    fn default() -> Self {
        Self(vec![Pattern::Class(2)])
    }
}

impl Expect {
    /// # Errors
    /// A message with the expected form and the value that came.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let patterns: Option<Vec<_>> = items.iter().map(pattern).collect();
        match patterns {
            Some(patterns) if !patterns.is_empty() => Ok(Self(patterns)),
            _ => {
                Err(format!("expected a status such as 204, a class such as \"2xx\", or a list of these, got {value}"))
            }
        }
    }

    pub(super) fn accepts(&self, status: StatusCode) -> bool {
        let code = status.as_u16();
        self.0.iter().any(|pattern| match pattern {
            Pattern::Code(expected) => *expected == code,
            Pattern::Class(class) => *class == code / 100,
        })
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match pattern {
                Pattern::Code(code) => write!(f, "{comma}{code}")?,
                Pattern::Class(class) => write!(f, "{comma}{class}xx")?,
            }
        }
        Ok(())
    }
}

fn pattern(value: &Value) -> Option<Pattern> {
    match value {
        Value::Number(number) => {
            let code = number.as_u64().and_then(|code| u16::try_from(code).ok())?;
            (200..=599).contains(&code).then_some(Pattern::Code(code))
        }
        Value::String(text) => {
            let (class, rest) = text.split_at_checked(1)?;
            let class = class.parse().ok().filter(|class| (2..=5).contains(class))?;
            rest.eq_ignore_ascii_case("xx").then_some(Pattern::Class(class))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_and_classes_are_read_and_the_rest_is_refused() {
        let accepts =
            |value: Value, code: u16| Expect::read(&value).unwrap().accepts(StatusCode::from_u16(code).unwrap());
        assert!(accepts(json!(404), 404) && !accepts(json!(404), 405));
        assert!(accepts(json!("2xx"), 200) && accepts(json!("2XX"), 299) && !accepts(json!("2xx"), 300));
        assert!(accepts(json!(["2xx", 404]), 404) && accepts(json!(["2xx", 404]), 204));
        for value in
            [json!([]), json!(99), json!(100), json!(600), json!(2.5), json!("2x"), json!("6xx"), json!("é"), json!({})]
        {
            assert!(Expect::read(&value).unwrap_err().starts_with("expected a status"), "{value}");
        }
        assert_eq!(Expect::read(&json!(["2xx", 404])).unwrap().to_string(), "2xx, 404");
    }
}
