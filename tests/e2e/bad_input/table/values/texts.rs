//! Bad texts.

/// Texts that are refused as a line for people, each with its description.
pub fn bad_lines(max: usize) -> Vec<(&'static str, String)> {
    [
        ("CR LF", "a\r\nb".to_owned()),
        ("NUL", "a\0b".to_owned()),
        ("a colour of a terminal", "\u{1b}[31mred\u{1b}[0m".to_owned()),
        ("a C1 control", "a\u{9b}31m".to_owned()),
        ("a mark that turns the direction", "\u{202e}gpj.exe".to_owned()),
        ("an isolate", "\u{2066}a\u{2069}".to_owned()),
        ("a line separator", "a\u{2028}b".to_owned()),
        ("10,000 characters", "x".repeat(10_000)),
        ("one character too many", "é".repeat(max + 1)),
    ]
    .into()
}

/// Texts that are refused as a JSON object, each with its description.
pub fn bad_objects() -> Vec<(&'static str, String)> {
    let deep = 100_000;
    [
        ("no object", "[]".to_owned()),
        ("a number", "1".to_owned()),
        ("no JSON", "{a: 1}".to_owned()),
        ("two values", "{} {}".to_owned()),
        ("a byte order mark", "\u{feff}{}".to_owned()),
        ("an escaped NUL", r#"{"a": "\u0000"}"#.to_owned()),
        ("an escaped NUL as a key", r#"{"\u0000": 1}"#.to_owned()),
        ("a NUL", "{\"a\": \"\0\"}".to_owned()),
        ("a lone surrogate", r#"{"a": "\ud800"}"#.to_owned()),
        ("surrogates in the wrong order", r#"{"a": "\udc00\ud800"}"#.to_owned()),
        ("lists 100,000 deep", format!("{{\"a\": {}{}}}", "[".repeat(deep), "]".repeat(deep))),
        ("objects 65 deep", format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65))),
        ("objects that do not end", "{\"a\":".repeat(deep)),
        ("1e400", r#"{"a": 1e400}"#.to_owned()),
        ("-1e400", r#"{"a": -1e400}"#.to_owned()),
        ("1e-400", r#"{"a": 1e-400}"#.to_owned()),
        ("a number of 2,000 digits", format!("{{\"a\": {}}}", "9".repeat(2_000))),
        ("an exponent of 20 digits", r#"{"a": 1e99999999999999999999}"#.to_owned()),
        ("NaN", r#"{"a": NaN}"#.to_owned()),
        ("a key twice", r#"{"a": 1, "a": 2}"#.to_owned()),
        ("a key twice, once escaped", r#"{"a": 1, "\u0061": 2}"#.to_owned()),
        ("a tab in a text", "{\"a\": \"\t\"}".to_owned()),
        ("a text without an end", "{\"a\": \"".to_owned()),
    ]
    .into()
}

/// JSON that looks bad, but is valid and kept exactly.
pub const GOOD_VALUES: [&str; 7] = [
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "0.1000000000000000055511151231257827",
    r#""😀""#,
    r#""\u001b[31m""#,
    "[[[[[[[[[[]]]]]]]]]]",
];
