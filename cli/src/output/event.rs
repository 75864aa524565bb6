//! Events of a run's log. As text they are the log itself, byte for byte.

use proto::v1::RunEvent;

/// The bytes of an event in the log: the exact bytes that the program wrote, or its text as a line. A partial text
/// continues in the next event, so no line ends after it.
pub(crate) fn bytes(event: &RunEvent) -> Vec<u8> {
    if !event.raw.is_empty() {
        return event.raw.to_vec();
    }
    let mut line = event.message.clone().into_bytes();
    if !line.ends_with(b"\n") && !is_partial(event) {
        line.push(b'\n');
    }
    line
}

fn is_partial(event: &RunEvent) -> bool {
    let data = serde_json::from_str::<serde_json::Value>(&event.data_json);
    data.is_ok_and(|data| data["partial"] == true)
}

#[cfg(test)]
mod tests {
    use prost::bytes::Bytes;

    use super::*;

    #[test]
    fn bytes_are_kept_and_a_text_becomes_a_line() {
        let raw = RunEvent {
            raw: Bytes::from_static(b"no newline \xff"),
            message: "no newline ?".to_owned(),
            ..Default::default()
        };
        assert_eq!(bytes(&raw), b"no newline \xff");
        let text = |message: &str| bytes(&RunEvent { message: message.to_owned(), ..Default::default() });
        assert_eq!(text("a line"), b"a line\n");
        assert_eq!(text("a line\n"), b"a line\n");
        assert_eq!(text(""), b"\n");
        let partial = |data: &str| {
            bytes(&RunEvent { message: "Password: ".to_owned(), data_json: data.to_owned(), ..Default::default() })
        };
        assert_eq!(partial(r#"{"stream":"stdout","partial":true}"#), b"Password: ");
        assert_eq!(partial(r#"{"partial":"no"}"#), b"Password: \n");
    }
}
