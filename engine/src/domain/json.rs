//! What JSON text may contain. `jsonb` must keep its values, so a text that `jsonb` would change, refuse or enlarge is refused here, with
//! a reason. The check only reads the text and builds nothing from it.

use std::collections::HashSet;

use crate::domain::text::excerpt;

/// What the outermost value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Object,
    Any,
}

/// The most characters of one number. The exact value of any double needs fewer.
const NUMBER_LENGTH: usize = 1_100;

/// Checks a JSON text of at most `max_bytes`, nested at most `max_depth` deep. The error says what was expected, what came, and where.
pub fn check(text: &str, shape: Shape, max_bytes: usize, max_depth: usize) -> Result<(), String> {
    if text.len() > max_bytes {
        return Err(format!("expected at most {max_bytes} bytes of JSON, got {}", text.len()));
    }
    let mut scanner = Scanner { text, at: 0, depth: 0, max_depth, written_out: 0 };
    scanner.skip_space();
    if shape == Shape::Object && scanner.peek() != Some(b'{') {
        return Err(format!("expected a JSON object, got {}", excerpt(text)));
    }
    scanner.value()?;
    scanner.skip_space();
    if scanner.at < text.len() {
        return scanner.unexpected("the end");
    }
    let size = text.len().saturating_add(scanner.written_out);
    if size > max_bytes {
        return Err(format!("expected at most {max_bytes} bytes of JSON, got {size} with its numbers written out"));
    }
    Ok(())
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    max_depth: usize,
    /// How many characters longer the numbers become when their exponents are written out, as `jsonb` does.
    written_out: usize,
}

impl<'t> Scanner<'t> {
    fn value(&mut self) -> Result<(), String> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.unexpected("a JSON value"),
        }
    }

    /// The depth is checked before the descent, so that no text can exhaust the stack.
    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        if self.depth == self.max_depth {
            return Err(format!("expected JSON nested at most {} deep, got more at byte {}", self.max_depth, self.at));
        }
        self.depth += 1;
        self.at += 1;
        inner(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), String> {
        let mut keys = HashSet::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.unexpected("a key in quotes");
            }
            let start = self.at;
            let key = self.string()?;
            let shown = excerpt(&key);
            if !keys.insert(key) {
                return Err(format!("expected each key once in a JSON object, got {shown} again at byte {start}"));
            }
            self.skip_space();
            if !self.take(b':') {
                return self.unexpected("`:`");
            }
            self.skip_space();
            self.value()?;
            self.skip_space();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return self.unexpected("`,` or `}`");
            }
        }
    }

    fn array(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.skip_space();
            self.value()?;
            self.skip_space();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return self.unexpected("`,` or `]`");
            }
        }
    }

    /// Reads a string with its escapes resolved, so that keys can be compared.
    fn string(&mut self) -> Result<std::borrow::Cow<'t, str>, String> {
        use std::borrow::Cow;
        self.at += 1;
        let mut resolved = Cow::Borrowed("");
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            let plain = &self.text[start..self.at];
            if resolved.is_empty() {
                resolved = Cow::Borrowed(plain);
            } else {
                resolved.to_mut().push_str(plain);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(resolved);
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    resolved.to_mut().push(character);
                }
                Some(_) => return self.unexpected("control characters in strings to be escaped"),
                None => return self.unexpected("the closing quote of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let start = self.at;
        self.at += 1;
        let Some(letter) = self.peek() else { return self.unexpected("an escape") };
        let character = match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(start),
            _ => return self.unexpected("an escape"),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, String> {
        let first = self.hex4()?;
        let code = match first {
            0 => return Err(format!("expected JSON without \\u0000, which can not be kept, got one at byte {start}")),
            0xD800..=0xDBFF if self.text[self.at..].starts_with("\\u") => {
                self.at += 1;
                let second = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(lone_surrogate(start));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| lone_surrogate(start))
    }

    /// Reads `uXXXX`.
    fn hex4(&mut self) -> Result<u32, String> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5).unwrap_or_default();
        let mut code = 0;
        for digit in digits {
            match (*digit as char).to_digit(16) {
                Some(digit) => code = code * 16 + digit,
                None => return self.unexpected("four hexadecimal digits"),
            }
        }
        if digits.len() < 4 {
            return self.unexpected("four hexadecimal digits");
        }
        self.at += 5;
        Ok(code)
    }

    fn number(&mut self) -> Result<(), String> {
        let start = self.at;
        self.take(b'-');
        let whole = self.digits()?;
        if whole > 1 && self.text.as_bytes()[self.at - whole] == b'0' {
            return Err(format!("expected a JSON number without leading zeros at byte {start}"));
        }
        let fraction = if self.take(b'.') { self.digits()? } else { 0 };
        let mut exponent = 0i64;
        if self.take(b'e') || self.take(b'E') {
            let negative = self.take(b'-');
            if !negative {
                self.take(b'+');
            }
            let digits = self.digits()?;
            // An exponent that does not fit into an integer is far beyond any double.
            exponent =
                self.text[self.at - digits..self.at].parse().unwrap_or(i64::from(i32::MAX)).min(i64::from(i32::MAX));
            exponent = if negative { -exponent } else { exponent };
        }
        let literal = &self.text[start..self.at];
        let shown = excerpt(literal);
        if literal.len() > NUMBER_LENGTH {
            return Err(format!("expected numbers of at most {NUMBER_LENGTH} characters, got {shown} at byte {start}"));
        }
        let value: f64 = literal.parse().unwrap_or(f64::INFINITY);
        let mantissa = literal.split(['e', 'E']).next().unwrap_or_default();
        let is_zero = mantissa.bytes().all(|byte| !(b'1'..=b'9').contains(&byte));
        if value.is_infinite() || (value == 0.0 && !is_zero) || exponent.abs() > NUMBER_LENGTH as i64 {
            return Err(format!("expected numbers within the range of a double, got {shown} at byte {start}"));
        }
        let whole_out = (whole as i64 + exponent).max(1);
        let fraction_out = (fraction as i64 - exponent).max(0);
        self.written_out += usize::try_from(whole_out + fraction_out).unwrap_or(0).saturating_sub(literal.len());
        Ok(())
    }

    fn digits(&mut self) -> Result<usize, String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.unexpected("a digit") } else { Ok(self.at - start) }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if !self.text[self.at..].starts_with(word) {
            return self.unexpected("a JSON value");
        }
        self.at += word.len();
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, String> {
        // `at` is always at the start of a character, because only whole characters are passed.
        let came = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("{character:?}"),
            None => "the end".to_owned(),
        };
        Err(format!("expected {expected}, got {came} at byte {} of the JSON", self.at))
    }
}

fn lone_surrogate(at: usize) -> String {
    format!("expected surrogates in JSON to come in pairs, got a lone one at byte {at}")
}

pub mod value;

#[cfg(test)]
mod tests;
