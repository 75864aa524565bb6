//! Typed params: a deserializer of JSON values. Its errors name the field, the expected type and the value that came.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
    value::BorrowedStrDeserializer,
};
use serde_json::{Number, Value};

use crate::api::failure::HandlerError;

/// Reads `params` as a `T`.
///
/// # Errors
/// `InvalidParams`, such as "params.env.PATH: expected a string, got 3".
pub(crate) fn from_value<T: DeserializeOwned>(params: &Value) -> Result<T, HandlerError> {
    T::deserialize(At { value: params, path: Path::Root })
        .map_err(|error| HandlerError::invalid_params(error.located("params".into()).to_string()))
}

/// The place of a value.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("params"),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value and its place.
#[derive(Clone, Copy)]
struct At<'de, 'p> {
    value: &'de Value,
    path: Path<'p>,
}

#[derive(Debug)]
struct Wrong {
    path: Option<String>,
    message: String,
}

impl Wrong {
    /// Sets the place, unless an inner one is set.
    fn located(mut self, path: String) -> Self {
        self.path.get_or_insert(path);
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.as_deref().unwrap_or("params"), self.message)
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {expected}, got {}", in_json_words(got)))
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(got, expected)
    }
}

fn in_json_words(got: Unexpected<'_>) -> String {
    match got {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(value) => format!("{value:?}"),
        Unexpected::Unit | Unexpected::Option => "null".into(),
        Unexpected::Seq => "an array".into(),
        Unexpected::Map => "an object".into(),
        other => other.to_string(),
    }
}

impl<'de> Deserializer<'de> for At<'de, '_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => {
                if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else if let Some(value) = exact_float(number) {
                    visitor.visit_f64(value)
                } else {
                    // serde_json's own deserializer keeps all digits of other numbers.
                    number.deserialize_any(visitor).map_err(Wrong::custom)
                }
            }
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), path: self.path }),
            Value::Object(fields) => visitor.visit_map(Fields { fields: fields.iter(), next: None, path: self.path }),
        }
        .map_err(|error| error.located(self.path.to_string()))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        // For a float the nearest value is enough.
        match self.value.as_f64() {
            Some(value) => visitor.visit_f64(value).map_err(|error: Wrong| error.located(self.path.to_string())),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.value
            .deserialize_enum(name, variants, visitor)
            .map_err(|error| Wrong::custom(error).located(self.path.to_string()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The number as a float, if no digit is lost.
fn exact_float(number: &Number) -> Option<f64> {
    let value = number.as_f64()?;
    (Number::from_f64(value).as_ref() == Some(number)).then_some(value)
}

struct Items<'de, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
    path: Path<'p>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        seed.deserialize(At { value, path: Path::Index(&self.path, index) }).map(Some)
    }
}

struct Fields<'de, 'p> {
    fields: serde_json::map::Iter<'de>,
    next: Option<(&'de str, &'de Value)>,
    path: Path<'p>,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.next = Some((name, value));
        let key: BorrowedStrDeserializer<'de, Wrong> = BorrowedStrDeserializer::new(name);
        // An error here is an unknown field: name its place, and not its parent's.
        seed.deserialize(key).map(Some).map_err(|error| error.located(Path::Field(&self.path, name).to_string()))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let (name, value) = self.next.take().ok_or_else(|| Wrong::custom("a value without its key"))?;
        seed.deserialize(At { value, path: Path::Field(&self.path, name) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        command: String,
        #[serde(default)]
        env: BTreeMap<String, String>,
        #[serde(default)]
        argv: Vec<String>,
        timeout: Option<f64>,
        mode: Option<Mode>,
        count: Option<Number>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
    }

    fn wrong(params: Value) -> String {
        match from_value::<Params>(&params) {
            Err(HandlerError::Failed(failure)) if failure.permanent => failure.message,
            other => panic!("expected InvalidParams, got {other:?}"),
        }
    }

    #[test]
    fn good_params_are_read() {
        let params = json!({ "command": "x", "env": { "A": "b" }, "argv": ["c"], "timeout": 2, "mode": "fast" });
        let read: Params = from_value(&params).unwrap();
        assert_eq!((read.env["A"].as_str(), read.argv[0].as_str(), read.timeout), ("b", "c", Some(2.0)));
        assert_eq!(read.mode, Some(Mode::Fast));
    }

    #[test]
    fn big_numbers_keep_their_digits() {
        let params: Value = serde_json::from_str(r#"{"command":"x","count":123456789012345678901234567890}"#).unwrap();
        let read: Params = from_value(&params).unwrap();
        assert_eq!(read.count.unwrap().to_string(), "123456789012345678901234567890");
        let params: Value = serde_json::from_str(r#"{"command":"x","count":1.50,"timeout":1.50}"#).unwrap();
        let read: Params = from_value(&params).unwrap();
        assert_eq!((read.count.unwrap().to_string().as_str(), read.timeout), ("1.50", Some(1.5)));
    }

    #[test]
    fn errors_name_the_field_what_was_expected_and_what_came() {
        let path = json!({ "command": "x", "env": { "PATH": 3 } });
        assert_eq!(wrong(path), "params.env.PATH: expected a string, got 3");
        assert_eq!(
            wrong(json!({ "command": "x", "argv": ["a", {}] })),
            "params.argv[1]: expected a string, got an object"
        );
        assert_eq!(wrong(json!({ "command": null })), "params.command: expected a string, got null");
        assert_eq!(wrong(json!({})), "params: missing field `command`");
        assert!(wrong(json!({ "comand": "x" })).starts_with("params.comand: unknown field"));
        assert!(wrong(json!({ "command": "x", "mode": "slow" })).starts_with("params.mode: unknown variant"));
    }
}
