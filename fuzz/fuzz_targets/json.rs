//! The checks of JSON text, against another reader of JSON: accepted texts are those that `jsonb` keeps, refused ones
//! are refused for a reason, and an accepted value is accepted again when it is written anew.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod oracle;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|text: &str| -> libfuzzer_sys::Corpus {
    use libfuzzer_sys::Corpus;
    use oracle::Verdict;
    use server::fuzzing::json::{Shape, check};

    /// Small, so that inputs reach it.
    const MAX_BYTES: usize = 2_048;
    const MAX_DEPTH: usize = 16;

    // With numbers of any precision, serde_json reads an object with a key that begins so as a number.
    if text.contains('$') || text.contains("\\u0024") {
        return Corpus::Reject;
    }
    let checked = check(text, Shape::Any, MAX_BYTES, MAX_DEPTH);
    let judged = oracle::judge(text, MAX_BYTES, MAX_DEPTH);
    let value = match judged {
        Verdict::Kept(value) => value,
        Verdict::Refused(why) => {
            assert!(checked.is_err(), "{text:?} is taken, although it is {why}");
            return Corpus::Keep;
        }
        Verdict::Unclear => return Corpus::Keep,
    };
    assert_eq!(checked, Ok(()), "{text:?}");
    let object = check(text, Shape::Object, MAX_BYTES, MAX_DEPTH);
    assert_eq!(object.is_ok(), value.is_object(), "{text:?}: {object:?}");
    let written = value.to_string();
    // Escapes may make the new text longer.
    let again = check(&written, Shape::Any, 10 * MAX_BYTES, MAX_DEPTH);
    assert_eq!(again, Ok(()), "{text:?} as {written:?}");
    let read = serde_json::from_str::<serde_json::Value>(&written).map_err(|error| error.to_string());
    assert_eq!(read, Ok(value), "{text:?} as {written:?}");
    Corpus::Keep
});

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("this is built by `make fuzz`");
}
