//! One spelling for each JSON value, so that two texts of the same value can be compared.
//!
//! The keys of objects are sorted, there is no space, each character that can stand for itself does, and numbers are written out without
//! zeros that say nothing: `1.0`, `1e0` and `1` are one number, as they are for `jsonb`.

use std::borrow::Cow;
use std::ops::Range;

/// The one spelling of the value of a checked JSON text. A text that is no JSON stays as it is.
pub fn spelling(text: &str) -> Cow<'_, str> {
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    match reader.value(&mut out) {
        Some(()) if reader.peek().is_none() && out != text => Cow::Owned(out),
        _ => Cow::Borrowed(text),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    /// Writes the next value. `None`: this is no JSON.
    fn value(&mut self, out: &mut String) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(out)?,
            b'[' => self.array(out)?,
            b'"' => out.push_str(&self.string()?),
            b'-' | b'0'..=b'9' => number(self.word(), out)?,
            _ => match self.word() {
                word @ ("true" | "false" | "null") => out.push_str(word),
                _ => return None,
            },
        }
        Some(())
    }

    fn object(&mut self, out: &mut String) -> Option<()> {
        // The members stay in their order until all are written. Most objects are sorted already.
        let mut members: Vec<(Cow<'t, str>, Range<usize>)> = Vec::new();
        self.at += 1;
        out.push('{');
        let first = out.len();
        while !self.take(b'}') {
            if !members.is_empty() {
                self.expect(b',')?;
                out.push(',');
            }
            let (key, start) = (self.string()?, out.len());
            self.expect(b':')?;
            out.push_str(&key);
            out.push(':');
            self.value(out)?;
            members.push((key, start..out.len()));
        }
        if !members.is_sorted_by(|(key, _), (next, _)| key <= next) {
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            let sorted: Vec<&str> = members.iter().map(|(_, range)| &out[range.clone()]).collect();
            let sorted = sorted.join(",");
            out.replace_range(first.., &sorted);
        }
        out.push('}');
        Some(())
    }

    fn array(&mut self, out: &mut String) -> Option<()> {
        self.at += 1;
        out.push('[');
        let mut is_first = true;
        while !self.take(b']') {
            if !is_first {
                self.expect(b',')?;
                out.push(',');
            }
            is_first = false;
            self.value(out)?;
        }
        out.push(']');
        Some(())
    }

    /// The next string with its quotes, in its one spelling.
    fn string(&mut self) -> Option<Cow<'t, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let bytes = self.text.as_bytes();
        let (start, mut end, mut is_escaped) = (self.at, self.at + 1, false);
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        self.at = end + 1;
        let text = self.text.get(start..self.at)?;
        if !is_escaped {
            return Some(Cow::Borrowed(text));
        }
        let value: String = serde_json::from_str(text).ok()?;
        serde_json::to_string(&value).ok().map(Cow::Owned)
    }

    /// The text until the next sign of the grammar.
    fn word(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.find([',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.as_bytes().get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The most zeros that a number is written out with. A checked number needs fewer.
const ZEROS: i64 = 3_000;

/// Writes a number out.
fn number(literal: &str, out: &mut String) -> Option<()> {
    if literal.bytes().all(|byte| byte.is_ascii_digit()) {
        // A checked number has no leading zeros.
        out.push_str(literal);
        return Some(());
    }
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The number is 0.DIGITS, with the point moved to the right by so many places.
    let mut point = whole.len() as i64 + exponent.parse::<i64>().ok().filter(|it| it.abs() < ZEROS)?;
    let significant = digits.trim_start_matches('0');
    point -= (digits.len() - significant.len()) as i64;
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        out.push('0');
        return Some(());
    }
    if mantissa.starts_with('-') {
        out.push('-');
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
    match usize::try_from(point) {
        Ok(point) if point >= significant.len() => {
            out.push_str(significant);
            out.push_str(&zeros(point as i64 - significant.len() as i64));
        }
        Ok(point) if point > 0 => {
            out.push_str(&significant[..point]);
            out.push('.');
            out.push_str(&significant[point..]);
        }
        _ => {
            out.push_str("0.");
            out.push_str(&zeros(-point));
            out.push_str(significant);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_value_has_one_spelling() {
        for (one, texts) in [
            ("{}", &["{}", " { } ", "{\n}"][..]),
            (r#"{"a":1,"b":[2,{"c":3,"d":4}]}"#, &[r#"{"b": [2.0, {"d": 4, "c": 30e-1}], "a": 1}"#]),
            (r#"{"a":"é/\n"}"#, &[r#"{"\u0061":"\u00e9\/\u000a"}"#]),
            ("1", &["1", "1.0", "1e0", "10E-1", "0.1e+1", "1.000"]),
            ("0", &["0", "-0", "0.0", "-0e5", "0E-9"]),
            ("-120", &["-120", "-1.2e2", "-120.00"]),
            ("0.0012", &["0.0012", "1.2e-3", "12E-4"]),
            ("12.5", &["12.5", "1.25e1", "12.50"]),
            ("12345678901234567890.1", &["12345678901234567890.1", "123456789012345678901e-1"]),
            (r#""a""#, &[r#""a""#, r#""\u0061""#]),
            ("[true,false,null]", &["[true, false ,null]"]),
        ] {
            for text in texts {
                assert_eq!(spelling(text), one, "{text}");
            }
        }
    }

    #[test]
    fn other_values_have_other_spellings() {
        let texts = [
            "1",
            "\"1\"",
            "[1]",
            "[1,1]",
            "10",
            "-1",
            "1.1",
            "{\"1\":1}",
            "null",
            "[]",
            "{}",
            "[{}]",
            "[[]]",
            "\"\"",
            "0",
        ];
        for (place, one) in texts.iter().enumerate() {
            for other in &texts[..place] {
                assert_ne!(spelling(one), spelling(other));
            }
        }
    }

    #[test]
    fn a_text_that_is_no_json_stays_as_it_is() {
        for text in ["", "{", "{\"a\"", "{\"a\":}", "[1,", "\"", "\"\\", "nul", "-", "1 2", "[1 2]", "é", "1e9999999"]
        {
            assert_eq!(spelling(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".*") {
            spelling(&text);
        }

        #[test]
        fn a_spelling_has_the_same_value_and_is_its_own(value in json()) {
            let text = serde_json::to_string_pretty(&value).expect("it is JSON");
            let one = spelling(&text).into_owned();
            prop_assert_eq!(&serde_json::from_str::<Value>(&one).expect("it is JSON"), &value);
            prop_assert_eq!(&spelling(&one), &one);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
