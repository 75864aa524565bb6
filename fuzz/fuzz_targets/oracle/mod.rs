//! Decides with serde_json which texts `jsonb` keeps.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most characters of a number, and the largest exponent.
const NUMBER_LENGTH: usize = 1_100;

/// The verdict on a text.
#[derive(Debug)]
pub enum Verdict {
    Kept(Value),
    Refused(String),
    /// The text is within a few characters of the limit: serde_json does not say how an exponent was written.
    Unclear,
}

/// A text is kept if its objects have no key twice, it has no NUL, its numbers are in the range of a double, and it is within
/// both limits when its numbers are written without exponents.
pub fn judge(text: &str, max_bytes: usize, max_depth: usize) -> Verdict {
    if text.len() > max_bytes {
        return Verdict::Refused("too long".into());
    }
    let value = match serde_json::from_str(text) {
        Ok(Once(value)) => value,
        Err(error) => return Verdict::Refused(error.to_string()),
    };
    match fits(&value, max_depth) {
        Err(why) => Verdict::Refused(why),
        Ok((least, _)) if text.len() + least > max_bytes => Verdict::Refused("too long when it is written out".into()),
        Ok((_, most)) if text.len() + most > max_bytes => Verdict::Unclear,
        Ok(_) => Verdict::Kept(value),
    }
}

/// How much longer the numbers of a value become without exponents: the smallest and the largest possible growth.
fn fits(value: &Value, depth: usize) -> Result<(usize, usize), String> {
    let inner = || depth.checked_sub(1).ok_or("too deep");
    match value {
        Value::String(text) if text.contains('\0') => Err("NUL".into()),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok((0, 0)),
        Value::Number(number) => number_fits(number),
        Value::Array(list) => all_fit(list.iter(), inner()?),
        Value::Object(object) if object.keys().any(|key| key.contains('\0')) => Err("NUL in a key".into()),
        Value::Object(object) => all_fit(object.values(), inner()?),
    }
}

fn all_fit<'v>(mut values: impl Iterator<Item = &'v Value>, depth: usize) -> Result<(usize, usize), String> {
    values.try_fold((0, 0), |(least, most), value| {
        let (more, much_more) = fits(value, depth)?;
        Ok((least + more, most + much_more))
    })
}

fn number_fits(number: &Number) -> Result<(usize, usize), String> {
    let literal = number.as_str();
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let exponent: i64 = exponent.parse().map_err(|_| "an exponent beyond all bounds")?;
    let value: f64 = literal.parse().map_err(|_| "no number")?;
    let is_zero = mantissa.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if literal.len() > NUMBER_LENGTH || exponent.unsigned_abs() > NUMBER_LENGTH as u64 {
        return Err("a number too long".into());
    }
    if !value.is_finite() || (value == 0.0 && !is_zero) {
        return Err("beyond a double".into());
    }
    // Moves the decimal point digit by digit, as the database does.
    let digits = mantissa.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
    for _ in 0..exponent {
        whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
    }
    for _ in exponent..0 {
        fraction.insert(0, whole.pop().unwrap_or('0'));
    }
    let length = whole.len().max(1) + fraction.len();
    // serde_json adds a missing plus to an exponent.
    let shortest = literal.len() - usize::from(literal.contains('+'));
    Ok((length.saturating_sub(literal.len()), length.saturating_sub(shortest)))
}

/// A value whose objects have no key twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Once)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Once(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(key) = object.next_key::<String>()? {
            // serde_json with arbitrary precision passes a number as an object with this one key.
            if key == "$serde_json::private::Number" {
                let literal: String = object.next_value()?;
                return literal.parse().map(Value::Number).map_err(A::Error::custom);
            }
            let Once(value) = object.next_value()?;
            if values.insert(key, value).is_some() {
                return Err(A::Error::custom("a key twice"));
            }
        }
        Ok(Value::Object(Map::from_iter(values)))
    }
}
