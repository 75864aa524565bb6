//! JSON fields. A caller sends them as text or as a structure, which is easier to type by hand.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::edge::convert::{Fields, Path};
use engine::domain::json::{Shape, check};

/// Integers below this are exact as doubles, and are written as integers.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

impl Fields<'_> {
    /// JSON text; `when_empty` if it is empty.
    pub fn json(&mut self, path: Path<'_>, text: String, shape: Shape, max: usize, when_empty: &str) -> String {
        if text.is_empty() {
            return when_empty.to_owned();
        }
        self.check(path, check(&text, shape, max, self.limits.json_depth));
        text
    }

    /// The text of a JSON object; `None` if it is empty.
    pub fn optional_object(&mut self, path: Path<'_>, text: String, max: usize) -> Option<String> {
        (!text.is_empty()).then(|| self.json(path, text, Shape::Object, max, "{}"))
    }

    /// A structure, converted to JSON text.
    pub fn structure(&mut self, path: Path<'_>, structure: Struct, max: usize) -> String {
        let mut text = String::new();
        match write_object(&mut text, structure, self.limits.json_depth) {
            Ok(()) => self.json(path, text, Shape::Object, max, "{}"),
            Err(why) => {
                self.bad(path, why);
                "{}".to_owned()
            }
        }
    }
}

fn write_object(out: &mut String, object: Struct, depth: usize) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or("expected a structure that is nested less deep")?;
    out.push('{');
    for (index, (key, value)) in object.fields.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(out, &key)?;
        out.push(':');
        write_value(out, value, depth)?;
    }
    out.push('}');
    Ok(())
}

fn write_list(out: &mut String, list: ListValue, depth: usize) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or("expected a structure that is nested less deep")?;
    out.push('[');
    for (index, value) in list.values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_value(out, value, depth)?;
    }
    out.push(']');
    Ok(())
}

fn write_value(out: &mut String, value: Value, depth: usize) -> Result<(), String> {
    match value.kind {
        Some(Kind::NullValue(_)) => out.push_str("null"),
        Some(Kind::BoolValue(value)) => out.push_str(if value { "true" } else { "false" }),
        Some(Kind::StringValue(text)) => write_string(out, &text)?,
        Some(Kind::NumberValue(number)) => out.push_str(&number_text(number)?),
        Some(Kind::StructValue(object)) => write_object(out, object, depth)?,
        Some(Kind::ListValue(list)) => write_list(out, list, depth)?,
        None => return Err("expected each value of the structure to be set, got one that is not".into()),
    }
    Ok(())
}

fn write_string(out: &mut String, text: &str) -> Result<(), String> {
    out.push_str(&serde_json::to_string(text).map_err(|error| error.to_string())?);
    Ok(())
}

fn number_text(number: f64) -> Result<String, String> {
    if !number.is_finite() {
        return Err(format!("expected finite numbers, got {number}"));
    }
    if number.fract() == 0.0 && number.abs() < EXACT_INTEGERS {
        return Ok((number as i64).to_string());
    }
    serde_json::to_string(&number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::domain::Limits;
    use engine::domain::violation::Violations;

    fn structure(kind: Option<Kind>) -> Result<String, Violations> {
        let limits = Limits::default();
        let mut fields = Fields::new(&limits);
        let object = Struct { fields: [("a\"b".to_owned(), Value { kind })].into() };
        let text = fields.structure(Path::Root.field("params_struct"), object, limits.params);
        fields.finish(text)
    }

    #[test]
    fn integral_numbers_are_written_as_integers() {
        let written = |number| structure(Some(Kind::NumberValue(number)));
        assert_eq!(written(3.0).as_deref(), Ok(r#"{"a\"b":3}"#));
        assert_eq!(written(-0.0).as_deref(), Ok(r#"{"a\"b":0}"#));
        assert_eq!(written(0.5).as_deref(), Ok(r#"{"a\"b":0.5}"#));
        assert_eq!(written(1e300).as_deref(), Ok(r#"{"a\"b":1e+300}"#));
    }

    #[test]
    fn values_that_json_does_not_have_are_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(structure(Some(Kind::NumberValue(number))).is_err());
        }
        assert!(structure(None).is_err());
        assert!(structure(Some(Kind::StringValue("a\0b".into()))).is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| {
            (0..depth).fold(Kind::ListValue(ListValue::default()), |inner, _| {
                Kind::ListValue(ListValue { values: vec![Value { kind: Some(inner) }] })
            })
        };
        assert!(structure(Some(nested(62))).is_ok());
        assert!(structure(Some(nested(63))).is_err());
    }
}
