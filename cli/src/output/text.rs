//! Makes foreign text safe for a terminal. Other people write names, labels, errors and reasons, which may contain
//! escape sequences, line breaks, or marks that change the direction of text.

use std::fmt::Write;

/// The text on one line. Characters that a terminal obeys are escaped.
pub(crate) fn line(text: &str) -> String {
    escape(text, |_| false)
}

/// As [`line()`], but line breaks and tabs stay.
pub(crate) fn block(text: &str) -> String {
    escape(text.trim_end(), |c| matches!(c, '\n' | '\t'))
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() || turns_direction(c)) && !keep(c) {
            // Writing to a String can not fail.
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_marks_are_spelled_out() {
        assert_eq!(line("a\x1b[31mb\r\nc\u{202e}d"), "a\\u{1b}[31mb\\r\\nc\\u{202e}d");
        assert_eq!(line("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(block("a\n\tb\x07\n"), "a\n\tb\\u{7}");
    }
}
