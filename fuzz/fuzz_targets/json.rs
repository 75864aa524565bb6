//! Compares the checks of JSON text with another JSON parser. The checks accept exactly the texts that `jsonb` keeps, and accept
//! an accepted value again after it was serialized.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod oracle;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|text: &str| -> libfuzzer_sys::Corpus {
    use libfuzzer_sys::Corpus;
    use oracle::Verdict;
    use server::fuzzing::json::{Shape, check};

    /// Small limits, so that inputs reach them.
    const MAX_BYTES: usize = 2_048;
    const MAX_DEPTH: usize = 16;

    // serde_json with arbitrary precision reads an object with a special key, which begins with `$`, as a number.
    if text.contains('$') || text.contains("\\u0024") {
        return Corpus::Reject;
    }
    let checked = check(text, Shape::Any, MAX_BYTES, MAX_DEPTH);
    let judged = oracle::judge(text, MAX_BYTES, MAX_DEPTH);
    let value = match judged {
        Verdict::Kept(value) => value,
        Verdict::Refused(why) => {
            assert!(checked.is_err(), "{text:?} is accepted, although it is refused by the oracle: {why}");
            return Corpus::Keep;
        }
        Verdict::Unclear => return Corpus::Keep,
    };
    assert_eq!(checked, Ok(()), "{text:?}");
    let object = check(text, Shape::Object, MAX_BYTES, MAX_DEPTH);
    assert_eq!(object.is_ok(), value.is_object(), "{text:?}: {object:?}");
    let written = value.to_string();
    // The serialized text may be longer, because of escapes.
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
