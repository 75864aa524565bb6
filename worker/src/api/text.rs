//! Texts and JSON as a server takes them. What a program prints may be anything, and must not cost it its outcome: so everything that
//! is reported of it passes here. Pure.

use serde_json::{Map, Number, Value};

/// Stands for a character that can not be kept.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// The server takes JSON that is nested so deep.
const MAX_DEPTH: usize = 64;
/// And numbers of so many characters, within the range of a double.
const MAX_NUMBER_CHARACTERS: usize = 1_100;

/// A text of any number of lines, up to `max_bytes`: without NUL, which PostgreSQL does not take.
pub(crate) fn prose(text: &str, max_bytes: usize) -> String {
    let mut clean = text.replace('\0', REPLACEMENT.encode_utf8(&mut [0; 4]));
    clean.truncate(clean.floor_char_boundary(max_bytes));
    clean
}

/// A text of one line, up to `max_characters`: without control characters and marks that change the direction of reading.
pub(crate) fn line(text: &str, max_characters: usize) -> String {
    let is_bad = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(max_characters).map(|c| if is_bad(c) { REPLACEMENT } else { c }).collect()
}

/// Makes a value one that a server keeps, and returns it as JSON text: its texts are without NUL, and what is nested too deep, or is a
/// number that no database keeps, is a text. If that is longer than `max_bytes`, the error is its length.
pub(crate) fn json(value: &mut Value, max_bytes: usize) -> Result<String, usize> {
    let written_out = keep(value, 1, false);
    let mut text = value.to_string();
    if text.len() <= max_bytes && text.len() + written_out > max_bytes {
        // The database writes out exponents. Without them, these numbers are too long.
        keep(value, 1, true);
        text = value.to_string();
    }
    if text.len() <= max_bytes { Ok(text) } else { Err(text.len()) }
}

/// Makes a value one that a server keeps, in `is_short` without exponents. Returns how much longer its numbers become when they are written out.
fn keep(value: &mut Value, depth: usize, is_short: bool) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 0,
        Value::String(text) => {
            if text.contains('\0') {
                *text = prose(text, usize::MAX);
            }
            0
        }
        Value::Number(number) => match written_out(number) {
            Some(0) => 0,
            Some(more) if !is_short => more,
            _ => {
                *value = Value::String(number.to_string());
                0
            }
        },
        Value::Array(_) | Value::Object(_) if depth > MAX_DEPTH => {
            *value = Value::String(value.to_string());
            0
        }
        Value::Array(items) => items.iter_mut().map(|item| keep(item, depth + 1, is_short)).sum(),
        Value::Object(fields) => {
            if fields.keys().any(|name| name.contains('\0')) {
                let renamed = std::mem::take(fields).into_iter().map(|(name, value)| (prose(&name, usize::MAX), value));
                *fields = renamed.collect::<Map<_, _>>();
            }
            fields.values_mut().map(|value| keep(value, depth + 1, is_short)).sum()
        }
    }
}

/// How much longer a number is without its exponent; `None` if a server does not take it.
fn written_out(number: &Number) -> Option<usize> {
    let text = number.to_string();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let value: f64 = text.parse().ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let is_zero = mantissa.bytes().all(|byte| !(b'1'..=b'9').contains(&byte));
    let is_kept = text.len() <= MAX_NUMBER_CHARACTERS
        && value.is_finite()
        && (value != 0.0 || is_zero)
        && exponent.unsigned_abs() <= MAX_NUMBER_CHARACTERS as u64;
    is_kept.then(|| usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_takes_stays_as_it_is() {
        for text in [r#"{"a":[1,-2.5,1e-300,12345678901234567890123,true,null,"\u001b[31m é"]}"#, "\"x\"", "0e0"] {
            let value: Value = serde_json::from_str(text).unwrap();
            let kept: Value = serde_json::from_str(&json(&mut value.clone(), 1000).unwrap()).unwrap();
            assert_eq!(kept, value);
        }
    }

    #[test]
    fn what_it_does_not_take_becomes_text() {
        let mut nul = json!({ "a\0": ["b\0"] });
        assert_eq!(json(&mut nul, 100).unwrap(), "{\"a\u{fffd}\":[\"b\u{fffd}\"]}");
        let mut numbers: Value = serde_json::from_str("[1e400, 1e-400, 1]").unwrap();
        assert_eq!(json(&mut numbers, 100).unwrap(), r#"["1e+400","1e-400",1]"#);
        let mut long: Value = serde_json::from_str("[1e300]").unwrap();
        assert_eq!(json(&mut long.clone(), 1000).unwrap(), "[1e+300]");
        assert_eq!(json(&mut long, 100).unwrap(), r#"["1e+300"]"#, "written out it is too long");
        let mut deep = (0..100).fold(json!("x\0"), |inner, _| json!([inner]));
        let kept: Value = serde_json::from_str(&json(&mut deep, 1000).unwrap()).unwrap();
        let mut depth = 0;
        let mut at = &kept;
        while let Value::Array(items) = at {
            (at, depth) = (&items[0], depth + 1);
        }
        assert_eq!(depth, MAX_DEPTH);
        assert!(at.as_str().unwrap().starts_with("[[[["), "{at}");
        assert_eq!(json(&mut json!("xxx"), 4), Err(5));
    }

    #[test]
    fn a_line_has_nothing_that_forges_another() {
        assert_eq!(
            line("a\r\n\0\u{1b}[31m\u{202e}b\u{2028}", 200),
            "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}[31m\u{fffd}b\u{fffd}"
        );
        assert_eq!(line("ééé", 2), "éé");
        assert_eq!(prose("é\0\n", 4), "é");
    }

    proptest! {
        /// Whatever the bytes, the text has no NUL, and its JSON is taken.
        #[test]
        fn any_bytes_become_text_that_is_kept(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let max = 100;
            let clean = prose(&text, max);
            prop_assert!(!clean.contains('\0') && clean.len() <= max);
            let kept = json(&mut json!({ text.clone(): text }), usize::MAX).unwrap();
            prop_assert!(!kept.contains("\\u0000") && !kept.contains('\0'));
            prop_assert!(serde_json::from_str::<Value>(&kept).is_ok());
        }
    }
}
