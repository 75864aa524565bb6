use proptest::prelude::*;

use crate::domain::json::*;

fn any(text: &str) -> Result<(), String> {
    check(text, Shape::Any, 1 << 20, 64)
}

#[test]
fn values_of_every_kind_are_accepted() {
    for good in [
        "null",
        " true ",
        "-0",
        "0.5",
        "1e308",
        "1E-300",
        "9223372036854775808",
        "123456789012345678901234567890",
        r#""\ud83d\ude00\u00e9\n\/""#,
        "[]",
        "{}",
        "[1,[2,{\"a\":[]}]]",
        "\t{ \"a\" : 1 , \"b\" : \"é\" }\r\n",
        "0e999",
    ] {
        assert_eq!(any(good), Ok(()), "{good}");
    }
}

#[test]
fn a_text_that_is_not_json_is_refused() {
    for bad in [
        "",
        " ",
        "nul",
        "True",
        "[1,]",
        "[,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12é\"",
        "\"\t\"",
        "[1 2]",
        "1 2",
        "{}é",
        "[",
        "{",
        "//",
        "\u{feff}1",
    ] {
        assert!(any(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_key_that_comes_twice_is_refused_also_with_escapes() {
    assert!(any(r#"{"a":{"b":1,"b":2}}"#).is_err_and(|why| why.contains("\"b\"")));
    assert!(any(r#"[{"a":1,"\u0061":2}]"#).is_err());
    assert_eq!(any(r#"[{"a":1},{"a":{"a":1}}]"#), Ok(()));
}

#[test]
fn values_that_jsonb_can_not_keep_are_refused() {
    for bad in [r#""\u0000""#, r#"{"\u0000":1}"#, r#""\ud800""#, r#""\ude00""#, r#""\ud800\u0041""#, r#""\ud800x""#] {
        assert!(any(bad).is_err(), "{bad}");
    }
    for bad in ["1e400", "-1e400", "1e-400", "1e99999999999999999999", "0e9999", "1e100000"] {
        assert!(any(bad).is_err_and(|why| why.contains("double")), "{bad}");
    }
    assert!(any(&"9".repeat(400)).is_err());
    assert!(any(&format!("0.{}", "1".repeat(2_000))).is_err());
}

#[test]
fn deep_nesting_is_refused_before_it_exhausts_the_stack() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(any(&nested(64)), Ok(()));
    assert!(any(&nested(65)).is_err());
    assert!(any(&"[".repeat(100_000)).is_err());
    assert!(any(&"{\"a\":".repeat(100_000)).is_err());
}

#[test]
fn the_shape_and_the_size_are_checked() {
    assert!(check("[]", Shape::Object, 100, 64).is_err_and(|why| why.contains("object")));
    assert_eq!(check(" {}", Shape::Object, 100, 64), Ok(()));
    assert!(check("[1, 2, 3]", Shape::Any, 8, 64).is_err());
    // 34 characters that the database would write out as 1,500.
    assert!(
        check("[1e300,1e300,1e300,1e300,1e300]", Shape::Any, 1_000, 64).is_err_and(|why| why.contains("written out"))
    );
}

proptest! {
    #[test]
    fn the_check_agrees_with_serde_json_on_plain_texts(text in r#"[\[\]{},:"a1 e.\-]{0,12}"#) {
        let parsed = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let checked = any(&text);
        // serde_json takes duplicate keys and any exponent.
        let stricter = checked.as_ref().is_err_and(|why| why.contains("again") || why.contains("double"));
        prop_assert!(parsed == checked.is_ok() || (parsed && stricter), "{text}: {checked:?}");
    }

    #[test]
    fn the_check_never_panics(text in any_text()) {
        let _ = any(&text);
    }

    #[test]
    fn every_text_of_serde_json_is_accepted(words in proptest::collection::vec("[^\u{0}]*", 0..8), number in any_number()) {
        let text = serde_json::json!({ "words": words, "number": number }).to_string();
        prop_assert_eq!(any(&text), Ok(()));
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![".*", r#"["\\u0dD8aé\[\]{}:,1e+.-]{0,40}"#]
}

fn any_number() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        proptest::num::i64::ANY.prop_map(serde_json::Value::from),
        proptest::num::f64::NORMAL.prop_map(serde_json::Value::from)
    ]
}
