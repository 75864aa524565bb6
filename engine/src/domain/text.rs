//! Checks of texts. Each error says what was expected and what came.

/// The characters of a bad text that an error shows.
const EXCERPT: usize = 40;

/// Checks a text of one line, which people read in lists and terminals. It has no control characters, which could forge lines and
/// colours, and no marks that change the direction of reading, which could make it look like another text.
pub fn check_line(text: &str, min: usize, max: usize) -> Result<(), String> {
    check_length(text, min, max)?;
    match text.chars().find(|c| c.is_control() || turns_direction(*c) || breaks_line(*c)) {
        Some(bad) => {
            Err(format!("expected a text without control characters, got U+{:04X} in {}", bad as u32, excerpt(text)))
        }
        None => Ok(()),
    }
}

/// Checks a text of any number of lines, up to `max` characters.
pub fn check_prose(text: &str, max: usize) -> Result<(), String> {
    check_length(text, 0, max)?;
    check_no_nul(text)
}

/// Checks a text of any number of lines, up to `max` bytes.
pub fn check_bytes(text: &str, max: usize) -> Result<(), String> {
    if text.len() > max {
        return Err(format!("expected at most {max} bytes, got {}", text.len()));
    }
    check_no_nul(text)
}

/// The longest file name that file systems take.
const FILE_NAME_BYTES: usize = 255;

/// Checks a plain file name: on every system it stays in its folder, also as a part of a URL.
pub fn check_file_name(name: &str, max: usize) -> Result<(), String> {
    check_line(name, 1, max)?;
    if name.len() > FILE_NAME_BYTES {
        return Err(format!("expected at most {FILE_NAME_BYTES} bytes, got {}", name.len()));
    }
    let expected = |what: &str| Err(format!("expected a plain file name, got {what} in {}", excerpt(name)));
    if let Some(bad) = name.chars().find(|c| matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')) {
        return expected(&format!("{bad:?}"));
    }
    let escapes = ["%2e", "%2f", "%5c", "%00"];
    if let Some(bad) = escapes.iter().find(|escape| name.to_ascii_lowercase().contains(*escape)) {
        return expected(bad);
    }
    if name.ends_with('.') || name.ends_with(' ') || name.starts_with(' ') {
        return expected("a dot or a space at its edge");
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    // Windows takes superscripts for digits.
    let is_digit = |n: char| n.is_ascii_digit() || matches!(n, '¹' | '²' | '³');
    let numbered = |prefix: &str| {
        let mut rest = stem.strip_prefix(prefix).unwrap_or_default().chars();
        rest.next().is_some_and(is_digit) && rest.next().is_none()
    };
    if ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || numbered("COM") || numbered("LPT") {
        return expected("the name of a device");
    }
    Ok(())
}

/// Checks an absolute http or https URL.
pub fn check_url(url: &str, max: usize) -> Result<(), String> {
    check_line(url, 1, max)?;
    let expected = || Err(format!("expected an http or https URL, got {}", excerpt(url)));
    let Some((scheme, rest)) = url.split_once("://") else { return expected() };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !known || host.is_empty() || url.contains(|c: char| c.is_whitespace() || matches!(c, '\\' | '"' | '<' | '>')) {
        return expected();
    }
    Ok(())
}

/// A text as a violation shows it: short, quoted and harmless.
pub fn excerpt(text: &str) -> String {
    let short: String = text.chars().take(EXCERPT).collect();
    let rest = if short.len() < text.len() { " ..." } else { "" };
    format!("{short:?}{rest}")
}

fn check_length(text: &str, min: usize, max: usize) -> Result<(), String> {
    // A character has at most four bytes, so a text that is far too long need not be counted.
    let length = if text.len() > max.saturating_mul(4) { text.len() } else { text.chars().count() };
    if length > max {
        let unit = if text.len() > max.saturating_mul(4) { "bytes" } else { "characters" };
        return Err(format!("expected at most {max} characters, got {length} {unit}"));
    }
    if length < min {
        return Err(match length {
            0 => format!("expected {min} to {max} characters, got none"),
            length => format!("expected {min} to {max} characters, got {length}"),
        });
    }
    Ok(())
}

fn check_no_nul(text: &str) -> Result<(), String> {
    match text.bytes().position(|byte| byte == 0) {
        Some(at) => Err(format!("expected a text without NUL, got one at byte {at}")),
        None => Ok(()),
    }
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn breaks_line(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters_and_no_marks_of_direction() {
        assert_eq!(check_line("Ünïcödé — 名前 🎉", 1, 200), Ok(()));
        for bad in ["a\r\nb", "\u{1b}[31mred", "a\0", "\u{7f}", "\u{85}", "x\u{202E}gpj", "\u{2066}x", "a\u{2028}b"] {
            let why = check_line(bad, 1, 200).expect_err(bad);
            assert!(!why.contains(|c: char| c.is_control()), "{why:?}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert_eq!(check_line(&"é".repeat(200), 1, 200), Ok(()));
        assert_eq!(
            check_line(&"é".repeat(201), 1, 200),
            Err("expected at most 200 characters, got 201 characters".into())
        );
        assert_eq!(
            check_line(&"x".repeat(10_000), 1, 200),
            Err("expected at most 200 characters, got 10000 bytes".into())
        );
        assert_eq!(check_line("", 1, 200), Err("expected 1 to 200 characters, got none".into()));
    }

    #[test]
    fn prose_may_have_lines_but_no_nul() {
        assert_eq!(check_prose("a\nb\t\u{1b}", 4_000), Ok(()));
        assert!(check_prose("a\0b", 4_000).is_err());
    }

    #[test]
    fn a_file_name_can_not_leave_its_folder() {
        for good in ["report.md", "a b.txt", ".hidden", "COM10", "console.log", "100%25"] {
            assert_eq!(check_file_name(good, 200), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a\\b",
            "C:x",
            "nul",
            "COM1.txt",
            "COM¹",
            "x.",
            "x ",
            "a\nb",
            "%2E%2e",
            "a%2fb",
        ] {
            assert!(check_file_name(bad, 200).is_err(), "{bad:?}");
        }
        assert_eq!(check_file_name(&"é".repeat(127), 200), Ok(()));
        assert!(check_file_name(&"é".repeat(128), 200).is_err_and(|why| why.contains("255 bytes")));
    }

    #[test]
    fn a_url_is_http_and_has_a_host() {
        for good in ["https://example.com/a?b#c", "HTTP://[::1]:80"] {
            assert_eq!(check_url(good, 2_000), Ok(()), "{good}");
        }
        for bad in
            ["", "javascript:alert(1)", "file:///etc/passwd", "https://", "//x", "http:x", "https://a b", "ftp://x"]
        {
            assert!(check_url(bad, 2_000).is_err(), "{bad:?}");
        }
    }
}
